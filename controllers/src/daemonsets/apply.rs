//! Carries out the daemon set controller's verdicts.

use futures::future::try_join_all;
use k8s_openapi::api::apps::v1::DaemonSet;
use orlop_registry::Part;
use serde_json::Value;

use super::decide::{Act, Status, Verdict};
use crate::{
    Error, edit,
    events::Said,
    parts::Parts,
    worker::{Next, Seen},
    workloads::{
        family, make,
        pods::{Phase, Pod},
        revisions,
    },
};

/// Carries out one verdict.
pub(super) async fn apply(parts: &Parts, verdict: Verdict) -> Result<Next, Error> {
    let Verdict { set, status, act } = verdict;
    if let Some(status) = status {
        parts.write(&set.object, Part::Status, |value, _| set_status(value, status)).await?;
    }
    match act {
        Act::Move(moves) => family::carry_out(parts, &set.object, &moves).await?,
        Act::Revise(step) => revisions::carry_out(parts, &set.object, &step).await?,
        Act::Create(bodies) => {
            let bodies: Vec<&Value> = bodies.iter().collect();
            make::pods(parts, &set.object, &bodies).await.map_err(|(error, _)| error)?;
        }
        Act::Delete(pods) => {
            try_join_all(pods.iter().map(|pod| delete(parts, &set, pod))).await?;
        }
        Act::Nothing { until: None } => {}
        Act::Nothing { until } => return Ok(Next::Waiting(until)),
    }
    Ok(Next::Settled)
}

async fn delete(parts: &Parts, set: &Seen<DaemonSet>, pod: &Pod) -> Result<(), Error> {
    let place = format!("{}/{}", set.key().namespace, pod.name());
    let node = pod.node.as_deref().unwrap_or_default();
    match pod.phase {
        Phase::Failed => {
            let text = format!("Found failed daemon pod {place} on node {node}, will try to kill it");
            parts.tell(&set.object, Said::warning("FailedDaemonPod", text));
        }
        Phase::Succeeded => {
            let text = format!("Found succeeded daemon pod {place} on node {node}, will try to delete it");
            parts.tell(&set.object, Said::normal("SucceededDaemonPod", text));
        }
        Phase::Pending | Phase::Unknown | Phase::Running => {}
    }
    make::delete_one(parts, &pod.object).await?;
    let text = format!("Deleted pod: {}", pod.name());
    parts.tell(&set.object, Said::normal("SuccessfulDelete", text));
    Ok(())
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
    let some = [
        ("numberAvailable", status.available),
        ("numberUnavailable", status.desired - status.available),
        ("updatedNumberScheduled", status.updated),
        ("collisionCount", status.collisions),
    ];
    edit::set_counts(fields, some);
    fields.insert("observedGeneration".to_owned(), status.generation.into());
}
