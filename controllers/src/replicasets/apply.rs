//! Carries out the replica set controller's verdicts.

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::ReplicaSet;
use orlop_objects::{Key, kind};
use orlop_registry::Part;
use serde_json::{Value, json};

use super::{
    ReplicaSets,
    decide::{Act, FAILURE, Status, Verdict},
};
use crate::{
    Error, edit,
    events::Said,
    worker::{Next, Seen},
    workloads::{family, make},
};

/// Carries out one verdict.
pub(super) async fn apply(sets: &ReplicaSets, key: &Key, verdict: Verdict) -> Result<Next, Error> {
    let Verdict { set, status, act } = verdict;
    if let Some(status) = status {
        write(sets, key, &set, |value, _| set_status(value, status)).await?;
    }
    match act {
        Act::Move(moves) => {
            family::carry_out(&sets.registry, &sets.who, &set.object, &moves).await?;
            Ok(Next::Settled)
        }
        Act::Create(count) => create(sets, key, &set, count).await,
        Act::Delete(pods) => {
            make::delete(&sets.registry, &sets.who, &pods).await?;
            for pod in &pods {
                let text = format!("Deleted pod: {}", pod.name());
                sets.teller.tell(&set.object, Said::normal("SuccessfulDelete", text));
            }
            Ok(Next::Settled)
        }
        Act::Nothing { until: None } => Ok(Next::Settled),
        Act::Nothing { until } => Ok(Next::Waiting(until)),
    }
}

async fn create(sets: &ReplicaSets, key: &Key, set: &Seen<ReplicaSet>, count: usize) -> Result<Next, Error> {
    let mut body = make::pod(&set.object.value()["spec"]["template"], &set.object);
    body["metadata"]["generateName"] = format!("{}-", set.name()).into();
    let (made, failed) =
        make::slow_start(count, |_| make::create(&sets.registry, &sets.who, &set.object, &kind::POD, &body))
            .await;
    for pod in made {
        let text = format!("Created pod: {}", pod.meta.name);
        sets.teller.tell(&set.object, Said::normal("SuccessfulCreate", text));
    }
    let Some(failed) = failed else { return Ok(Next::Settled) };
    let text = format!("Error creating: {failed}");
    let error = Error::doing("create a pod of", key)(failed);
    if !error.is_stale() {
        sets.teller.tell(&set.object, Said::warning("FailedCreate", &*text));
        let told = write(sets, key, set, |value, now| {
            edit::set_condition(value, FAILURE, "True", "FailedCreate", &text, now);
        });
        // Somebody else was faster: the next look says it again.
        told.await.or_else(|failure| if failure.is_stale() { Ok(()) } else { Err(failure) })?;
    }
    Err(error)
}

/// Changes the status of a set of which nobody else writes it; its spec may have changed meanwhile.
async fn write(
    sets: &ReplicaSets,
    key: &Key,
    set: &Seen<ReplicaSet>,
    f: impl Fn(&mut Value, Timestamp) + Send + Sync,
) -> Result<(), Error> {
    let written = sets.registry.transact(&sets.who, |door| {
        let now = door.now();
        let change = |mut value: Value| {
            // A namesake made since would be given the numbers of another.
            value["metadata"]["uid"] = set.uid().into();
            f(&mut value, now);
            Ok(value)
        };
        door.change(key, Part::Status, change).map(drop)
    });
    written.await.map_err(Error::doing("write the status of", key))
}

fn set_status(value: &mut Value, status: Status) {
    let fields = edit::section(value, "status");
    let counts = [
        ("fullyLabeledReplicas", status.fully_labeled),
        ("readyReplicas", status.ready),
        ("availableReplicas", status.available),
        ("terminatingReplicas", status.terminating),
    ];
    // As in Kubernetes, none is not written, but for the number of pods itself.
    for (field, count) in counts {
        if count == 0 {
            fields.remove(field);
        } else {
            fields.insert(field.to_owned(), count.into());
        }
    }
    fields.insert("replicas".to_owned(), status.replicas.into());
    fields.insert("observedGeneration".to_owned(), status.generation.into());
    if !status.failing
        && let Some(conditions) = fields.get_mut("conditions").and_then(Value::as_array_mut)
    {
        conditions.retain(|condition| condition["type"] != FAILURE);
        if conditions.is_empty() {
            fields.insert("conditions".to_owned(), json!(null));
        }
    }
}
