//! Who belongs to whom: what a workload controls, what it adopts, what it lets go.
//!
//! | object | controller | labels | it is |
//! |---|---|---|---|
//! | any | this workload | match | its own |
//! | any | this workload | do not match | to be released, unless the workload is going |
//! | lives | nobody | match | to be adopted, unless the workload is going |
//! | anything else | | | not its business |
//!
//! Nothing is scanned: what is owned is found by its owner's uid, what is nobody's by a label that the selector asks for.

use std::sync::Arc;

use futures::future::try_join_all;
use k8s_openapi::apimachinery::pkg::apis::meta;
use orlop_objects::{
    Key, Kind, Meta, Object,
    index::{self, Index},
    selector::{LabelSelector, Operator},
};
use orlop_registry::{Door, Error as Refused, Part};
use orlop_store::Snapshot;
use serde_json::{Value, json};

use crate::{Error, error::stale, parts::Parts};

/// A workload's objects of one kind.
#[derive(Debug, Default)]
pub(crate) struct Family {
    /// What it controls.
    pub(crate) own: Vec<Arc<Object>>,
    /// What it changes before anything else.
    pub(crate) moves: Moves,
}

/// Objects whose controller changes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Moves {
    /// They become its own.
    pub(crate) adopt: Vec<Arc<Object>>,
    /// They are its own no more.
    pub(crate) release: Vec<Arc<Object>>,
}

impl Moves {
    /// Whether nothing moves.
    pub(crate) fn is_empty(&self) -> bool {
        self.adopt.is_empty() && self.release.is_empty()
    }

    /// Both together.
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.adopt.extend(other.adopt);
        self.release.extend(other.release);
        self
    }
}

/// A selector as the objects crate reads it. One that cannot be read selects nothing: validation let none in.
pub(crate) fn selector(selector: &meta::v1::LabelSelector) -> Option<LabelSelector> {
    let value = serde_json::to_value(selector).ok()?;
    LabelSelector::from_object("spec.selector", &value).ok().filter(|selector| !selector.is_empty())
}

/// The uid of an object's controller.
pub(crate) fn controller(meta: &Meta) -> Option<&str> {
    meta.owner_references.iter().find(|owner| owner.controller).map(|owner| owner.uid.as_str())
}

/// The objects of `kind` that are, become or were those of `owner`.
pub(crate) fn of(
    snapshot: &Snapshot,
    owner: &Object,
    selector: &LabelSelector,
    kind: &'static Kind,
) -> Family {
    let mut family = Family::default();
    let uid = owner.meta.uid.as_str();
    let stays = !owner.meta.is_terminating();
    for object in snapshot.having(Index::ByOwner, uid) {
        if *object.key.kind != *kind || controller(&object.meta) != Some(uid) {
            continue;
        }
        if selector.matches(&object.meta.labels) {
            family.own.push(object.clone());
        } else if stays {
            family.moves.release.push(object.clone());
        }
    }
    if stays {
        let lives =
            |object: &&Arc<Object>| !object.meta.is_terminating() && selector.matches(&object.meta.labels);
        let mut orphans: Vec<_> = orphans(snapshot, owner, selector, kind).filter(lives).cloned().collect();
        // Without a label that is asked for by its value, an orphan is found under each of its labels.
        orphans.sort_by(|a, b| a.key.cmp(&b.key));
        orphans.dedup_by(|a, b| a.key == b.key);
        family.moves.adopt = orphans;
    }
    family
}

fn orphans<'a>(
    snapshot: &'a Snapshot,
    owner: &Object,
    selector: &LabelSelector,
    kind: &'static Kind,
) -> impl Iterator<Item = &'a Arc<Object>> + use<'a> {
    let namespace = &owner.key.namespace;
    let one = |operator: &Operator| match operator {
        Operator::In(values) if values.len() == 1 => values.first().cloned(),
        _ => None,
    };
    let asked = selector.requirements.iter().find_map(|r| Some((r.key.as_str(), one(&r.operator)?)));
    let (exact, any) = match asked {
        Some((label, value)) => {
            let entry = index::labelled(kind, namespace, label, &value);
            (Some(snapshot.having(Index::Orphans, &entry)), None)
        }
        None => (None, Some(snapshot.indexed(Index::Orphans, &index::unlabelled(kind, namespace)))),
    };
    exact.into_iter().flatten().chain(any.into_iter().flatten())
}

/// The workloads of `kind` that an object concerns: its controller, or whoever could adopt it.
pub(crate) fn concerned(snapshot: &Snapshot, object: &Object, kind: &'static Kind) -> Vec<Key> {
    let namespace = object.key.namespace.as_str();
    if let Some(owner) = object.meta.owner_references.iter().find(|owner| owner.controller) {
        let mine = owner.kind == kind.kind;
        return mine.then(|| Key::new(kind, namespace, &*owner.name)).into_iter().collect();
    }
    if object.meta.is_terminating() { Vec::new() } else { selecting(snapshot, object, kind) }
}

/// The workloads of `kind` whose selector may fit an object's labels.
pub(crate) fn selecting(snapshot: &Snapshot, object: &Object, kind: &'static Kind) -> Vec<Key> {
    let namespace = object.key.namespace.as_str();
    let labels =
        object.meta.labels.iter().map(|(label, value)| index::labelled(kind, namespace, label, value));
    let entries = labels.chain([index::unlabelled(kind, namespace)]);
    entries
        .flat_map(|entry| snapshot.having(Index::Selectors, &entry))
        .map(|found| found.key.clone())
        .collect()
}

/// How an object names its controller.
pub(crate) fn reference(owner: &Object) -> Value {
    json!({"apiVersion": owner.key.kind.api_version(), "kind": owner.key.kind.kind, "name": owner.meta.name,
        "uid": owner.meta.uid, "controller": true, "blockOwnerDeletion": true})
}

/// The owner must still be the one that was decided for, and stay.
pub(crate) fn stays(door: &mut Door<'_, '_>, owner: &Object) -> Result<(), Refused> {
    let found = door.get(&owner.key);
    let same = found.is_some_and(|found| found.meta.uid == owner.meta.uid && !found.meta.is_terminating());
    if same { Ok(()) } else { Err(stale(&owner.key)) }
}

/// Adopts and releases.
pub(crate) async fn carry_out(parts: &Parts, owner: &Object, moves: &Moves) -> Result<(), Error> {
    let adopted = try_join_all(moves.adopt.iter().map(|object| async {
        let done = parts.transact(|door| {
            stays(door, owner)?;
            with_owners(door, object, |owners| owners.push(reference(owner)))
        });
        done.await.map_err(Error::doing("adopt", &object.key))
    }));
    adopted.await?;
    let released = try_join_all(moves.release.iter().map(|object| async {
        let own = |reference: &Value| reference["uid"] == owner.meta.uid;
        let done = parts
            .transact(|door| with_owners(door, object, |owners| owners.retain(|reference| !own(reference))));
        done.await.map_err(Error::doing("release", &object.key))
    }));
    released.await.map(drop)
}

fn with_owners(
    door: &mut Door<'_, '_>,
    object: &Object,
    f: impl FnOnce(&mut Vec<Value>),
) -> Result<(), Refused> {
    if door.get(&object.key).is_none_or(|current| current.revision != object.revision) {
        return Err(stale(&object.key));
    }
    let change = |mut value: Value| {
        let owners = value["metadata"]["ownerReferences"].as_array().cloned();
        let mut owners = owners.unwrap_or_default();
        f(&mut owners);
        value["metadata"]["ownerReferences"] = owners.into();
        Ok(value)
    };
    door.change(&object.key, Part::Main, change).map(drop)
}
