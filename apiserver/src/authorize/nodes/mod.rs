//! What a node may do: see what is its own and what that names, write what is its own, and nothing else.
//!
//! The same idea as Kubernetes' node authorizer and NodeRestriction, in one table: [`RULES`]. Lists and watches are
//! allowed where a `get` may be, and show no more than a `get` would: see [`Scope`].

mod attributes;
mod change;
mod labels;
mod relation;
mod volume;

use orlop_objects::{Key, Kind, Object, kind};
use orlop_store::{Change, Snapshot};
pub(crate) use relation::related;
use relation::{LEASES, is_at, is_of};
use serde_json::Value;

use super::Attributes;

/// Which objects a rule is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    /// All of them.
    Any,
    /// The one with the node's name; a Lease in [`LEASES`].
    Own,
    /// Those that are the node's: see [`relation`].
    Mine,
    /// Those of them that the node may change: see [`is_at`].
    Here,
}

/// One permission.
pub(super) struct Rule {
    kind: &'static Kind,
    subresource: &'static str,
    verbs: &'static [&'static str],
    which: Which,
}

const fn rule(
    kind: &'static Kind,
    subresource: &'static str,
    verbs: &'static [&'static str],
    which: Which,
) -> Rule {
    Rule { kind, subresource, verbs, which }
}

const READ: &[&str] = &["get", "list", "watch"];

/// Everything that a node may do. All nodes are seen by all, for the routes between them; classes and drivers are settings
/// of the cluster, and nobody's.
pub(super) static RULES: [Rule; 25] = [
    // Of the other nodes their addresses and ranges: an agent has routes to their pods.
    rule(&kind::NODE, "", READ, Which::Any),
    rule(&kind::NODE, "", &["create", "update", "patch"], Which::Own),
    rule(&kind::NODE, "status", &["get", "update", "patch"], Which::Own),
    rule(&kind::CSI_NODE, "", READ, Which::Mine),
    rule(&kind::CSI_NODE, "", &["create", "update", "patch", "delete"], Which::Own),
    rule(&kind::LEASE, "", READ, Which::Mine),
    rule(&kind::LEASE, "", &["create", "update", "patch", "delete"], Which::Own),
    rule(&kind::POD, "", READ, Which::Mine),
    rule(&kind::POD, "", &["delete"], Which::Here),
    rule(&kind::POD, "status", &["get", "update", "patch"], Which::Here),
    rule(&kind::PERSISTENT_VOLUME, "", READ, Which::Mine),
    rule(&kind::PERSISTENT_VOLUME, "", &["create"], Which::Here),
    rule(&kind::PERSISTENT_VOLUME, "", &["patch"], Which::Here),
    rule(&kind::PERSISTENT_VOLUME_CLAIM, "", READ, Which::Mine),
    rule(&kind::PERSISTENT_VOLUME_CLAIM, "", &["patch"], Which::Here),
    rule(&kind::VOLUME_ATTACHMENT, "", READ, Which::Mine),
    rule(&kind::VOLUME_ATTACHMENT, "", &["patch"], Which::Here),
    rule(&kind::VOLUME_ATTACHMENT, "status", &["get", "update", "patch"], Which::Here),
    rule(&kind::STORAGE_CLASS, "", READ, Which::Any),
    rule(&kind::CSI_DRIVER, "", READ, Which::Any),
    rule(&kind::EVENT, "", &["get"], Which::Mine),
    rule(&kind::EVENT, "", &["create", "update", "patch"], Which::Here),
    rule(&kind::CONFIG_MAP, "", &["get"], Which::Mine),
    rule(&kind::SECRET, "", &["get"], Which::Mine),
    rule(&kind::SERVICE_ACCOUNT, "", &["get"], Which::Mine),
];

/// Whether the node may; an empty reason means that there is no rule at all.
pub(super) fn decide(snapshot: &Snapshot, node: &str, wish: Attributes<'_>) -> Result<(), String> {
    let mut reason = String::new();
    for rule in RULES.iter().filter(|rule| rule.allows(wish)) {
        match holds(snapshot, node, wish, rule.which) {
            Ok(()) => return Ok(()),
            Err(why) => reason = why,
        }
    }
    Err(reason)
}

