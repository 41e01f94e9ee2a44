//! What the garbage collector knows about a set of objects, their owners and dependents: one snapshot.

use std::sync::Arc;

use orlop_objects::{Key, Object, index::Index, kind};
use serde_json::Value;

use super::decide::{Dependent, FOREGROUND, Facts, ORPHAN};
use crate::worker::{Due, Reader};

/// Gathers the facts.
pub(crate) fn view(keys: &[Due], reader: &Reader) -> Vec<(Key, Facts)> {
    let facts = |Due { key, .. }: &Due| {
        let object = reader.snapshot.get(key)?;
        concerns(&object).then(|| (key.clone(), facts(&object, reader)))
    };
    keys.iter().filter_map(facts).collect()
}

/// Whether an object has owners, or waits because of its dependents.
pub(crate) fn concerns(object: &Object) -> bool {
    let holds = |finalizer: &String| finalizer == FOREGROUND || finalizer == ORPHAN;
    !object.meta.owner_references.is_empty() || object.meta.finalizers.iter().any(holds)
}

fn facts(object: &Object, reader: &Reader) -> Facts {
    let meta = &object.meta;
    let finalizers: Vec<String> =
        meta.finalizers.iter().filter(|f| *f == FOREGROUND || *f == ORPHAN).cloned().collect();
    let dependents =
        if meta.is_terminating() && !finalizers.is_empty() { dependents(object, reader) } else { Vec::new() };
    Facts {
        revision: object.revision,
        uid: meta.uid.clone(),
        terminating: meta.is_terminating(),
        owned: !meta.owner_references.is_empty(),
        has_owner: has_owner(object, reader),
        finalizers,
        dependents,
    }
}

/// What is known of an owner that a reference names.
enum Owner {
    /// There is none, or another object under its name.
    Gone,
    /// It may be there: its kind is not served here, or it is in some namespace while the object is in none.
    Unknown,
    There(Arc<Object>),
}

fn has_owner(object: &Object, reader: &Reader) -> bool {
    let value = object.value();
    owners(&value).any(|owner| !matches!(find(owner, object, reader), Owner::Gone))
}

fn owners(value: &Value) -> impl Iterator<Item = &Value> {
    value.pointer("/metadata/ownerReferences").and_then(Value::as_array).into_iter().flatten()
}

fn find(owner: &Value, object: &Object, reader: &Reader) -> Owner {
    let text = |field: &str| owner[field].as_str().unwrap_or_default();
    let Some(kind) = kind::by_name(text("apiVersion"), text("kind")) else { return Owner::Unknown };
    if kind.namespaced && !object.key.kind.namespaced {
        // Nobody knows in which namespace to look.
        return Owner::Unknown;
    }
    let namespace = if kind.namespaced { object.key.namespace.as_str() } else { "" };
    let found = reader.snapshot.get(&Key::new(kind, namespace, text("name")));
    found.filter(|found| found.meta.uid == text("uid")).map_or(Owner::Gone, Owner::There)
}

/// Whether an owner other than `dying` keeps the object: one that is there, and does not wait itself for what it owns to go.
fn is_kept(object: &Object, dying: &str, reader: &Reader) -> bool {
    let value = object.value();
    owners(&value).filter(|owner| owner["uid"] != *dying).any(|owner| match find(owner, object, reader) {
        Owner::Gone => false,
        Owner::Unknown => true,
        Owner::There(found) => {
            !(found.meta.is_terminating() && found.meta.finalizers.iter().any(|held| held == FOREGROUND))
        }
    })
}

fn dependents(object: &Object, reader: &Reader) -> Vec<Dependent> {
    let uid = &object.meta.uid;
    let mine = |dependent: &Object| {
        let owner = dependent.meta.owner_references.iter().find(|owner| owner.uid == *uid)?;
        Some(Dependent {
            key: dependent.key.clone(),
            uid: dependent.meta.uid.clone(),
            kept: is_kept(dependent, uid, reader),
            terminating: dependent.meta.is_terminating(),
            blocks: owner.block_owner_deletion,
        })
    };
    reader.snapshot.having(Index::ByOwner, uid).filter_map(|dependent| mine(dependent)).collect()
}
