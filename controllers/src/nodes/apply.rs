//! Carries out the verdicts about nodes: one write of the node, one of its lease where it does not fit the grace.

use jiff::Timestamp;
use orlop_objects::Key;
use orlop_registry::Part;
use serde_json::{Value, json};

use super::{
    Nodes,
    decide::{Mark, Verdict, lease_seconds, why_lost},
};
use crate::{Error, edit, taints::HEARD_SINCE, worker::Next};

/// The conditions that a silent node no longer answers for.
const CONDITIONS: [&str; 4] = ["MemoryPressure", "DiskPressure", "PIDPressure", "Ready"];

/// Carries out one verdict.
pub(super) async fn apply(nodes: &Nodes, key: &Key, verdict: Verdict) -> Result<Next, Error> {
    let changes = verdict.lost.is_some()
        || verdict.heard.is_some()
        || !(verdict.put.is_empty() && verdict.take.is_empty());
    if changes {
        let written = nodes.parts.transact(|door| {
            edit::unchanged(door, &verdict.node)?;
            let now = door.now();
            door.change(key, Part::Whole, |value| Ok(changed(value, &verdict, now))).map(drop)
        });
        written.await.map_err(Error::doing("write conditions and taints of", key))?;
    }
    for said in verdict.said {
        nodes.parts.tell(&verdict.node.object, said);
    }
    if let Some(lease) = &verdict.lease {
        let seconds = lease_seconds(nodes.grace);
        let written = nodes.parts.transact(|door| {
            edit::unchanged(door, lease)?;
            let change = |mut value: Value| {
                edit::section(&mut value, "spec").insert("leaseDurationSeconds".to_owned(), seconds.into());
                Ok(value)
            };
            door.change(lease.key(), Part::Main, change).map(drop)
        });
        written.await.map_err(Error::doing("write the duration of", lease.key()))?;
    }
    Ok(Next::Waiting(Some(verdict.until)))
}

/// The node as the verdict wants it.
fn changed(mut node: Value, verdict: &Verdict, now: Timestamp) -> Value {
    if let Some(silent_for) = verdict.lost {
        for type_ in CONDITIONS {
            let (reason, words) = if has_condition(&node, type_) {
                ("NodeStatusUnknown", "Kubelet stopped posting node status.".to_owned())
            } else {
                ("NodeStatusNeverUpdated", "Kubelet never posted node status.".to_owned())
            };
            let words = if type_ == "Ready" { why_lost(silent_for) } else { words };
            edit::set_condition(&mut node, type_, "Unknown", reason, &words, now);
        }
    }
    set_taints(&mut node, &verdict.put, &verdict.take, now);
    match verdict.heard {
        Some(true) => edit::annotate(&mut node, HEARD_SINCE, &edit::seconds(now)),
        Some(false) => edit::drop_annotation(&mut node, HEARD_SINCE),
        None => {}
    }
    node
}

fn has_condition(node: &Value, type_: &str) -> bool {
    node["status"]["conditions"].as_array().into_iter().flatten().any(|condition| condition["type"] == type_)
}

fn set_taints(node: &mut Value, put: &[Mark], take: &[Mark], now: Timestamp) {
    if put.is_empty() && take.is_empty() {
        return;
    }
    let spec = edit::section(node, "spec");
    let old = spec.get("taints").and_then(Value::as_array).cloned().unwrap_or_default();
    let goes =
        |taint: &Value| take.iter().any(|(key, effect)| taint["key"] == *key && taint["effect"] == *effect);
    let new = put
        .iter()
        .map(|(key, effect)| json!({"key": key, "effect": effect, "timeAdded": edit::seconds(now)}));
    let taints: Vec<Value> = old.into_iter().filter(|taint| !goes(taint)).chain(new).collect();
    if taints.is_empty() {
        spec.remove("taints");
    } else {
        spec.insert("taints".to_owned(), taints.into());
    }
}
