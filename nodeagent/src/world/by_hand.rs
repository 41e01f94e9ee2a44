//! Volumes that name an NFS server and a path themselves: `spec.nfs` of a PersistentVolume, and `nfs` of a pod.
//!
//! They have no driver's name and no handle, so they get ours. A PersistentVolume's is made from its name as well: two
//! that name one path are two volumes, each mounted by itself. Pods that name one path share it, and it is mounted once
//! for the node; its name holds a character that no PersistentVolume's can.

use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::api::core::v1::NFSVolumeSource;
use orlop_objects::nfs;
use sha2::{Digest, Sha256};

use super::{PodFacts, VolumeFacts};
use crate::{ids::VolumeId, paths::hex};

/// How many hex digits of a digest are in a handle.
const DIGITS: usize = 32;

/// What a PersistentVolume with `spec.nfs` is to the driver.
pub(super) fn of_volume(name: &str, source: &NFSVolumeSource) -> (VolumeId, BTreeMap<String, String>) {
    (id(&["volume", name, &source.server, &source.path]), attributes(&source.server, &source.path))
}

/// The volume that a pod's `nfs` names.
pub(super) fn id_of_pod_volume(source: &NFSVolumeSource) -> VolumeId {
    id(&["pod", &source.server, &source.path])
}

/// All volumes that a pod names so.
pub(super) fn of_pod(pod: &PodFacts) -> impl Iterator<Item = VolumeFacts> {
    let volumes = pod.spec().and_then(|spec| spec.volumes.as_deref()).unwrap_or_default();
    volumes.iter().filter_map(|volume| volume.nfs.as_ref()).map(|source| {
        let id = id_of_pod_volume(source);
        VolumeFacts {
            name: id.handle.replace('-', "_"),
            host_path: None,
            attributes: attributes(&source.server, &source.path),
            fs_type: None,
            read_only: false,
            mount_options: Vec::new(),
            claim: None,
            host: None,
            to_delete: false,
            export: None,
            finalizers: Vec::new(),
            object: pod.object.clone(),
            id: Some(id),
        }
    })
}

/// The first pod's volume of each name, where several pods name one.
pub(super) fn of_pods<'a>(
    pods: impl Iterator<Item = &'a Arc<PodFacts>>,
) -> BTreeMap<VolumeId, Arc<VolumeFacts>> {
    let mut all = BTreeMap::new();
    for facts in pods.flat_map(|pod| of_pod(pod)) {
        if let Some(id) = facts.id.clone() {
            all.entry(id).or_insert_with(|| Arc::new(facts));
        }
    }
    all
}

fn id(parts: &[&str]) -> VolumeId {
    // No part holds a NUL, so no two lists are one text.
    let mut digits = hex(&Sha256::digest(parts.join("\0").as_bytes()));
    digits.truncate(DIGITS);
    VolumeId::new(nfs::DRIVER, format!("nfs-{digits}"))
}

fn attributes(server: &str, path: &str) -> BTreeMap<String, String> {
    BTreeMap::from([("server".to_owned(), server.to_owned()), ("share".to_owned(), path.to_owned())])
}