fn holds(snapshot: &Snapshot, node: &str, wish: Attributes<'_>, which: Which) -> Result<(), String> {
    let Attributes { verb, kind, namespace, name, .. } = wish;
    let object = || snapshot.get(&Key::new(kind, namespace, name));
    match which {
        Which::Any => Ok(()),
        Which::Own if *kind == kind::LEASE && namespace != LEASES => {
            Err(format!("a node's lease is in the namespace \"{LEASES}\""))
        }
        // What is to be created has its name in the body: `decide_created` sees it.
        Which::Own | Which::Here if verb == "create" => Ok(()),
        Which::Own if name == node => Ok(()),
        Which::Own => Err(format!("node \"{node}\" is not allowed to modify {} \"{name}\"", kind.plural)),
        // What is not the node's is left out of the answer: see `Scope`.
        Which::Mine if matches!(verb, "list" | "watch") => Ok(()),
        Which::Mine if is_told_apart(kind) => match object() {
            Some(object) if is_of(snapshot, node, &object) => Ok(()),
            _ => Err(format!("no relationship found between node '{node}' and this object")),
        },
        // An unknown object is let through: the registry says that it is not there.
        Which::Mine => match object() {
            Some(object) if !is_of(snapshot, node, &object) => {
                Err(format!("no relationship found between node '{node}' and this object"))
            }
            _ => Ok(()),
        },
        Which::Here => match object() {
            Some(object) if !is_at(snapshot, node, &object) => {
                Err(format!("node \"{node}\" can only change {} that are at it", kind.plural))
            }
            _ => Ok(()),
        },
    }
}

/// Kinds of which a node must not even learn whether there is an object of some name.
fn is_told_apart(kind: &Kind) -> bool {
    [&kind::SECRET, &kind::CONFIG_MAP, &kind::SERVICE_ACCOUNT].contains(&kind)
}

/// Whether the node may create this object.
///
/// | kind | must |
/// |---|---|
/// | Node | have the node's name, and nothing that the node could not give to one that is there: see [`change`] |
/// | CSINode, Lease | have the node's name |
/// | PersistentVolume | be what a driver of ours makes for a claim of the node, and be kept there: see [`volume`] |
/// | Event | be told by the node |
pub(super) fn decide_created(
    snapshot: &Snapshot,
    node: &str,
    wish: Attributes<'_>,
    value: &Value,
) -> Result<(), String> {
    let name = value["metadata"]["name"].as_str().unwrap_or_default();
    let refuse = |why: &str| {
        Err(format!("node \"{node}\" is not allowed to create {} \"{name}\"{why}", wish.kind.plural))
    };
    match wish.kind.kind {
        "PersistentVolume" => {
            volume::decide(snapshot, node, value).or_else(|why| refuse(&format!(": {why}")))
        }
        "Event" if !relation::tells(value, node) => refuse(": reportingInstance must name the node"),
        "Event" => Ok(()),
        "Node" if name == node => change::decide(wish.kind, node, &Value::Null, value)
            .or_else(|field| refuse(&format!(": it cannot give itself {field}"))),
        _ if name == node => Ok(()),
        _ => refuse(""),
    }
}

/// The objects from which it follows whether a node may create this one, beside the Node.
pub(super) fn created_from(snapshot: &Snapshot, wish: Attributes<'_>, value: &Value) -> Vec<Key> {
    if *wish.kind == kind::PERSISTENT_VOLUME { volume::comes_from(snapshot, value) } else { Vec::new() }
}

/// Whether the node may turn an object that it may change into this.
pub(super) fn decide_changed(node: &str, kind: &Kind, old: &Value, new: &Value) -> Result<(), String> {
    change::decide(kind, node, old, new)
        .map_err(|field| format!("node \"{node}\" is not allowed to change {field} of {}", kind.plural))
}

impl Rule {
    fn allows(&self, wish: Attributes<'_>) -> bool {
        // By reference alone: two kinds of one group and plural are the same kind.
        *self.kind == *wish.kind && self.subresource == wish.subresource && self.verbs.contains(&wish.verb)
    }
}

/// What a node sees of a collection: its own objects of the kind, and no others.
#[derive(Clone, Debug)]
pub(crate) struct Scope {
    node: String,
    kind: &'static Kind,
}

impl Scope {
    /// The node's view of a kind; `None` where it sees all of it.
    pub(super) fn of(node: &str, kind: &'static Kind) -> Option<Self> {
        let all =
            |rule: &Rule| *rule.kind == *kind && rule.verbs.contains(&"list") && rule.which == Which::Any;
        (!RULES.iter().any(all)).then(|| Self { node: node.to_owned(), kind })
    }

    /// Whether the object is in it.
    pub(crate) fn shows(&self, snapshot: &Snapshot, object: &Object) -> bool {
        is_of(snapshot, &self.node, object)
    }

    /// The objects that a change may have brought into it, or taken out.
    pub(crate) fn touched(&self, snapshot: &Snapshot, change: &Change) -> Vec<Key> {
        relation::touched(snapshot, &self.node, self.kind, change)
    }
}
