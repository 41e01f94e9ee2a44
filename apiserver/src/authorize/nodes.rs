//! What a node may do: read what its work needs, write what is its own.
//!
//! The same idea as Kubernetes' node authorizer and NodeRestriction, in one table: [`RULES`].

use orlop_objects::{Key, Kind, Object, index::Index, keeper, kind};
use orlop_store::Snapshot;
use serde_json::Value;

use super::Attributes;

/// Where the nodes' heartbeats are.
const LEASES: &str = "kube-node-lease";

/// Which objects a rule is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    /// All of them.
    Any,
    /// The one with the node's name; a Lease in [`LEASES`].
    Own,
    /// Those that are at the node: see [`is_at`].
    Here,
    /// What a pod bound to the node names.
    Named,
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
const CHANGE: &[&str] = &["update", "patch"];

/// Everything that a node may do.
pub(super) static RULES: [Rule; 31] = [
    rule(&kind::NODE, "", READ, Which::Any),
    rule(&kind::NODE, "", &["create", "update", "patch"], Which::Own),
    rule(&kind::NODE, "status", CHANGE, Which::Own),
    rule(&kind::CSI_NODE, "", READ, Which::Any),
    rule(&kind::CSI_NODE, "", &["create", "update", "patch", "delete"], Which::Own),
    rule(&kind::LEASE, "", READ, Which::Any),
    rule(&kind::LEASE, "", &["create", "update", "patch", "delete"], Which::Own),
    rule(&kind::POD, "", READ, Which::Any),
    rule(&kind::POD, "", &["delete"], Which::Here),
    rule(&kind::POD, "status", CHANGE, Which::Here),
    rule(&kind::PERSISTENT_VOLUME, "", READ, Which::Any),
    rule(&kind::PERSISTENT_VOLUME, "", &["create"], Which::Any),
    rule(&kind::PERSISTENT_VOLUME, "", &["patch"], Which::Here),
    rule(&kind::PERSISTENT_VOLUME_CLAIM, "", READ, Which::Any),
    rule(&kind::PERSISTENT_VOLUME_CLAIM, "", &["patch"], Which::Here),
    rule(&kind::VOLUME_ATTACHMENT, "", READ, Which::Any),
    rule(&kind::VOLUME_ATTACHMENT, "", &["patch"], Which::Here),
    rule(&kind::VOLUME_ATTACHMENT, "status", CHANGE, Which::Here),
    rule(&kind::STORAGE_CLASS, "", READ, Which::Any),
    rule(&kind::CSI_DRIVER, "", READ, Which::Any),
    rule(&kind::NAMESPACE, "", READ, Which::Any),
    rule(&kind::SERVICE, "", READ, Which::Any),
    rule(&kind::EVENT, "", &["get", "create", "update", "patch"], Which::Any),
    rule(&crate::events::SHOWN, "", &["get", "create", "update", "patch"], Which::Any),
    rule(&kind::CONFIG_MAP, "", &["get"], Which::Named),
    rule(&kind::SECRET, "", &["get"], Which::Named),
    rule(&kind::SERVICE_ACCOUNT, "", &["get"], Which::Named),
    rule(&kind::POD, "status", &["get"], Which::Any),
    rule(&kind::NODE, "status", &["get"], Which::Any),
    rule(&kind::VOLUME_ATTACHMENT, "status", &["get"], Which::Any),
    rule(&kind::PERSISTENT_VOLUME_CLAIM, "status", &["get"], Which::Any),
];

/// Whether the node may; an empty reason means that there is no rule at all.
pub(super) fn decide(snapshot: &Snapshot, node: &str, wish: Attributes<'_>) -> Result<(), String> {
    let mut reason = String::new();
    for rule in RULES.iter().filter(|rule| rule.allows(wish)) {
        let holds = match rule.which {
            Which::Any => Ok(()),
            Which::Own if *wish.kind == kind::LEASE && wish.namespace != LEASES => {
                Err(format!("a node's lease is in the namespace \"{LEASES}\""))
            }
            // What is to be created has its name in the body: `decide_created` sees it.
            Which::Own if wish.verb == "create" || wish.name == node => Ok(()),
            Which::Own => Err(format!(
                "node \"{node}\" is not allowed to modify {} \"{}\"",
                wish.kind.plural, wish.name
            )),
            Which::Here => here(snapshot, node, wish),
            Which::Named => named(snapshot, node, wish),
        };
        match holds {
            Ok(()) => return Ok(()),
            Err(why) => reason = why,
        }
    }
    Err(reason)
}

/// Whether the node may create something of this name.
pub(super) fn decide_created(node: &str, wish: Attributes<'_>, name: &str) -> Result<(), String> {
    let mut rules = RULES.iter().filter(|rule| rule.allows(wish));
    if rules.any(|rule| rule.which != Which::Own || name == node) {
        return Ok(());
    }
    Err(format!("node \"{node}\" is not allowed to create {} \"{name}\"", wish.kind.plural))
}

impl Rule {
    fn allows(&self, wish: Attributes<'_>) -> bool {
        // By reference alone: two kinds of one group and plural are the same kind.
        *self.kind == *wish.kind && self.subresource == wish.subresource && self.verbs.contains(&wish.verb)
    }
}

fn here(snapshot: &Snapshot, node: &str, wish: Attributes<'_>) -> Result<(), String> {
    let object = snapshot.get(&Key::new(wish.kind, wish.namespace, wish.name));
    // An unknown object is let through: the registry says that it is not there.
    match object {
        Some(object) if !is_at(wish.kind, &object, node) => {
            Err(format!("node \"{node}\" can only change {} that are at it", wish.kind.plural))
        }
        _ => Ok(()),
    }
}

/// | kind | is at the node that |
/// |---|---|
/// | Pod, VolumeAttachment | `spec.nodeName` names |
/// | PersistentVolume | keeps it (see [`keeper`]), or `spec.nodeAffinity` names |
/// | PersistentVolumeClaim | the scheduler has chosen to make its volume |
fn is_at(kind: &Kind, object: &Object, node: &str) -> bool {
    let value = object.value();
    if *kind == kind::PERSISTENT_VOLUME {
        let kept = object.typed().is_ok_and(|volume| keeper::of(&volume) == Some(node));
        return kept || mentions(&value["spec"]["nodeAffinity"], node);
    }
    if *kind == kind::PERSISTENT_VOLUME_CLAIM {
        return value["metadata"]["annotations"]["volume.kubernetes.io/selected-node"] == node;
    }
    value["spec"]["nodeName"] == node
}

/// A pod names a ConfigMap, Secret or ServiceAccount by many fields; whatever holds its name is enough.
fn named(snapshot: &Snapshot, node: &str, wish: Attributes<'_>) -> Result<(), String> {
    let mut pods = snapshot.indexed(Index::PodsByNode, node);
    let names = |value: &Value| mentions(&value["spec"], wish.name);
    let found = pods.any(|pod| {
        let value = pod.value();
        value["spec"]["nodeName"] == node && pod.key.namespace == wish.namespace && names(&value)
    });
    if found { Ok(()) } else { Err(format!("no relationship found between node '{node}' and this object")) }
}

fn mentions(value: &Value, name: &str) -> bool {
    match value {
        Value::String(text) => text == name,
        Value::Array(items) => items.iter().any(|item| mentions(item, name)),
        Value::Object(fields) => fields.values().any(|field| mentions(field, name)),
        _ => false,
    }
}
