//! What the controllers read out of single objects, each rule in one place. Pure.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::{
        core::v1::{Node, ObjectReference, PersistentVolume, PersistentVolumeClaim, Pod},
        storage::v1::StorageClass,
    },
    apimachinery::pkg::api::resource::Quantity,
};

use orlop_objects::phase::Binding;

use crate::{amount, worker::Seen};

/// A claim with its metadata.
pub(crate) type Claim = Seen<PersistentVolumeClaim>;
/// A volume with its metadata.
pub(crate) type Volume = Seen<PersistentVolume>;
/// A class with its metadata.
pub(crate) type Class = Seen<StorageClass>;

/// Says which node the scheduler chose for a claim that waits for its first consumer.
pub(crate) const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";
/// Says that a binding was completed once: a claim without its volume has then lost it.
pub(crate) const BIND_COMPLETED: &str = "pv.kubernetes.io/bind-completed";
/// Says that a controller, not a user, chose the other half of the binding.
pub(crate) const BOUND_BY_CONTROLLER: &str = "pv.kubernetes.io/bound-by-controller";
/// Says which driver made a volume.
pub(crate) const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";
/// Says which driver is to make a claim's volume (the second name is the beta one, which sidecars still read).
pub(crate) const PROVISIONERS: [&str; 2] =
    ["volume.kubernetes.io/storage-provisioner", "volume.beta.kubernetes.io/storage-provisioner"];
/// Names the class of a claim or a volume where the field does not (Kubernetes' old form).
const BETA_CLASS: &str = "volume.beta.kubernetes.io/storage-class";
/// Marks a class as the default one; the second name is the beta one.
pub(crate) const DEFAULT_CLASS: [&str; 2] =
    ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];
/// Holds a claim while pods use it.
pub(crate) const CLAIM_PROTECTION: &str = "kubernetes.io/pvc-protection";
/// Holds a volume while it is bound.
pub(crate) const VOLUME_PROTECTION: &str = "kubernetes.io/pv-protection";
/// Holds a volume until its driver has deleted what is behind it.
pub(crate) const PROVISIONER_FINALIZER: &str = "external-provisioner.volume.kubernetes.io/finalizer";
/// The provisioner of classes whose volumes people make by hand.
pub(crate) const NO_PROVISIONER: &str = "kubernetes.io/no-provisioner";

type Annotations = Option<BTreeMap<String, String>>;

fn annotation<'a>(annotations: &'a Annotations, name: &str) -> Option<&'a str> {
    annotations.as_ref()?.get(name).map(String::as_str).filter(|value| !value.is_empty())
}

/// The class that a claim names; `None` where it names none, `Some("")` where it wants none.
pub(crate) fn claim_class(claim: &PersistentVolumeClaim) -> Option<&str> {
    let field = || claim.spec.as_ref()?.storage_class_name.as_deref();
    annotation(&claim.metadata.annotations, BETA_CLASS).or_else(field)
}

/// The class of a volume; empty where it has none.
pub(crate) fn volume_class(volume: &PersistentVolume) -> &str {
    let field = || volume.spec.as_ref()?.storage_class_name.as_deref();
    annotation(&volume.metadata.annotations, BETA_CLASS).or_else(field).unwrap_or_default()
}

/// The volume that a claim names: asked for, or bound to.
pub(crate) fn named_volume(claim: &PersistentVolumeClaim) -> Option<&str> {
    claim.spec.as_ref()?.volume_name.as_deref().filter(|name| !name.is_empty())
}

fn request(claim: &PersistentVolumeClaim) -> Option<&Quantity> {
    claim.spec.as_ref()?.resources.as_ref()?.requests.as_ref()?.get("storage")
}

/// How much a claim asks for, in bytes.
pub(crate) fn requested(claim: &PersistentVolumeClaim) -> u128 {
    request(claim).map_or(0, amount::units)
}

/// How much a claim asks for, as it is written.
pub(crate) fn requested_text(claim: &PersistentVolumeClaim) -> &str {
    request(claim).map_or("0", |size| &size.0)
}

fn size(volume: &PersistentVolume) -> Option<&Quantity> {
    volume.spec.as_ref()?.capacity.as_ref()?.get("storage")
}

/// How much a volume holds, in bytes.
pub(crate) fn capacity(volume: &PersistentVolume) -> u128 {
    size(volume).map_or(0, amount::units)
}

/// How much a volume holds, as it is written.
pub(crate) fn capacity_text(volume: &PersistentVolume) -> &str {
    size(volume).map_or("0", |size| &size.0)
}

/// A volume's capacity as it is written.
pub(crate) fn capacity_map(volume: &PersistentVolume) -> BTreeMap<String, Quantity> {
    volume.spec.as_ref().and_then(|spec| spec.capacity.clone()).unwrap_or_default()
}

/// The access modes that a claim needs.
pub(crate) fn claim_modes(claim: &PersistentVolumeClaim) -> &[String] {
    claim.spec.as_ref().and_then(|spec| spec.access_modes.as_deref()).unwrap_or_default()
}

/// The access modes that a volume has.
pub(crate) fn volume_modes(volume: &PersistentVolume) -> &[String] {
    volume.spec.as_ref().and_then(|spec| spec.access_modes.as_deref()).unwrap_or_default()
}

/// Whether a volume may be attached to several nodes at once.
pub(crate) fn is_shared(volume: &PersistentVolume) -> bool {
    volume_modes(volume).iter().any(|mode| mode == "ReadWriteMany" || mode == "ReadOnlyMany")
}

