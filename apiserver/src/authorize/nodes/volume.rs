//! What a node may post as the PersistentVolume of a claim. Pure but for the snapshot.
//!
//! | of the volume | must be |
//! |---|---|
//! | `spec.claimRef` | a claim that the node was chosen for, by its uid |
//! | its name | `pvc-<uid of the claim>` |
//! | `spec.csi.driver`, and who provisioned it | the driver that the provisioner of the claim's class means |
//! | `spec.csi.volumeHandle` | its name, in a pool or not |
//! | its keeper | the node |
//! | each host that its affinity names | the node |
//! | `spec.csi.volumeAttributes`, `spec.mountOptions` and the reclaim policy | what follows from the class: see [`attributes`] |
//!
//! So nobody gets a path of another node mounted, nor a volume that another claim's data is in, by being chosen for a claim.

use orlop_objects::{
    Key,
    keeper::{HOSTNAME, KEEPER, PROVISIONED_BY},
    kind, nfs,
};
use orlop_store::Snapshot;
use serde_json::Value;

use super::{
    attributes,
    relation::{is_at, list, text},
};

/// What the answer comes from: the claim and its class.
pub(super) fn comes_from(snapshot: &Snapshot, volume: &Value) -> Vec<Key> {
    let claim = claim_key(volume);
    let class = snapshot.get(&claim).map(|claim| class_key(&claim.value()));
    std::iter::once(claim).chain(class).collect()
}

fn claim_key(volume: &Value) -> Key {
    let reference = &volume["spec"]["claimRef"];
    Key::new(&kind::PERSISTENT_VOLUME_CLAIM, text(reference, "namespace"), text(reference, "name"))
}

fn class_key(claim: &Value) -> Key {
    Key::cluster(&kind::STORAGE_CLASS, text(&claim["spec"], "storageClassName"))
}

/// Whether the node may post it; else why not.
pub(super) fn decide(snapshot: &Snapshot, node: &str, volume: &Value) -> Result<(), String> {
    let (spec, annotations) = (&volume["spec"], &volume["metadata"]["annotations"]);
    let claim = snapshot.get(&claim_key(volume));
    let claim = claim.filter(|claim| claim.meta.uid == text(&spec["claimRef"], "uid"));
    let Some(claim) = claim.filter(|claim| is_at(snapshot, node, claim)) else {
        return Err("it is for no claim whose volume this node is to make".to_owned());
    };
    let name = format!("pvc-{}", claim.meta.uid);
    if volume["metadata"]["name"] != *name {
        return Err(format!("metadata.name must be {name}, after its claim"));
    }
    let Some(class) = snapshot.get(&class_key(&claim.value())) else {
        return Err("the class of its claim is gone".to_owned());
    };
    let class = class.value();
    let driver = nfs::driver_of(text(&class, "provisioner"));
    if spec["csi"]["driver"] != *driver || annotations[PROVISIONED_BY] != *driver {
        return Err(format!(
            "spec.csi.driver and the annotation {PROVISIONED_BY} must be {driver}, as its class says"
        ));
    }
    if text(&spec["csi"], "volumeHandle").rsplit('/').next() != Some(&name) {
        return Err(format!("spec.csi.volumeHandle must be {name}, in a pool or not"));
    }
    if annotations[KEEPER] != *node {
        return Err(format!("the annotation {KEEPER} must be the node"));
    }
    if !hosts_are(node, &spec["nodeAffinity"]) {
        return Err("spec.nodeAffinity must name no host but the node".to_owned());
    }
    attributes::decide(&class, driver, node, &name, spec)
}

/// Whether every word of the affinity about a host is the node's own.
fn hosts_are(node: &str, affinity: &Value) -> bool {
    let is_own = |requirement: &Value| {
        requirement["operator"] == "In" && list(&requirement["values"]).all(|value| *value == *node)
    };
    list(&affinity["required"]["nodeSelectorTerms"]).all(|term| {
        list(&term["matchExpressions"]).filter(|e| e["key"] == HOSTNAME).all(is_own)
            && list(&term["matchFields"]).all(is_own)
    })
}
