//! Who may do what: administrators everything, nodes what is in [`nodes`], everybody with a name discovery, and
//! everybody else the server's health and version.

mod nodes;

pub(crate) use nodes::{Scope, related};
use orlop_objects::{Key, Kind, kind};
use orlop_registry::{Door, Error};
use orlop_store::Snapshot;
use serde_json::Value;

use crate::{Identity, MASTERS, failure::Failure, join};

/// What somebody wants to do with objects.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attributes<'a> {
    pub(crate) verb: &'a str,
    pub(crate) kind: &'static Kind,
    pub(crate) subresource: &'a str,
    pub(crate) namespace: &'a str,
    /// Empty for collections, and for what is to be created.
    pub(crate) name: &'a str,
}

/// Whether it is allowed; else why not, which may be nothing more than that no rule allows it.
pub(crate) fn decide(snapshot: &Snapshot, who: &Identity, wish: Attributes<'_>) -> Result<(), String> {
    if who.is_in(MASTERS) {
        return Ok(());
    }
    match who.node_name() {
        Some(node) => nodes::decide(snapshot, node, wish),
        None => Err(String::new()),
    }
}

/// The same, as a refusal in Kubernetes' words.
pub(crate) fn check(snapshot: &Snapshot, who: &Identity, wish: Attributes<'_>) -> Result<(), Failure> {
    decide(snapshot, who, wish).map_err(|reason| refusal(who, wish, &reason))
}

/// The same within the transaction of a write: who may is decided on the snapshot that the write is decided on.
pub(crate) fn check_again(
    door: &mut Door<'_, '_>,
    who: &Identity,
    wish: Attributes<'_>,
) -> Result<(), Error> {
    protect(door, node_of(who));
    let snapshot = door.snapshot();
    still_a_node(snapshot, who, wish)?;
    decide(snapshot, who, wish).map_err(|reason| forbidden(who, wish, &reason))
}

/// Checks what can only be known from the body, within the transaction: that what a node creates is the node's.
pub(crate) fn check_created(
    door: &mut Door<'_, '_>,
    who: &Identity,
    wish: Attributes<'_>,
    value: &Value,
) -> Result<(), Error> {
    let from = who.node_name().map(|_| nodes::created_from(door.snapshot(), wish, value));
    protect(door, node_of(who).into_iter().chain(from.into_iter().flatten()));
    created(door.snapshot(), who, wish, value)
}

/// Reads under the transaction's protection what its author's right comes from: when one of these is written before the
/// commit, whether he may is asked again.
fn protect(door: &mut Door<'_, '_>, from: impl IntoIterator<Item = Key>) {
    for key in from {
        door.get(&key);
    }
}

/// The Node of a node: whoever removes it takes all its rights.
fn node_of(who: &Identity) -> Option<Key> {
    who.node_name().map(|name| Key::cluster(&kind::NODE, name))
}

fn created(snapshot: &Snapshot, who: &Identity, wish: Attributes<'_>, value: &Value) -> Result<(), Error> {
    let name = value["metadata"]["name"].as_str().unwrap_or_default();
    let wish = Attributes { name, ..wish };
    still_a_node(snapshot, who, wish)?;
    match who.node_name() {
        Some(node) if !who.is_in(MASTERS) => {
            nodes::decide_created(snapshot, node, wish, value).map_err(|reason| forbidden(who, wish, &reason))
        }
        _ => Ok(()),
    }
}

/// Whoever ceased to be a node while his body was on its way writes nothing any more.
fn still_a_node(snapshot: &Snapshot, who: &Identity, wish: Attributes<'_>) -> Result<(), Error> {
    join::still_a_node(snapshot, who).map_err(|failure| forbidden(who, wish, &failure.message))
}

fn forbidden(who: &Identity, wish: Attributes<'_>, reason: &str) -> Error {
    Error::Forbidden {
        key: Key::new(wish.kind, wish.namespace, wish.name),
        reason: cannot(who, wish, reason),
    }
}

/// Checks what can only be known from the object as it is and as it is to be; `change` is run within a transaction.
pub(crate) fn checked_change(
    who: &Identity,
    key: &Key,
    old: Value,
    change: impl FnOnce(Value) -> Result<Value, Error>,
) -> Result<Value, Error> {
    let Some(node) = who.node_name().filter(|_| !who.is_in(MASTERS)) else { return change(old) };
    let new = change(old.clone())?;
    nodes::decide_changed(node, key.kind, &old, &new)
        .map_err(|reason| Error::Forbidden { key: key.clone(), reason })?;
    Ok(new)
}

/// What somebody sees of a collection; `None` is all of it.
pub(crate) fn scope(who: &Identity, kind: &'static Kind) -> Option<Scope> {
    let node = who.node_name().filter(|_| !who.is_in(MASTERS))?;
    Scope::of(node, kind)
}

fn refusal(who: &Identity, wish: Attributes<'_>, reason: &str) -> Failure {
    let Attributes { kind, name, .. } = wish;
    let subject = if name.is_empty() { kind.qualified() } else { format!("{} \"{name}\"", kind.qualified()) };
    Failure::forbidden(kind, name, format!("{subject} is forbidden: {}", cannot(who, wish, reason)))
}

/// Kubernetes' sentence about somebody who may not.
fn cannot(who: &Identity, wish: Attributes<'_>, reason: &str) -> String {
    let Attributes { verb, kind, subresource, namespace, .. } = wish;
    let resource = if subresource.is_empty() {
        kind.plural.to_owned()
    } else {
        format!("{}/{subresource}", kind.plural)
    };
    let place = if namespace.is_empty() {
        "at the cluster scope".to_owned()
    } else {
        format!("in the namespace \"{namespace}\"")
    };
    let mut message = format!(
        "User \"{}\" cannot {verb} resource \"{resource}\" in API group \"{}\" {place}",
        who.user, kind.group
    );
    if !reason.is_empty() {
        message.push_str(": ");
        message.push_str(reason);
    }
    message
}

#[cfg(test)]
mod tests;
