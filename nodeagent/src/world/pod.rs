//! What the agent needs to know of a pod.

use std::{path::PathBuf, sync::Arc};

use jiff::Timestamp;
use k8s_openapi::api::core::v1 as core;
use orlop_objects::{DecodeError, Key, Object};

use super::{VolumeFacts, by_hand, whole};
use crate::ids::VolumeId;

const DEFAULT_GRACE: i64 = 30;

/// A pod of this node.
#[derive(Clone, Debug)]
pub struct PodFacts {
    /// Where it lives.
    pub key: Key,
    /// Its uid.
    pub uid: String,
    /// The typed object.
    pub pod: Arc<core::Pod>,
    /// The object as stored.
    pub object: Arc<Object>,
    /// When deletion was asked for: when its grace ends, by the server's clock.
    pub deleted_at: Option<Timestamp>,
    /// Seconds its containers get to end.
    pub grace: i64,
    /// Whether `status.phase` is one that a pod never leaves.
    pub finished: bool,
}

/// A volume as a pod's spec names it.
#[derive(Clone, Debug)]
pub struct PodVolume {
    /// Its name in the pod.
    pub name: String,
    /// What it is.
    pub(super) kind: VolumeKind,
}

#[derive(Clone, Debug)]
pub(super) enum VolumeKind {
    Claim { claim: String, read_only: bool },
    Nfs { id: VolumeId, read_only: bool },
    Local(Source),
}

/// A volume of a pod and where it comes from.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// Its name in the pod.
    pub name: String,
    /// Where it comes from.
    pub source: Source,
}

/// Where a volume of a pod comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// A PersistentVolume of a driver.
    Volume {
        /// The volume.
        id: VolumeId,
        /// Its PersistentVolume.
        volume: Arc<VolumeFacts>,
        /// Read-only for this pod.
        read_only: bool,
        /// Its claim is for one pod only (`ReadWriteOncePod`).
        one_pod: bool,
    },
    /// A directory that lives as long as the pod.
    Empty {
        /// In memory instead of on disk.
        memory: bool,
        /// Limit in bytes.
        limit: Option<u64>,
    },
    /// A path of this machine.
    HostPath {
        /// The path.
        path: PathBuf,
        /// `hostPath.type`.
        kind: String,
        /// Read-only for this pod.
        read_only: bool,
    },
    /// Not to be had yet, and why.
    Waiting(String),
}

impl PodFacts {
    /// Reads a pod.
    pub fn of(object: &Arc<Object>) -> Result<Self, DecodeError> {
        let pod: core::Pod = object.typed()?;
        let deleted_at = pod.metadata.deletion_timestamp.as_ref().map(|t| t.0);
        let own = pod.spec.as_ref().and_then(|s| s.termination_grace_period_seconds);
        let grace = object.meta.deletion_grace_period_seconds.or(own).unwrap_or(DEFAULT_GRACE);
        let phase = pod.status.as_ref().and_then(|s| s.phase.as_deref());
        Ok(Self {
            key: object.key.clone(),
            uid: object.meta.uid.clone(),
            finished: matches!(phase, Some("Succeeded" | "Failed")),
            pod: Arc::new(pod),
            object: object.clone(),
            deleted_at,
            grace,
        })
    }

    /// Its spec; the registry lets no pod in without one.
    pub fn spec(&self) -> Option<&core::PodSpec> {
        self.pod.spec.as_ref()
    }

    /// Whether its containers should run.
    pub fn wants_to_run(&self) -> bool {
        self.deleted_at.is_none() && !self.finished
    }

    /// Names of the claims it uses.
    pub fn claims(&self) -> impl Iterator<Item = &str> {
        let volumes = self.spec().and_then(|s| s.volumes.as_deref()).unwrap_or_default();
        volumes.iter().filter_map(|v| v.persistent_volume_claim.as_ref()).map(|c| c.claim_name.as_str())
    }

    /// Its volumes as its spec names them.
    pub fn volumes(&self) -> Vec<PodVolume> {
        let volumes = self.spec().and_then(|s| s.volumes.as_deref()).unwrap_or_default();
        volumes.iter().map(|v| PodVolume { name: v.name.clone(), kind: kind_of(v) }).collect()
    }
}

fn kind_of(volume: &core::Volume) -> VolumeKind {
    if let Some(claim) = &volume.persistent_volume_claim {
        let read_only = claim.read_only.unwrap_or_default();
        return VolumeKind::Claim { claim: claim.claim_name.clone(), read_only };
    }
    if let Some(nfs) = &volume.nfs {
        let read_only = nfs.read_only.unwrap_or_default();
        return VolumeKind::Nfs { id: by_hand::id_of_pod_volume(nfs), read_only };
    }
    VolumeKind::Local(if let Some(empty) = &volume.empty_dir {
        Source::Empty {
            memory: empty.medium.as_deref() == Some("Memory"),
            // To tmpfs, as to Kubernetes, 0 is no limit.
            limit: whole(empty.size_limit.as_ref()).filter(|bytes| *bytes > 0),
        }
    } else if let Some(host) = &volume.host_path {
        let kind = host.type_.clone().unwrap_or_default();
        Source::HostPath { path: PathBuf::from(&host.path), kind, read_only: false }
    } else {
        Source::Waiting(format!(
            "volume \"{}\" is of a kind that this node cannot mount yet; it knows persistentVolumeClaim, emptyDir, hostPath and nfs",
            volume.name
        ))
    })
}
