//! Carries out the deployment controller's verdicts.

use futures::future::try_join_all;
use k8s_openapi::api::apps::v1::Deployment;
use orlop_objects::kind;
use orlop_registry::Part;
use serde_json::{Map, Value, json};

use super::{
    decide::{Act, Change, Made, Verdict},
    history::REVISION,
    progress::{Condition, PROGRESSING, Status},
    view::HASH,
};
use crate::{
    Error, edit,
    events::Said,
    parts::Parts,
    worker::{Next, Seen},
    workloads::{family, make},
};

/// Carries out one verdict.
pub(super) async fn apply(parts: &Parts, verdict: Verdict) -> Result<Next, Error> {
    let Verdict { deployment, act, status, revision, said, until } = verdict;
    match act {
        Act::Move(moves) => family::carry_out(parts, &deployment.object, &moves).await?,
        Act::Make(made) => create(parts, &deployment, &made).await?,
        Act::Change(changes) => {
            try_join_all(changes.iter().map(|c| change(parts, &deployment, c))).await?;
        }
        Act::Drop(sets) => {
            let gone = sets.iter().map(|set| make::delete_one(parts, &set.set.object));
            try_join_all(gone).await?;
        }
        Act::Nothing => {}
    }
    if status.is_some() || revision.is_some() {
        // Both parts: the number of its template is an annotation.
        let written = parts.write(&deployment.object, Part::Whole, |value, _| {
            if let Some(status) = &status {
                set_status(value, status);
            }
            if let Some(revision) = &revision {
                edit::annotate(value, REVISION, revision);
            }
        });
        written.await?;
    }
    let waits = said.is_some() || until.is_some();
    if let Some(said) = said {
        parts.tell(&deployment.object, said);
    }
    Ok(if waits { Next::Waiting(until) } else { Next::Settled })
}

async fn create(parts: &Parts, deployment: &Seen<Deployment>, made: &Made) -> Result<(), Error> {
    let body = body(deployment, made);
    match make::create(parts, &deployment.object, &kind::REPLICA_SET, &body).await {
        Ok(_) => {
            if made.size > 0 {
                tell_size(parts, deployment, &made.name, 0, made.size);
            }
            Ok(())
        }
        Err(refused) => {
            let text = format!("Failed to create new replica set \"{}\": {refused}", made.name);
            let error = Error::doing("create the replica set of", deployment.key())(refused);
            if !error.is_stale() {
                parts.tell(&deployment.object, Said::warning("ReplicaSetCreateError", &*text));
                let told = parts.write(&deployment.object, Part::Whole, |value, now| {
                    edit::set_condition(value, PROGRESSING, "False", "ReplicaSetCreateError", &text, now);
                });
                told.await.or_else(Error::unless_stale)?;
            }
            Err(error)
        }
    }
}

/// The set of the newest template: what tells its pods from those of other sets is the hash, in labels and selector.
fn body(deployment: &Seen<Deployment>, made: &Made) -> Value {
    let mut spec = deployment.object.value()["spec"].take();
    let (mut template, mut selector) = (spec["template"].take(), spec["selector"].take());
    edit::section(&mut template, "metadata/labels").insert(HASH.to_owned(), made.hash.as_str().into());
    edit::section(&mut selector, "matchLabels").insert(HASH.to_owned(), made.hash.as_str().into());
    json!({
        "metadata": {"name": made.name, "labels": template["metadata"]["labels"],
            "annotations": made.annotations, "ownerReferences": [family::reference(&deployment.object)]},
        "spec": {"replicas": made.size, "minReadySeconds": spec["minReadySeconds"],
            "selector": selector, "template": template},
    })
}

async fn change(parts: &Parts, deployment: &Seen<Deployment>, change: &Change) -> Result<(), Error> {
    let seen = &change.set.set;
    let done = parts.transact(|door| {
        edit::unchanged(door, seen)?;
        let apply = |mut value: Value| {
            let spec = edit::section(&mut value, "spec");
            spec.insert("replicas".to_owned(), change.size.into());
            if let Some(seconds) = change.least_ready {
                spec.insert("minReadySeconds".to_owned(), seconds.into());
            }
            for (name, text) in &change.annotations {
                edit::annotate(&mut value, name, text);
            }
            Ok(value)
        };
        door.change(seen.key(), Part::Main, apply).map(drop)
    });
    done.await.map_err(Error::doing("change", seen.key()))?;
    if change.size != change.set.wants() {
        tell_size(parts, deployment, seen.name(), change.set.wants(), change.size);
    }
    Ok(())
}

fn tell_size(parts: &Parts, deployment: &Seen<Deployment>, set: &str, from: i32, to: i32) {
    let way = if to > from { "up" } else { "down" };
    let text = format!("Scaled {way} replica set {set} from {from} to {to}");
    parts.tell(&deployment.object, Said::normal("ScalingReplicaSet", text));
}

fn set_status(value: &mut Value, status: &Status) {
    let counts = [
        ("replicas", status.replicas),
        ("updatedReplicas", status.updated),
        ("readyReplicas", status.ready),
        ("availableReplicas", status.available),
        ("unavailableReplicas", status.unavailable),
        ("terminatingReplicas", status.terminating),
        ("collisionCount", status.collisions),
    ];
    let mut fields = Map::new();
    fields.insert("observedGeneration".to_owned(), status.generation.into());
    // As in Kubernetes, none is not written.
    fields.extend(counts.into_iter().filter(|(_, n)| *n != 0).map(|(field, n)| (field.to_owned(), n.into())));
    let conditions: Vec<Value> = status.conditions.iter().map(condition).collect();
    if !conditions.is_empty() {
        fields.insert("conditions".to_owned(), conditions.into());
    }
    value["status"] = Value::Object(fields);
}

fn condition(condition: &Condition) -> Value {
    json!({"type": condition.type_, "status": condition.status, "reason": condition.reason,
        "message": condition.message, "lastUpdateTime": edit::seconds(condition.updated),
        "lastTransitionTime": edit::seconds(condition.changed)})
}
