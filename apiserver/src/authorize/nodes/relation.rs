//! Which objects are a node's.
//!
//! | kind | is the node's when |
//! |---|---|
//! | Node, CSINode | it has the node's name |
//! | Lease | it has the node's name, in `kube-node-lease` |
//! | Pod, VolumeAttachment | `spec.nodeName` names the node |
//! | PersistentVolumeClaim | the scheduler has chosen the node to make its volume, or a pod of the node names it |
//! | PersistentVolume | the node keeps it, it is attached there, or its claim is named by a pod of the node |
//! | Event | the node tells it |
//! | ConfigMap, Secret, ServiceAccount | a pod of the node names it where pods name such things |
//!
//! Where the relation comes from other objects ([`related`]), a change of one of them is asked which objects it
//! [`touched`]: so a watch can show an object that becomes the node's, or ceases to be, without having changed.

use orlop_objects::{Key, Kind, Object, index, index::Index, keeper, kind};
use orlop_store::{Change, Snapshot};
use serde_json::Value;

/// Where the nodes' heartbeats are.
pub(super) const LEASES: &str = "kube-node-lease";
/// The node on which a claim's volume is to be made.
pub(super) const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";

/// Whether an object is the node's. Kinds that the table does not name are nobody's.
pub(super) fn is_of(snapshot: &Snapshot, node: &str, object: &Object) -> bool {
    let key = &object.key;
    match key.kind.kind {
        "Node" | "CSINode" => key.name == node,
        "Lease" => key.namespace == LEASES && key.name == node,
        "Pod" | "VolumeAttachment" => object.value()["spec"]["nodeName"] == node,
        "PersistentVolumeClaim" => claim_is_of(snapshot, node, object),
        "PersistentVolume" => volume_is_of(snapshot, node, object),
        "Event" => tells(&object.value(), node),
        "ConfigMap" | "Secret" | "ServiceAccount" => is_named(snapshot, node, key),
        _ => false,
    }
}

/// Whether the node may change it: less than what it may see of claims and volumes.
pub(super) fn is_at(snapshot: &Snapshot, node: &str, object: &Object) -> bool {
    match object.key.kind.kind {
        "PersistentVolumeClaim" => chosen(&object.value()) == Some(node),
        "PersistentVolume" => keeps(node, object),
        _ => is_of(snapshot, node, object),
    }
}

/// The kinds from which the relation of objects of `kind` comes, beside their own.
pub(crate) fn related(kind: &Kind) -> &'static [&'static Kind] {
    static OF_CLAIMS: [&Kind; 1] = [&kind::POD];
    static OF_VOLUMES: [&Kind; 3] = [&kind::POD, &kind::PERSISTENT_VOLUME_CLAIM, &kind::VOLUME_ATTACHMENT];
    match kind.kind {
        "PersistentVolumeClaim" => &OF_CLAIMS,
        "PersistentVolume" => &OF_VOLUMES,
        _ => &[],
    }
}

/// The objects of `kind` whose relation to the node a change may have changed.
pub(crate) fn touched(snapshot: &Snapshot, node: &str, kind: &'static Kind, change: &Change) -> Vec<Key> {
    if *change.key.kind == *kind {
        return vec![change.key.clone()];
    }
    let volume = |name: &str| Key::cluster(&kind::PERSISTENT_VOLUME, name);
    let mut keys = Vec::new();
    for object in change.old.iter().chain(&change.new) {
        let value = object.value();
        match object.key.kind.kind {
            "Pod" if value["spec"]["nodeName"] == node => {
                let claims = claims(&value);
                if *kind == kind::PERSISTENT_VOLUME_CLAIM {
                    keys.extend(claims);
                } else {
                    // A claim that is gone as well is a change of its own.
                    let claims = claims.into_iter().filter_map(|claim| snapshot.get(&claim));
                    keys.extend(claims.filter_map(|claim| Some(volume(volume_of(&claim.value())?))));
                }
            }
            "PersistentVolumeClaim" => keys.extend(volume_of(&value).map(volume)),
            "VolumeAttachment" if value["spec"]["nodeName"] == node => {
                keys.extend(value["spec"]["source"]["persistentVolumeName"].as_str().map(volume));
            }
            _ => {}
        }
    }
    keys.sort();
    keys.dedup();
    keys
}

