//! Carries out the daemon set controller's verdicts.

use futures::future::try_join_all;
use k8s_openapi::api::apps::v1::DaemonSet;
use orlop_objects::{Key, kind};
use orlop_registry::Part;
use serde_json::Value;

use super::{
    DaemonSets,
    decide::{Act, Status, Verdict},
};
use crate::{
    Error, edit,
    error::stale,
    events::Said,
    worker::{Next, Seen},
    workloads::{
        family, make,
        pods::{Phase, Pod},
        revisions,
    },
};

/// Carries out one verdict.
pub(super) async fn apply(sets: &DaemonSets, key: &Key, verdict: Verdict) -> Result<Next, Error> {
    let Verdict { set, status, act } = verdict;
    let (registry, who) = (&sets.registry, &sets.who);
    if let Some(status) = status {
        write_status(sets, key, &set, status).await?;
    }
    match act {
        Act::Move(moves) => family::carry_out(registry, who, &set.object, &moves).await?,
        Act::Revise(step) => revisions::carry_out(registry, who, &set.object, &step).await?,
        Act::Create(pods) => create(sets, key, &set, &pods).await?,
        Act::Delete(pods) => {
            try_join_all(pods.iter().map(|pod| delete(sets, &set, pod))).await?;
        }
        Act::Nothing { until: None } => {}
        Act::Nothing { until } => return Ok(Next::Waiting(until)),
    }
    Ok(Next::Settled)
}

async fn create(sets: &DaemonSets, key: &Key, set: &Seen<DaemonSet>, pods: &[Value]) -> Result<(), Error> {
    let (made, failed) = make::slow_start(pods.len(), |n| {
        make::create(&sets.registry, &sets.who, &set.object, &kind::POD, &pods[n])
    })
    .await;
    for pod in made {
        let text = format!("Created pod: {}", pod.meta.name);
        sets.teller.tell(&set.object, Said::normal("SuccessfulCreate", text));
    }
    let Some(failed) = failed else { return Ok(()) };
    let text = format!("Error creating: {failed}");
    let error = Error::doing("create a pod of", key)(failed);
    if !error.is_stale() {
        sets.teller.tell(&set.object, Said::warning("FailedCreate", text));
    }
    Err(error)
}

async fn delete(sets: &DaemonSets, set: &Seen<DaemonSet>, pod: &Pod) -> Result<(), Error> {
    let place = format!("{}/{}", set.key().namespace, pod.name());
    let node = pod.node.as_deref().unwrap_or_default();
    match pod.phase {
        Phase::Failed => {
            let text = format!("Found failed daemon pod {place} on node {node}, will try to kill it");
            sets.teller.tell(&set.object, Said::warning("FailedDaemonPod", text));
        }
        Phase::Succeeded => {
            let text = format!("Found succeeded daemon pod {place} on node {node}, will try to delete it");
            sets.teller.tell(&set.object, Said::normal("SucceededDaemonPod", text));
        }
        Phase::Pending | Phase::Unknown | Phase::Running => {}
    }
    make::delete_one(&sets.registry, &sets.who, &pod.object).await?;
    let text = format!("Deleted pod: {}", pod.name());
    sets.teller.tell(&set.object, Said::normal("SuccessfulDelete", text));
    Ok(())
}

async fn write_status(
    sets: &DaemonSets,
    key: &Key,
    set: &Seen<DaemonSet>,
    status: Status,
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

fn set_status(value: &mut Value, status: Status) {
    let fields = edit::section(value, "status");
    let always = [
        ("desiredNumberScheduled", status.desired),
        ("currentNumberScheduled", status.current),
        ("numberMisscheduled", status.misscheduled),
        ("numberReady", status.ready),
    ];
    for (field, count) in always {
        fields.insert(field.to_owned(), count.into());
    }
    // As in Kubernetes, none of these is not written.
    let some = [
        ("numberAvailable", status.available),
        ("numberUnavailable", status.desired - status.available),
        ("updatedNumberScheduled", status.updated),
        ("collisionCount", status.collisions),
    ];
    for (field, count) in some {
        if count == 0 {
            fields.remove(field);
        } else {
            fields.insert(field.to_owned(), count.into());
        }
    }
    fields.insert("observedGeneration".to_owned(), status.generation.into());
}
