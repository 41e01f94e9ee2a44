//! Small changes to objects, for `apply`: as JSON, and in a transaction.

use jiff::Timestamp;
use orlop_objects::{Key, Revision};
use orlop_registry::{Door, Part, Registry, Who};
use serde_json::{Map, Value, json};

use crate::{error::stale, worker::Seen};

/// Whether the object is still the version that was decided on; else the run is repeated with another look.
pub(crate) fn unchanged<T>(door: &mut Door<'_, '_>, seen: &Seen<T>) -> Result<(), orlop_registry::Error> {
    let key = seen.key();
    match door.get(key) {
        Some(current) if current.revision == seen.object.revision => Ok(()),
        Some(_) => Err(stale(key)),
        None => Err(orlop_registry::Error::NotFound(key.clone())),
    }
}

/// Changes an object that still has the version that was decided on; else the run is repeated with another look.
pub(crate) async fn change(
    registry: &Registry,
    who: &Who,
    (key, revision): (&Key, Revision),
    part: Part,
    f: impl Fn(&mut Value, Timestamp) + Send + Sync,
) -> Result<(), orlop_registry::Error> {
    let changed = registry.transact(who, |door| {
        if door.get(key).is_none_or(|current| current.revision != revision) {
            return Err(stale(key));
        }
        let at = door.now();
        let change = |mut value: Value| {
            f(&mut value, at);
            Ok(value)
        };
        door.change(key, part, change).map(drop)
    });
    changed.await
}

/// The object at `path` (keys joined by `/`), made where it is missing.
pub(crate) fn section<'a>(value: &'a mut Value, path: &str) -> &'a mut Map<String, Value> {
    let mut at = value;
    for part in path.split('/') {
        at = &mut at[part];
        if !at.is_object() {
            *at = json!({});
        }
    }
    at.as_object_mut().expect("the loop made it an object")
}

/// Writes numbers as Kubernetes does where it leaves out those that are none.
pub(crate) fn set_counts<'a>(
    fields: &mut Map<String, Value>,
    counts: impl IntoIterator<Item = (&'a str, i32)>,
) {
    for (field, count) in counts {
        if count == 0 {
            fields.remove(field);
        } else {
            fields.insert(field.to_owned(), count.into());
        }
    }
}

/// Sets an annotation.
pub(crate) fn annotate(value: &mut Value, name: &str, text: &str) {
    section(value, "metadata/annotations").insert(name.to_owned(), text.into());
}

/// Takes an annotation away.
pub(crate) fn drop_annotation(value: &mut Value, name: &str) {
    section(value, "metadata/annotations").remove(name);
}

/// Takes a finalizer away.
pub(crate) fn drop_finalizer(value: &mut Value, name: &str) {
    if let Some(list) = value.pointer_mut("/metadata/finalizers").and_then(Value::as_array_mut) {
        list.retain(|finalizer| finalizer != name);
    }
}

/// Adds a finalizer, once.
pub(crate) fn add_finalizer(value: &mut Value, name: &str) {
    let list = section(value, "metadata").entry("finalizers").or_insert_with(|| json!([]));
    if let Some(list) = list.as_array_mut()
        && !list.iter().any(|finalizer| finalizer == name)
    {
        list.push(name.into());
    }
}

/// Sets the condition `type`; its transition time changes only with its status.
pub(crate) fn set_condition(
    value: &mut Value,
    type_: &str,
    status: &str,
    reason: &str,
    message: &str,
    now: Timestamp,
) {
    let conditions = section(value, "status").entry("conditions").or_insert_with(|| json!([]));
    if !conditions.is_array() {
        *conditions = json!([]);
    }
    let Some(list) = conditions.as_array_mut() else {
        return;
    };
    let old = list.iter().position(|c| c["type"] == type_);
    let mut condition = old.map_or_else(|| json!({"type": type_}), |n| list[n].clone());
    if condition["status"] != status {
        condition["lastTransitionTime"] = seconds(now).into();
    }
    condition["status"] = status.into();
    condition["reason"] = reason.into();
    condition["message"] = message.into();
    match old {
        Some(n) => list[n] = condition,
        None => list.push(condition),
    }
}

/// Writes a volume's phase; what was said of the last one is not true of the next.
pub(crate) fn phase(value: &mut Value, phase: &str, now: Timestamp) {
    let status = section(value, "status");
    if status.get("phase").and_then(Value::as_str) == Some(phase) {
        return;
    }
    status.insert("phase".to_owned(), phase.into());
    status.insert("lastPhaseTransitionTime".to_owned(), seconds(now).into());
    for field in ["reason", "message"] {
        status.remove(field);
    }
}

/// A time as Kubernetes writes it: UTC, whole seconds.
pub(crate) fn seconds(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
