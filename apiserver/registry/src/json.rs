//! Small steps on JSON values that every rule takes.

use serde_json::{Map, Value};

/// Fields of the metadata that the server alone sets: whatever a client sends there is dropped.
pub(crate) const SERVERS_OWN: [&str; 7] = [
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "selfLink",
    "managedFields",
];

/// The text at an RFC 6901 pointer; empty where there is none.
pub(crate) fn text<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The list at a pointer; empty where there is none.
pub(crate) fn list<'v>(value: &'v Value, pointer: &str) -> &'v [Value] {
    value.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The object under `key`, made where it is absent or no object.
pub(crate) fn section<'v>(value: &'v mut Value, key: &str) -> &'v mut Map<String, Value> {
    let slot = as_map(value).entry(key).or_insert(Value::Null);
    as_map(slot)
}

/// The metadata, made where it is absent.
pub(crate) fn meta(value: &mut Value) -> &mut Map<String, Value> {
    section(value, "metadata")
}

fn as_map(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    value.as_object_mut().expect("it was made an object just above")
}

/// Puts `from`'s field `key` into `to`, or takes it away where `from` has none.
pub(crate) fn keep(to: &mut Map<String, Value>, from: Option<&Value>, key: &str) {
    match from.and_then(|v| v.get(key)) {
        Some(value) => to.insert(key.to_owned(), value.clone()),
        None => to.remove(key),
    };
}

/// Takes fields that are null away, as decoding into Kubernetes' types does; lists keep theirs.
pub(crate) fn strip_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, v| !v.is_null());
            fields.values_mut().for_each(strip_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(strip_nulls),
        _ => {}
    }
}
