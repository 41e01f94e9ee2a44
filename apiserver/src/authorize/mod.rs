//! Who may do what: administrators everything, nodes what is in [`nodes`], everybody with a name discovery, and
//! everybody else the server's health and version.

mod nodes;

use orlop_objects::Kind;
use orlop_store::Snapshot;

use crate::{Identity, MASTERS, failure::Failure};

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

/// Checks what can only be known from the body: that a node creates nothing under another's name.
pub(crate) fn check_created(who: &Identity, wish: Attributes<'_>, name: &str) -> Result<(), Failure> {
    match who.node_name() {
        Some(node) if !who.is_in(MASTERS) => nodes::decide_created(node, wish, name)
            .map_err(|reason| refusal(who, Attributes { name, ..wish }, &reason)),
        _ => Ok(()),
    }
}

fn refusal(who: &Identity, wish: Attributes<'_>, reason: &str) -> Failure {
    let Attributes { verb, kind, subresource, namespace, name } = wish;
    let resource = if subresource.is_empty() {
        kind.plural.to_owned()
    } else {
        format!("{}/{subresource}", kind.plural)
    };
    let subject = if name.is_empty() { kind.qualified() } else { format!("{} \"{name}\"", kind.qualified()) };
    let place = if namespace.is_empty() {
        "at the cluster scope".to_owned()
    } else {
        format!("in the namespace \"{namespace}\"")
    };
    let mut message = format!(
        "{subject} is forbidden: User \"{}\" cannot {verb} resource \"{resource}\" in API group \"{}\" {place}",
        who.user, kind.group
    );
    if !reason.is_empty() {
        message.push_str(": ");
        message.push_str(reason);
    }
    Failure::forbidden(kind, name, message)
}

#[cfg(test)]
mod tests;
