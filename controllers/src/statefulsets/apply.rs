//! Carries out the stateful set controller's verdicts.

use futures::future::try_join_all;
use k8s_openapi::api::apps::v1::StatefulSet;
use orlop_objects::{Key, Object, kind};
use orlop_registry::{Error as Refused, Part};
use serde_json::Value;

use super::{
    decide::{Act, Birth, Verdict, Why},
    status::Status,
};
use crate::{
    Error, edit,
    events::Said,
    parts::Parts,
    worker::{Next, Seen},
    workloads::{family, make, pods::Pod, revisions},
};

/// Carries out one verdict.
pub(super) async fn apply(parts: &Parts, verdict: Verdict) -> Result<Next, Error> {
    let Verdict { set, status, act } = verdict;
    if let Some(status) = status {
        parts.write(&set.object, Part::Status, |value, _| set_status(value, &status)).await?;
    }
    match act {
        Act::Move(moves) => family::carry_out(parts, &set.object, &moves).await?,
        Act::Revise(step) => revisions::carry_out(parts, &set.object, &step).await?,
        Act::Own(claims) => {
            try_join_all(claims.iter().map(|(claim, owners)| own(parts, claim, owners))).await?;
        }
        Act::Create(births) => {
            let (_, failed) = make::slow_start(births.len(), |n| create(parts, &set, &births[n])).await;
            if let Some(failed) = failed {
                return Err(failed);
            }
        }
        Act::Delete(pods) => {
            try_join_all(pods.iter().map(|(pod, why)| delete(parts, &set, pod, *why))).await?;
        }
        Act::Wait { said, until } => {
            if let Some(said) = said {
                parts.tell(&set.object, said);
            }
            return Ok(Next::Waiting(until));
        }
        Act::Settled => {}
    }
    Ok(Next::Settled)
}

/// The claims of a number, and then its pod.
async fn create(parts: &Parts, set: &Seen<StatefulSet>, birth: &Birth) -> Result<(), Error> {
    let pod = &birth.name;
    for claim in &birth.claims {
        let name = claim["metadata"]["name"].as_str().unwrap_or_default();
        let made = make::create(parts, &set.object, &kind::PERSISTENT_VOLUME_CLAIM, claim).await;
        let words = (format!("Claim {name} Pod {pod} in StatefulSet {}", set.name()), "success");
        tell_made(parts, set, &kind::PERSISTENT_VOLUME_CLAIM, name, &words, made)?;
    }
    if let Some(body) = &birth.pod {
        let made = make::create(parts, &set.object, &kind::POD, body).await;
        let words = (format!("Pod {pod} in StatefulSet {}", set.name()), "successful");
        tell_made(parts, set, &kind::POD, pod, &words, made)?;
    }
    Ok(())
}

fn tell_made<T>(
    parts: &Parts,
    set: &Seen<StatefulSet>,
    kind: &'static orlop_objects::Kind,
    name: &str,
    (words, good): &(String, &str),
    made: Result<T, Refused>,
) -> Result<(), Error> {
    match made {
        Ok(_) => {
            let said = Said::normal("SuccessfulCreate", format!("create {words} {good}"));
            parts.tell(&set.object, said);
            Ok(())
        }
        Err(refused) => {
            let text = format!("create {words} failed error: {refused}");
            let error = Error::doing("create", &Key::new(kind, &*set.key().namespace, name))(refused);
            if !error.is_stale() {
                parts.tell(&set.object, Said::warning("FailedCreate", text));
            }
            Err(error)
        }
    }
}

async fn delete(parts: &Parts, set: &Seen<StatefulSet>, pod: &Pod, why: Why) -> Result<(), Error> {
    let place = format!("StatefulSet {}/{}", set.key().namespace, set.name());
    let again = match why {
        Why::Failed => {
            let text = format!("{place} is recreating failed Pod {}", pod.name());
            Some(Said::warning("RecreatingFailedPod", text))
        }
        Why::Ended => {
            let text = format!("{place} is recreating terminated Pod {}", pod.name());
            Some(Said::normal("RecreatingTerminatedPod", text))
        }
        Why::Replaced => None,
    };
    if let Some(said) = again {
        parts.tell(&set.object, said);
    }
    make::delete_one(parts, &pod.object).await?;
    let text = format!("delete Pod {} in StatefulSet {} successful", pod.name(), set.name());
    parts.tell(&set.object, Said::normal("SuccessfulDelete", text));
    Ok(())
}

async fn own(parts: &Parts, claim: &Object, owners: &[Value]) -> Result<(), Error> {
    let change = |value: &mut Value, _| value["metadata"]["ownerReferences"] = owners.to_vec().into();
    let seen = (&claim.key, claim.revision);
    let done = edit::change(&parts.registry, &parts.who, seen, Part::Main, change).await;
    done.map_err(Error::doing("change the owners of", &claim.key))
}

fn set_status(value: &mut Value, status: &Status) {
    let fields = edit::section(value, "status");
    let counts = [
        ("readyReplicas", status.ready),
        ("currentReplicas", status.current),
        ("updatedReplicas", status.updated),
    ];
    edit::set_counts(fields, counts);
    fields.insert("replicas".to_owned(), status.replicas.into());
    fields.insert("availableReplicas".to_owned(), status.available.into());
    fields.insert("collisionCount".to_owned(), status.collisions.into());
    fields.insert("observedGeneration".to_owned(), status.generation.into());
    for (field, name) in
        [("currentRevision", &status.current_revision), ("updateRevision", &status.update_revision)]
    {
        if !name.is_empty() {
            fields.insert(field.to_owned(), name.as_str().into());
        }
    }
}
