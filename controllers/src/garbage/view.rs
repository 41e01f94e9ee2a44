//! What the garbage collector knows about a set of objects, their owners and dependents: one snapshot.

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

fn has_owner(object: &Object, reader: &Reader) -> bool {
    let value = object.value();
    let owners = value.pointer("/metadata/ownerReferences").and_then(Value::as_array);
    owners.into_iter().flatten().any(|owner| is_there(owner, object, reader))
}

/// Whether the owner that a reference names exists; one of a kind that is not served here may, and so may one that is in
/// some namespace while the object is in none.
fn is_there(owner: &Value, object: &Object, reader: &Reader) -> bool {
    let text = |field: &str| owner[field].as_str().unwrap_or_default();
    let Some(kind) = kind::by_name(text("apiVersion"), text("kind")) else { return true };
    if kind.namespaced && !object.key.kind.namespaced {
        // Nobody knows in which namespace to look.
        return true;
    }
    let namespace = if kind.namespaced { object.key.namespace.as_str() } else { "" };
    let found = reader.snapshot.get(&Key::new(kind, namespace, text("name")));
    found.is_some_and(|found| found.meta.uid == text("uid"))
}

fn dependents(object: &Object, reader: &Reader) -> Vec<Dependent> {
    let uid = &object.meta.uid;
    let mine = |dependent: &Object| {
        let owner = dependent.meta.owner_references.iter().find(|owner| owner.uid == *uid)?;
        Some(Dependent {
            key: dependent.key.clone(),
            terminating: dependent.meta.is_terminating(),
            blocks: owner.block_owner_deletion,
        })
    };
    reader.snapshot.having(Index::ByOwner, uid).filter_map(|dependent| mine(dependent)).collect()
}
