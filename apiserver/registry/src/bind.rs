//! A pod gets its node: the one way in which `spec.nodeName` comes to be.

use jiff::Timestamp;
use orlop_objects::{Key, time};
use serde_json::{Map, Value, json};

use crate::{Error, json};

/// `pod` on `node`, with the condition that says so.
pub(crate) fn bound(key: &Key, mut pod: Value, node: &str, now: Timestamp) -> Result<Value, Error> {
    let refuse = |reason: String| Err(Error::Conflict { key: key.clone(), reason });
    if node.is_empty() {
        return Err(Error::BadRequest("target.name of a Binding must name a node".to_owned()));
    }
    if pod.pointer("/metadata/deletionTimestamp").is_some() {
        return refuse(format!("pod {} is being deleted, cannot be assigned to a host", key.name));
    }
    let current = json::text(&pod, "/spec/nodeName");
    if !current.is_empty() {
        return refuse(format!("pod {} is already assigned to node {current:?}", key.name));
    }
    json::section(&mut pod, "spec").insert("nodeName".to_owned(), node.into());
    set_scheduled(json::section(&mut pod, "status"), now);
    Ok(pod)
}

fn set_scheduled(status: &mut Map<String, Value>, now: Timestamp) {
    let condition = json!({"type": "PodScheduled", "status": "True", "lastProbeTime": null,
        "lastTransitionTime": time::seconds(now)});
    let others = status.get("conditions").and_then(Value::as_array).cloned().unwrap_or_default();
    let conditions = others.into_iter().filter(|c| c["type"] != "PodScheduled").chain([condition]);
    status.insert("conditions".to_owned(), conditions.collect::<Vec<_>>().into());
}
