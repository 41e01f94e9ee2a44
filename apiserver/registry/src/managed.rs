//! Who set which field: one entry per manager, operation and subresource in `metadata.managedFields`.
//!
//! Only the operation Update is recorded so far: a manager owns the fields that its writes set or changed; whoever
//! changes a field takes it from all others; a field that is gone belongs to nobody. The encoding of a set of fields
//! (`FieldsV1`) is that of Kubernetes' structured-merge-diff: `f:name` per field, nested. Lists are owned whole.

use jiff::Timestamp;
use orlop_objects::Kind;
use serde_json::{Map, Value, json};

use crate::{Part, Who, json};

/// Fields that nobody owns: the server's, and those that say which object it is.
const OWNERLESS: [&str; 11] = [
    "name",
    "namespace",
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "selfLink",
    "resourceVersion",
    "managedFields",
    "generateName",
];

/// Whether two versions say the same, apart from who said it.
pub(crate) fn same_but_for_managers(a: &Value, b: &Value) -> bool {
    let (Some(a), Some(b)) = (a.as_object(), b.as_object()) else {
        return a == b;
    };
    let meta = |v: &Value| -> Vec<(String, Value)> {
        let fields = v
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(k, _)| *k != "managedFields");
        fields.map(|(k, v)| (k.clone(), v.clone())).collect()
    };
    a.len() == b.len()
        && a.iter().all(|(key, value)| match b.get(key) {
            Some(other) if key == "metadata" => meta(value) == meta(other),
            other => other == Some(value),
        })
}

/// Writes into `next` who owns what, now that `who` made it of `before`.
pub(crate) fn record(
    kind: &Kind,
    before: Option<&Value>,
    next: &mut Value,
    part: Part,
    who: &Who,
    now: Timestamp,
) {
    let empty = json!({});
    let changed = difference(&owned_view(before.unwrap_or(&empty)), &owned_view(next));
    let present = all_fields(&owned_view(next));
    let subresource = if part == Part::Status { "status" } else { "" };
    let mut entries: Vec<Value> = Vec::new();
    let mut mine = changed.clone();
    for entry in before
        .map(|b| json::list(b, "/metadata/managedFields"))
        .unwrap_or_default()
    {
        let fields = intersect(fields_of(entry), &present);
        if is_entry_of(entry, who, subresource) {
            mine = union(mine, &fields);
        } else {
            let left = subtract(fields, &changed);
            if !left.is_empty() {
                let mut entry = entry.clone();
                entry["fieldsV1"] = left.into();
                entries.push(entry);
            }
        }
    }
    if !mine.is_empty() {
        let mut entry = json!({"manager": who.manager, "operation": "Update", "apiVersion": kind.api_version(),
            "time": json::seconds(now), "fieldsType": "FieldsV1", "fieldsV1": mine});
        if !subresource.is_empty() {
            entry["subresource"] = subresource.into();
        }
        entries.push(entry);
    }
    json::meta(next).insert("managedFields".to_owned(), entries.into());
}

fn is_entry_of(entry: &Value, who: &Who, subresource: &str) -> bool {
    json::text(entry, "/manager") == who.manager
        && json::text(entry, "/operation") == "Update"
        && json::text(entry, "/subresource") == subresource
}

fn fields_of(entry: &Value) -> Map<String, Value> {
    entry
        .get("fieldsV1")
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default()
}

/// The object without what nobody owns.
fn owned_view(value: &Value) -> Map<String, Value> {
    let mut fields = value.as_object().cloned().unwrap_or_default();
    fields.remove("apiVersion");
    fields.remove("kind");
    if let Some(meta) = fields.get_mut("metadata").and_then(Value::as_object_mut) {
        meta.retain(|k, _| !OWNERLESS.contains(&k.as_str()));
        if meta.is_empty() {
            fields.remove("metadata");
        }
    }
    fields
}

/// The fields of `new` that `old` lacks or has with another value.
fn difference(old: &Map<String, Value>, new: &Map<String, Value>) -> Map<String, Value> {
    let mut set = Map::new();
    for (key, value) in new {
        match (old.get(key), value) {
            (Some(before), after) if before == after => {}
            (Some(Value::Object(before)), Value::Object(after)) => {
                let inner = difference(before, after);
                if !inner.is_empty() {
                    set.insert(format!("f:{key}"), inner.into());
                }
            }
            (_, after) => {
                set.insert(format!("f:{key}"), leaf_or_fields(after));
            }
        }
    }
    set
}

fn all_fields(value: &Map<String, Value>) -> Map<String, Value> {
    value
        .iter()
        .map(|(key, value)| (format!("f:{key}"), leaf_or_fields(value)))
        .collect()
}

/// Of an object its fields and the object itself (`.`); of anything else the empty set, which is a leaf.
fn leaf_or_fields(value: &Value) -> Value {
    let Some(fields) = value.as_object().filter(|f| !f.is_empty()) else {
        return json!({});
    };
    let mut inner = all_fields(fields);
    inner.insert(".".to_owned(), json!({}));
    inner.into()
}

fn is_leaf(set: &Value) -> bool {
    set.as_object().is_none_or(Map::is_empty)
}

fn union(mut a: Map<String, Value>, b: &Map<String, Value>) -> Map<String, Value> {
    for (key, theirs) in b {
        let merged = match (a.remove(key), theirs.as_object()) {
            (Some(Value::Object(mine)), Some(theirs)) => union(mine, theirs).into(),
            _ => theirs.clone(),
        };
        a.insert(key.clone(), merged);
    }
    a
}

/// What of `set` still exists.
fn intersect(set: Map<String, Value>, present: &Map<String, Value>) -> Map<String, Value> {
    let mut out = Map::new();
    for (key, value) in set {
        match (present.get(&key), value) {
            (None, _) => {}
            (Some(Value::Object(there)), Value::Object(inner)) if !inner.is_empty() => {
                let left = intersect(inner, there);
                if !left.is_empty() {
                    out.insert(key, left.into());
                }
            }
            (Some(_), value) => {
                out.insert(key, value);
            }
        }
    }
    out
}

/// `set` without what was taken over.
fn subtract(set: Map<String, Value>, taken: &Map<String, Value>) -> Map<String, Value> {
    let mut out = Map::new();
    for (key, value) in set {
        match taken.get(&key) {
            None => {
                out.insert(key, value);
            }
            Some(gone) if is_leaf(gone) || is_leaf(&value) => {}
            Some(gone) => {
                let (inner, gone) = (value.as_object().cloned(), gone.as_object());
                let left = subtract(inner.unwrap_or_default(), gone.unwrap_or(&Map::new()));
                if !left.is_empty() {
                    out.insert(key, left.into());
                }
            }
        }
    }
    out
}
