//! Carries out the scheduler's verdicts.

use std::sync::Arc;

use futures::future::try_join_all;
use k8s_openapi::api::core::v1::Pod;
use orlop_objects::{Key, kind};
use orlop_registry::{Door, Part};
use serde_json::Value;

use super::{Scheduler, decide::Verdict};
use crate::{
    Error,
    attacher::request,
    edit,
    error::stale,
    events::Said,
    facts::{Claim, PROVISIONERS, SELECTED_NODE, Volume},
    worker::{Next, Seen, now},
};

/// Carries out one verdict.
pub(super) async fn apply(scheduler: &Scheduler, key: &Key, verdict: Verdict) -> Result<Next, Error> {
    match verdict {
        Verdict::Assign { pod, node, claims, attach } => {
            let assigned =
                scheduler.parts.transact(|door| assign(door, &pod, &node, &claims, attach.as_ref()));
            assigned.await.map_err(Error::doing("assign a node to", key))?;
            let text = format!("Successfully assigned {}/{} to {node}", key.namespace, key.name);
            scheduler.parts.tell(&pod.object, Said::normal("Scheduled", text));
            Ok(Next::Settled)
        }
        Verdict::Select { place, claims } => {
            let node = place.node.clone();
            // Before the claims are told: the pod may be looked at again only when they are bound already.
            scheduler.memory().keep(key, place);
            try_join_all(
                claims.iter().map(|(claim, provisioner)| select(scheduler, claim, provisioner, &node)),
            )
            .await?;
            Ok(Next::Waiting(None))
        }
        Verdict::Patience { until } => Ok(Next::Waiting(Some(until))),
        Verdict::Unschedulable { pod, message, until } => {
            say_unschedulable(scheduler, &pod, &message).await?;
            scheduler.parts.tell(&pod.object, Said::warning("FailedScheduling", message));
            Ok(Next::Waiting(until))
        }
    }
}

/// The pod gets its node and, in the same commit, its first attachment. The claims are read by key, so that a claim
/// that begins to go meanwhile keeps its pod away.
fn assign(
    door: &mut Door<'_, '_>,
    pod: &Seen<Pod>,
    node: &str,
    claims: &[Arc<Claim>],
    attach: Option<&Arc<Volume>>,
) -> Result<(), orlop_registry::Error> {
    edit::unchanged(door, pod)?;
    for claim in claims {
        edit::unchanged(door, claim)?;
    }
    let key = Key::cluster(&kind::NODE, node);
    if door.get(&key).is_none_or(|node| node.meta.is_terminating()) {
        return Err(stale(&key));
    }
    if let Some(volume) = attach {
        request::request(door, volume, node)?;
    }
    door.bind(pod.key(), node).map(drop)
}

/// Tells a claim the node that was chosen for it, and the driver that is to make its volume.
pub(crate) async fn select(
    scheduler: &Scheduler,
    claim: &Claim,
    provisioner: &str,
    node: &str,
) -> Result<(), Error> {
    let selected = scheduler.parts.transact(|door| {
        edit::unchanged(door, claim)?;
        door.change(claim.key(), Part::Main, |value| Ok(selected(value, provisioner, node))).map(drop)
    });
    selected.await.map_err(Error::doing("choose a node for", claim.key()))?;
    scheduler.attempts.record(claim.uid(), node, now());
    Ok(())
}

/// The claim with its node and its driver.
pub(crate) fn selected(mut claim: Value, provisioner: &str, node: &str) -> Value {
    edit::annotate(&mut claim, SELECTED_NODE, node);
    for name in PROVISIONERS {
        edit::annotate(&mut claim, name, provisioner);
    }
    claim
}

/// Writes the condition; a condition that says so already is not written again.
async fn say_unschedulable(scheduler: &Scheduler, pod: &Seen<Pod>, message: &str) -> Result<(), Error> {
    let said = scheduler.parts.transact(|door| {
        edit::unchanged(door, pod)?;
        let now = door.now();
        let change = |mut value: Value| {
            edit::set_condition(&mut value, "PodScheduled", "False", "Unschedulable", message, now);
            Ok(value)
        };
        door.change(pod.key(), Part::Status, change).map(drop)
    });
    said.await.map_err(Error::doing("write the condition of", pod.key()))
}
