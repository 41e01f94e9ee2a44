//! Carries out the replica set controller's verdicts.

use k8s_openapi::api::apps::v1::ReplicaSet;
use orlop_registry::Part;
use serde_json::{Value, json};

use super::decide::{Act, FAILURE, Status, Verdict};
use crate::{
    Error, edit,
    events::Said,
    parts::Parts,
    worker::{Next, Seen},
    workloads::{family, make},
};

/// Carries out one verdict.
pub(super) async fn apply(parts: &Parts, verdict: Verdict) -> Result<Next, Error> {
    let Verdict { set, status, act } = verdict;
    if let Some(status) = status {
        parts.write(&set.object, Part::Status, |value, _| set_status(value, status)).await?;
    }
    match act {
        Act::Move(moves) => family::carry_out(parts, &set.object, &moves).await?,
        Act::Create(count) => create(parts, &set, count).await?,
        Act::Delete(pods) => {
            make::delete(parts, &pods).await?;
            for pod in &pods {
                let text = format!("Deleted pod: {}", pod.name());
                parts.tell(&set.object, Said::normal("SuccessfulDelete", text));
            }
        }
        Act::Nothing { until: None } => {}
        Act::Nothing { until } => return Ok(Next::Waiting(until)),
    }
    Ok(Next::Settled)
}

async fn create(parts: &Parts, set: &Seen<ReplicaSet>, count: usize) -> Result<(), Error> {
    let mut body = make::pod(&set.object.value()["spec"]["template"], &set.object);
    body["metadata"]["generateName"] = format!("{}-", set.name()).into();
    let Err((error, text)) = make::pods(parts, &set.object, &vec![&body; count]).await else { return Ok(()) };
    if !error.is_stale() {
        let told = parts.write(&set.object, Part::Status, |value, now| {
            edit::set_condition(value, FAILURE, "True", "FailedCreate", &text, now);
        });
        told.await.or_else(Error::unless_stale)?;
    }
    Err(error)
}

fn set_status(value: &mut Value, status: Status) {
    let fields = edit::section(value, "status");
    let counts = [
        ("fullyLabeledReplicas", status.fully_labeled),
        ("readyReplicas", status.ready),
        ("availableReplicas", status.available),
        ("terminatingReplicas", status.terminating),
    ];
    edit::set_counts(fields, counts);
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