/// Whether only one pod at a time may use a volume.
pub(crate) fn is_for_one_pod(volume: &PersistentVolume) -> bool {
    let modes = volume_modes(volume);
    !modes.is_empty() && modes.iter().all(|mode| mode == "ReadWriteOncePod")
}

/// `Filesystem` or `Block`.
pub(crate) fn claim_volume_mode(claim: &PersistentVolumeClaim) -> &str {
    claim.spec.as_ref().and_then(|spec| spec.volume_mode.as_deref()).unwrap_or("Filesystem")
}

/// `Filesystem` or `Block`.
pub(crate) fn volume_mode(volume: &PersistentVolume) -> &str {
    volume.spec.as_ref().and_then(|spec| spec.volume_mode.as_deref()).unwrap_or("Filesystem")
}

/// Whom a volume says it is for.
pub(crate) fn claim_ref(volume: &PersistentVolume) -> Option<&ObjectReference> {
    volume.spec.as_ref()?.claim_ref.as_ref()
}

/// `Retain`, `Delete` or `Recycle`.
pub(crate) fn reclaim_policy(volume: &PersistentVolume) -> &str {
    let policy = || volume.spec.as_ref()?.persistent_volume_reclaim_policy.as_deref();
    policy().unwrap_or("Retain")
}

/// The phase that a volume's status says.
pub(crate) fn volume_phase(volume: &PersistentVolume) -> &str {
    volume.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or("Pending")
}

/// Whether a volume's status says that its claim is gone: Failed is what becomes of a released one that nobody can recycle
/// or delete, until its policy changes.
pub(crate) fn is_said_released(volume: &PersistentVolume) -> bool {
    matches!(volume_phase(volume), "Released" | "Failed")
}

/// The phase that a claim's status says.
pub(crate) fn claim_phase(claim: &PersistentVolumeClaim) -> &str {
    claim.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or("Pending")
}

/// The driver that made a volume, as its annotation says, else the CSI driver that it names.
pub(crate) fn volume_driver(volume: &PersistentVolume) -> Option<&str> {
    let csi = || volume.spec.as_ref()?.csi.as_ref().map(|csi| csi.driver.as_str());
    annotation(&volume.metadata.annotations, PROVISIONED_BY).or_else(csi)
}

/// Whether a driver made the volume for a claim.
pub(crate) fn is_provisioned(volume: &PersistentVolume) -> bool {
    annotation(&volume.metadata.annotations, PROVISIONED_BY).is_some()
}

/// Whether a controller wrote the volume's claimRef.
pub(crate) fn is_bound_by_controller(volume: &PersistentVolume) -> bool {
    annotation(&volume.metadata.annotations, BOUND_BY_CONTROLLER).is_some()
}

/// Whether the claim was bound once.
pub(crate) fn was_bound(claim: &PersistentVolumeClaim) -> bool {
    annotation(&claim.metadata.annotations, BIND_COMPLETED).is_some()
}

/// The node that was chosen for the claim's volume.
pub(crate) fn selected_node(claim: &PersistentVolumeClaim) -> Option<&str> {
    annotation(&claim.metadata.annotations, SELECTED_NODE)
}

/// How far a claim and a volume belong to each other.
pub(crate) fn binding(claim: &Claim, volume: &Volume) -> Binding {
    Binding::of(claim, volume)
}

/// Bound: the volume holds the claim's uid and the claim names the volume. Anything less is only asked for.
pub(crate) fn is_bound(claim: &Claim, volume: &Volume) -> bool {
    binding(claim, volume) == Binding::Bound
}

/// The driver that a class asks for, by its name or by an alias of it.
pub(crate) fn driver(class: &StorageClass) -> &str {
    orlop_objects::nfs::driver_of(&class.provisioner)
}

/// Whether volumes of the class are made, or chosen, only when a pod's node is known.
pub(crate) fn binds_late(class: &StorageClass) -> bool {
    class.volume_binding_mode.as_deref() == Some("WaitForFirstConsumer")
}

/// Whether the class is marked as the default one.
pub(crate) fn is_default_class(class: &StorageClass) -> bool {
    DEFAULT_CLASS.iter().any(|mark| annotation(&class.metadata.annotations, mark) == Some("true"))
}

/// The names of the claims that a pod uses: those that it names, and those made for its ephemeral volumes.
pub(crate) fn pod_claims(pod: &Pod) -> Vec<String> {
    let volumes = pod.spec.as_ref().and_then(|spec| spec.volumes.as_deref()).unwrap_or_default();
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let claim = |volume: &k8s_openapi::api::core::v1::Volume| {
        let named = volume.persistent_volume_claim.as_ref().map(|source| source.claim_name.clone());
        named.or_else(|| volume.ephemeral.as_ref().map(|_| format!("{name}-{}", volume.name)))
    };
    let mut claims: Vec<String> = volumes.iter().filter_map(claim).collect();
    claims.sort();
    claims.dedup();
    claims
}

/// The node that a pod is on; `None` while it has none.
pub(crate) fn pod_node(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref()?.node_name.as_deref().filter(|name| !name.is_empty())
}

/// Whether a pod has ended for good and uses nothing any more.
pub(crate) fn is_finished(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

/// Whether a node says that it takes pods.
pub(crate) fn is_ready(node: &Node) -> bool {
    orlop_objects::out_of_service::is_ready(node)
}

/// The labels of an object's metadata, where it has none an empty set.
pub(crate) fn labels(labels: Option<&BTreeMap<String, String>>) -> &BTreeMap<String, String> {
    static NONE: BTreeMap<String, String> = BTreeMap::new();
    labels.unwrap_or(&NONE)
}
