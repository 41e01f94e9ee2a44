//! Which half of an object a write may change, and what no write may change.

use std::collections::HashSet;

use orlop_objects::{Cause, FieldError, Key, Kind, Object, join::NODE_KEY, kind, quote};
use serde_json::{Map, Value};

use crate::{Error, Part, create, json};

/// As many finalizers that may not be added are told.
const TOLD: usize = 10;

/// The next version of `old`, made of what the writer may change in `new`.
pub(crate) fn prepare(
    kind: &'static Kind,
    part: Part,
    old: &Object,
    before: &Value,
    mut new: Value,
) -> Result<Value, Error> {
    if part == Part::Status && !kind.has("status") {
        return Err(Error::BadRequest(format!("{} have no status", kind.plural)));
    }
    create::strip_nulls(kind, &mut new);
    create::set_type(kind, &mut new)?;
    check_identity(old, &new)?;
    let mut next = match part {
        Part::Status => with_status_of(before, &new),
        Part::Main if kind.has("status") => with_status_of(&new, before),
        Part::Main | Part::Whole => new,
    };
    let meta = json::meta(&mut next);
    meta.remove("resourceVersion");
    // Whatever the writer sends there.
    for field in json::SERVERS_OWN.into_iter().chain(["name", "namespace"]) {
        json::keep(meta, before.get("metadata"), field);
    }
    refuse_new_finalizers(&old.key, before, &next)?;
    if part == Part::Main {
        keep_other_doors(kind, &old.key, before, &mut next)?;
    }
    // Before the comparison: an absent default is not a change.
    create::complete(kind, &mut next);
    if create::counts_generation(kind) && next.get("spec") != before.get("spec") {
        json::meta(&mut next).insert("generation".to_owned(), (old.meta.generation + 1).into());
    }
    Ok(next)
}

/// `base` with the status of `other`.
fn with_status_of(base: &Value, other: &Value) -> Value {
    let mut next = base.clone();
    if let Some(fields) = next.as_object_mut() {
        json::keep(fields, Some(other), "status");
    }
    next
}

fn check_identity(old: &Object, new: &Value) -> Result<(), Error> {
    let key = &old.key;
    let version = json::text(new, "/metadata/resourceVersion");
    if !version.is_empty() && version != "0" && version != old.revision.to_string() {
        return Err(Error::stale(key));
    }
    let uid = json::text(new, "/metadata/uid");
    if !uid.is_empty() && uid != old.meta.uid {
        return Err(Error::other_uid(key, uid, &old.meta.uid));
    }
    for (field, wanted) in [("name", &key.name), ("namespace", &key.namespace)] {
        let found = json::text(new, &format!("/metadata/{field}"));
        if !found.is_empty() && found != wanted {
            let found = quote::text(found);
            return Err(Error::BadRequest(format!(
                "the {field} of the object ({found}) does not match the {field} on the URL ({wanted})"
            )));
        }
    }
    Ok(())
}

/// A terminating object's finalizers may only be removed: else it could be held for ever.
fn refuse_new_finalizers(key: &Key, before: &Value, next: &Value) -> Result<(), Error> {
    if before.pointer("/metadata/deletionTimestamp").is_none() {
        return Ok(());
    }
    let old: HashSet<&Value> = json::list(before, "/metadata/finalizers").iter().collect();
    let added = json::list(next, "/metadata/finalizers").iter().filter(|f| !old.contains(f));
    // A few tell which way is meant.
    let added: Vec<_> = added.filter_map(Value::as_str).map(quote::text).take(TOLD).collect();
    if added.is_empty() {
        return Ok(());
    }
    let detail = format!(
        "no new finalizers can be added if the object is being deleted, found new finalizers {added:?}"
    );
    let cause = FieldError::new("metadata.finalizers", Cause::Forbidden, detail);
    Err(Error::Invalid { key: key.clone(), causes: vec![cause] })
}

/// Fields that have a subresource of their own and that the main door leaves alone.
fn keep_other_doors(kind: &Kind, key: &Key, before: &Value, next: &mut Value) -> Result<(), Error> {
    if *kind == kind::NAMESPACE {
        json::keep(json::section(next, "spec"), before.get("spec"), "finalizers");
    }
    if *kind == kind::NODE {
        keep_node_key(before, next);
    }
    let node = |v: &Value| json::text(v, "/spec/nodeName").to_owned();
    if *kind == kind::POD && node(before) != node(next) {
        let detail =
            "may not be changed after creation; POST a Binding to the pod's binding subresource instead";
        let cause = FieldError::new("spec.nodeName", Cause::Forbidden, detail);
        return Err(Error::Invalid { key: key.clone(), causes: vec![cause] });
    }
    Ok(())
}

/// The key that speaks for a node came with its joining; a manifest that leaves it out must not lock the node out, and
/// none may put another in.
fn keep_node_key(before: &Value, next: &mut Value) {
    let old = before.pointer("/metadata/annotations").and_then(|all| all.get(NODE_KEY));
    if old.is_none() && next.pointer("/metadata/annotations").is_none() {
        return;
    }
    let annotations = json::meta(next).entry("annotations").or_insert_with(|| Value::Object(Map::new()));
    let Some(annotations) = annotations.as_object_mut() else { return };
    match old {
        Some(key) => annotations.insert(NODE_KEY.to_owned(), key.clone()),
        None => annotations.remove(NODE_KEY),
    };
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Where each is looked for among all the others, this takes minutes.
    #[test]
    fn many_finalizers_are_compared_in_time_and_few_are_told() {
        let terminating = |from: u32, to: u32| {
            let finalizers: Vec<String> = (from..to).map(|n| format!("example.com/{n}")).collect();
            json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": finalizers}})
        };
        let key = Key::new(&kind::CONFIG_MAP, "default", "a");
        let (before, fewer) = (terminating(0, 60_000), terminating(1, 60_000));
        assert!(refuse_new_finalizers(&key, &before, &fewer).is_ok());
        let refused = refuse_new_finalizers(&key, &before, &terminating(0, 120_000));
        let Err(Error::Invalid { causes, .. }) = refused else { panic!("{refused:?}") };
        assert!(causes[0].detail.contains("example.com/60000"), "{}", causes[0].detail);
        assert!(causes[0].detail.len() < 1000, "{}", causes[0].detail.len());
    }
}
