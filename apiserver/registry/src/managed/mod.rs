//! Who set which field: one entry per manager, operation and subresource in `metadata.managedFields`.
//!
//! | a write | its manager | all others |
//! |---|---|---|
//! | sets or changes a field | owns it | lose it |
//! | leaves a field as it is | owns it if it did | own it if they did |
//! | removes a field | loses it | lose it |
//!
//! Only the operation Update is recorded so far. The encoding of a set of fields (`FieldsV1`) is that of Kubernetes'
//! structured-merge-diff: `f:name` for a field, `k:{…}` for a list item by its keys, `v:…` for an item of a set, `.` for
//! the thing itself; which lists and maps are taken apart stands in the schema table.

mod fields;
mod set;

use jiff::Timestamp;
use orlop_objects::{Kind, time};
use serde_json::{Value, json};

use crate::{Part, Who, json};

/// Whether two versions say the same, apart from who said it.
pub(crate) fn same_but_for_managers(a: &Value, b: &Value) -> bool {
    let (Some(a), Some(b)) = (a.as_object(), b.as_object()) else { return a == b };
    let same_meta = |a: &Value, b: &Value| {
        let said =
            |v: &Value| v.as_object().map_or(0, |m| m.len() - usize::from(m.contains_key("managedFields")));
        let mut fields = a.as_object().into_iter().flatten().filter(|(k, _)| *k != "managedFields");
        said(a) == said(b) && fields.all(|(k, v)| b.get(k) == Some(v))
    };
    a.len() == b.len()
        && a.iter().all(|(key, value)| match b.get(key) {
            Some(other) if key == "metadata" => same_meta(value, other),
            other => other == Some(value),
        })
}

/// Writes into `next` who owns what, now that `who` made it of `before`.
pub(crate) fn record(
    kind: &'static Kind,
    before: Option<&Value>,
    next: &mut Value,
    part: Part,
    who: &Who,
    now: Timestamp,
) {
    let mut changed = fields::changed(kind, before.unwrap_or(&Value::Null), next);
    if part == Part::Main && kind.has("status") {
        // The first status is the server's, not the creator's.
        changed.remove("f:status");
    }
    let present = fields::all(kind, next);
    let subresource = if part == Part::Status { "status" } else { "" };
    let mut entries: Vec<Value> = Vec::new();
    let mut mine = changed.clone();
    for entry in before.map(|b| json::list(b, "/metadata/managedFields")).unwrap_or_default() {
        let owned = entry.get("fieldsV1").and_then(Value::as_object).cloned().unwrap_or_default();
        let owned = set::intersect(owned, &present);
        if is_entry_of(entry, who, subresource) {
            mine = set::union(mine, &owned);
            continue;
        }
        let left = set::subtract(owned, &changed);
        if !left.is_empty() {
            let mut entry = entry.clone();
            entry["fieldsV1"] = left.into();
            entries.push(entry);
        }
    }
    if !mine.is_empty() {
        let mut entry = json!({"manager": who.manager, "operation": "Update", "apiVersion": kind.api_version(),
            "time": time::seconds(now), "fieldsType": "FieldsV1", "fieldsV1": mine});
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