fn chosen(claim: &Value) -> Option<&str> {
    claim["metadata"]["annotations"][SELECTED_NODE].as_str()
}

fn volume_of(claim: &Value) -> Option<&str> {
    claim["spec"]["volumeName"].as_str().filter(|name| !name.is_empty())
}

fn claim_is_of(snapshot: &Snapshot, node: &str, claim: &Object) -> bool {
    chosen(&claim.value()) == Some(node) || is_used(snapshot, node, &claim.key)
}

/// Whether a pod of the node names the claim.
fn is_used(snapshot: &Snapshot, node: &str, claim: &Key) -> bool {
    let entry = format!("{}\0{}", claim.namespace, claim.name);
    let mut pods = snapshot.having(Index::PodsByClaim, &entry);
    pods.any(|pod| pod.value()["spec"]["nodeName"] == node)
}

fn keeps(node: &str, volume: &Object) -> bool {
    // One that cannot be read is nobody's.
    volume.typed().is_ok_and(|volume| keeper::of(&volume) == Some(node))
}

fn volume_is_of(snapshot: &Snapshot, node: &str, volume: &Object) -> bool {
    let name = &volume.key.name;
    let attached = || {
        let mut attachments = snapshot.having(Index::AttachmentsByVolume, name);
        attachments.any(|attachment| attachment.value()["spec"]["nodeName"] == node)
    };
    let used =
        || snapshot.having(Index::ClaimsByVolume, name).any(|claim| is_used(snapshot, node, &claim.key));
    keeps(node, volume) || attached() || used()
}

/// Whether an Event is told by the node's agent.
pub(super) fn tells(event: &Value, node: &str) -> bool {
    event["reportingInstance"] == node || event["source"]["host"] == node
}

/// The claims that a pod names.
fn claims(pod: &Value) -> Vec<Key> {
    let (namespace, name) = (text(&pod["metadata"], "namespace"), text(&pod["metadata"], "name"));
    let volumes = pod["spec"]["volumes"].as_array().into_iter().flatten();
    let claims = volumes.filter_map(|volume| index::claim_of(name, volume));
    claims.map(|claim| Key::new(&kind::PERSISTENT_VOLUME_CLAIM, namespace, &*claim)).collect()
}

/// Whether a pod of the node names a ConfigMap, a Secret or a ServiceAccount.
fn is_named(snapshot: &Snapshot, node: &str, key: &Key) -> bool {
    let mut pods = snapshot.having(Index::PodsByNode, node);
    pods.any(|pod| pod.key.namespace == key.namespace && names(&pod.value()["spec"], key))
}

fn names(spec: &Value, key: &Key) -> bool {
    match key.kind.kind {
        "ServiceAccount" => spec["serviceAccountName"] == *key.name,
        kind => {
            let pulls = || list(&spec["imagePullSecrets"]).any(|secret| secret["name"] == *key.name);
            (kind == "Secret" && pulls())
                || list(&spec["volumes"]).any(|volume| volume_names(volume, kind, &key.name))
                || ["initContainers", "containers", "ephemeralContainers"]
                    .iter()
                    .flat_map(|field| list(&spec[*field]))
                    .any(|container| container_names(container, kind, &key.name))
        }
    }
}

fn volume_names(volume: &Value, kind: &str, name: &str) -> bool {
    let projected = list(&volume["projected"]["sources"]);
    let here = match kind {
        "Secret" => {
            volume["secret"]["secretName"] == name || volume["csi"]["nodePublishSecretRef"]["name"] == name
        }
        _ => volume["configMap"]["name"] == name,
    };
    let field = if kind == "Secret" { "secret" } else { "configMap" };
    here || projected.into_iter().any(|source| source[field]["name"] == name)
}

fn container_names(container: &Value, kind: &str, name: &str) -> bool {
    let (key, whole) =
        if kind == "Secret" { ("secretKeyRef", "secretRef") } else { ("configMapKeyRef", "configMapRef") };
    list(&container["env"]).any(|variable| variable["valueFrom"][key]["name"] == name)
        || list(&container["envFrom"]).any(|source| source[whole]["name"] == name)
}

/// The items of a list; none where it is none.
pub(super) fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// The text of a field; empty where it has none.
pub(super) fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}
