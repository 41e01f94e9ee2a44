//! A pod is sent away: it is deleted as any pod, and says in a condition that it did not end of its own accord.

use jiff::Timestamp;
use orlop_objects::time;
use serde_json::{Map, Value, json};

use crate::json;

/// The pod with the condition DisruptionTarget, which whoever replaces it may read.
pub(crate) fn disrupted(mut pod: Value, reason: &str, message: &str, now: Timestamp) -> Value {
    // One that is on its way keeps the reason that it has.
    if pod.pointer("/metadata/deletionTimestamp").is_none() {
        set_condition(json::section(&mut pod, "status"), reason, message, now);
    }
    pod
}

fn set_condition(status: &mut Map<String, Value>, reason: &str, message: &str, now: Timestamp) {
    let condition = json!({"type": "DisruptionTarget", "status": "True", "reason": reason, "message": message,
        "lastTransitionTime": time::seconds(now)});
    let others = status.get("conditions").and_then(Value::as_array).cloned().unwrap_or_default();
    let conditions = others.into_iter().filter(|c| c["type"] != "DisruptionTarget").chain([condition]);
    status.insert("conditions".to_owned(), conditions.collect::<Vec<_>>().into());
}
