//! Carries out the stateful set controller's verdicts.

use futures::future::try_join_all;
use k8s_openapi::api::apps::v1::StatefulSet;
use orlop_objects::{Key, Object, kind};
use orlop_registry::{Error as Refused, Part};
use serde_json::Value;

use super::{
    StatefulSets,
    decide::{Act, Birth, Verdict, Why},
    status::Status,
};
use crate::{
    Error, edit,
    error::stale,
    events::Said,
    worker::{Next, Seen},
    workloads::{family, make, pods::Pod, revisions},
};

/// Carries out one verdict.
pub(super) async fn apply(sets: &StatefulSets, key: &Key, verdict: Verdict) -> Result<Next, Error> {
    let Verdict { set, status, act } = verdict;
    let (registry, who) = (&sets.registry, &sets.who);
    if let Some(status) = status {
        write_status(sets, key, &set, &status).await?;
    }
    match act {
        Act::Move(moves) => family::carry_out(registry, who, &set.object, &moves).await?,
        Act::Revise(step) => revisions::carry_out(registry, who, &set.object, &step).await?,
        Act::Own(claims) => {
            try_join_all(claims.iter().map(|(claim, owners)| own(sets, claim, owners))).await?;
        }
        Act::Create(births) => {
            let (_, failed) = make::slow_start(births.len(), |n| create(sets, &set, &births[n])).await;
            if let Some(failed) = failed {
                return Err(failed);
            }
        }
        Act::Delete(pods) => {
            try_join_all(pods.iter().map(|(pod, why)| delete(sets, &set, pod, *why))).await?;
        }
        Act::Wait { said, until } => {
            if let Some(said) = said {
                sets.teller.tell(&set.object, said);
            }
            return Ok(Next::Waiting(until));
        }
        Act::Settled => {}
    }
    Ok(Next::Settled)
}

/// The claims of a number, and then its pod.
async fn create(sets: &StatefulSets, set: &Seen<StatefulSet>, birth: &Birth) -> Result<(), Error> {
    let pod = &birth.name;
    for claim in &birth.claims {
        let name = claim["metadata"]["name"].as_str().unwrap_or_default();
        let made =
            make::create(&sets.registry, &sets.who, &set.object, &kind::PERSISTENT_VOLUME_CLAIM, claim).await;
        let words = (format!("Claim {name} Pod {pod} in StatefulSet {}", set.name()), "success");
        tell_made(sets, set, &kind::PERSISTENT_VOLUME_CLAIM, name, &words, made)?;
    }
    if let Some(body) = &birth.pod {
        let made = make::create(&sets.registry, &sets.who, &set.object, &kind::POD, body).await;
        let words = (format!("Pod {pod} in StatefulSet {}", set.name()), "successful");
        tell_made(sets, set, &kind::POD, pod, &words, made)?;
    }
    Ok(())
}

fn tell_made<T>(
    sets: &StatefulSets,
    set: &Seen<StatefulSet>,
    kind: &'static orlop_objects::Kind,
    name: &str,
    (words, good): &(String, &str),
    made: Result<T, Refused>,
) -> Result<(), Error> {
    match made {
        Ok(_) => {
            let said = Said::normal("SuccessfulCreate", format!("create {words} {good}"));
            sets.teller.tell(&set.object, said);
            Ok(())
        }
        Err(refused) => {
            let text = format!("create {words} failed error: {refused}");
            let error = Error::doing("create", &Key::new(kind, &*set.key().namespace, name))(refused);
            if !error.is_stale() {
                sets.teller.tell(&set.object, Said::warning("FailedCreate", text));
            }
            Err(error)
        }
    }
}

async fn delete(sets: &StatefulSets, set: &Seen<StatefulSet>, pod: &Pod, why: Why) -> Result<(), Error> {
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
        sets.teller.tell(&set.object, said);
    }
    make::delete_one(&sets.registry, &sets.who, &pod.object).await?;
    let text = format!("delete Pod {} in StatefulSet {} successful", pod.name(), set.name());
    sets.teller.tell(&set.object, Said::normal("SuccessfulDelete", text));
    Ok(())
}

async fn own(sets: &StatefulSets, claim: &Object, owners: &[Value]) -> Result<(), Error> {
    let change = |value: &mut Value, _| value["metadata"]["ownerReferences"] = owners.to_vec().into();
    let seen = (&claim.key, claim.revision);
    let done = edit::change(&sets.registry, &sets.who, seen, Part::Main, change).await;
    done.map_err(Error::doing("change the owners of", &claim.key))
}

async fn write_status(
    sets: &StatefulSets,
    key: &Key,
    set: &Seen<StatefulSet>,
    status: &Status,
) -> Result<(), Error> {
    let written = sets.registry.transact(&sets.who, |door| {
        if door.get(key).is_none_or(|found| found.meta.uid != set.uid()) {
            return Err(stale(key));
        }
        let change = |mut value: Value| {
            set_status(&mut value, status);
            Ok(value)
        };
        door.change(key, Part::Status, change).map(drop)
    });
    written.await.map_err(Error::doing("write the status of", key))
}

fn set_status(value: &mut Value, status: &Status) {
    let fields = edit::section(value, "status");
    let counts = [
        ("readyReplicas", status.ready),
        ("currentReplicas", status.current),
        ("updatedReplicas", status.updated),
    ];
    // As in Kubernetes, none is not written, but for these.
    for (field, count) in counts {
        if count == 0 {
            fields.remove(field);
        } else {
            fields.insert(field.to_owned(), count.into());
        }
    }
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
