//! What the agent needs to know of a PersistentVolume and of its attachment to this node.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    path::PathBuf,
    sync::Arc,
};

use k8s_openapi::api::{core::v1 as core, storage::v1 as storage};
use orlop_objects::{DecodeError, Key, Object, exports, keeper};

use super::{by_hand, owned};
use crate::ids::VolumeId;

/// The finalizer by which a made volume waits for its data to be removed.
pub const PROVISIONER_FINALIZER: &str = "external-provisioner.volume.kubernetes.io/finalizer";

/// The claim that a volume is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimRef {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid; empty when reserved by name only.
    pub uid: String,
}

/// What a PersistentVolume says of an export of Orlop's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportFacts {
    /// The node whose agent serves it.
    pub keeper: String,
    /// Who may mount it.
    pub clients: BTreeSet<IpAddr>,
    /// Who can mount it now.
    pub exported_to: BTreeSet<IpAddr>,
    /// Why other nodes cannot mount it; empty when they can.
    pub error: String,
}

impl ExportFacts {
    fn of(volume: &core::PersistentVolume) -> Option<Self> {
        let keeper = exports::keeper_of(volume)?.to_owned();
        let addresses = |name| exports::parse(exports::annotation(volume, name));
        let error = exports::annotation(volume, exports::EXPORT_ERROR).to_owned();
        let (clients, exported_to) = (addresses(exports::CLIENTS), addresses(exports::EXPORTED_TO));
        Some(Self { keeper, clients, exported_to, error })
    }

    /// Whether it says of itself what is so, once it is exported to its clients.
    pub fn is_told(&self) -> bool {
        self.error.is_empty() && self.exported_to == self.clients
    }

    /// Why the node with this address cannot mount it now.
    pub fn shuts_out(&self, address: &str) -> Option<String> {
        let keeper = &self.keeper;
        if !self.error.is_empty() {
            return Some(format!(
                "its files are on node {keeper}, which cannot export them to other nodes: {}",
                self.error
            ));
        }
        let address: Option<IpAddr> = address.parse().ok();
        let is_in = address.is_some_and(|address| self.exported_to.contains(&address));
        (!is_in).then(|| {
            format!(
                "its files are on node {keeper}, which does not let this node in yet; it does when both are Ready (kubectl \
                 get nodes)"
            )
        })
    }
}

/// A PersistentVolume.
#[derive(Clone, Debug)]
pub struct VolumeFacts {
    /// Its name.
    pub name: String,
    /// What its driver calls it; `None` for a volume without a source that a driver of this node mounts.
    pub id: Option<VolumeId>,
    /// A path of whichever node its pods are on (`spec.hostPath`, `spec.local`), and its `type`.
    pub host_path: Option<(PathBuf, String)>,
    /// `spec.csi.fsType`.
    pub fs_type: Option<String>,
    /// `spec.csi.volumeAttributes`, or what stands for them.
    pub attributes: BTreeMap<String, String>,
    /// `readOnly` of its source.
    pub read_only: bool,
    /// `spec.mountOptions`.
    pub mount_options: Vec<String>,
    /// The claim it is for.
    pub claim: Option<ClaimRef>,
    /// The one host that its affinity names, where it lies on a node's own disk.
    pub host: Option<String>,
    /// Its data is to be removed by this node, once nothing is attached.
    pub to_delete: bool,
    /// What it says of an export of Orlop's own, when it is one.
    pub export: Option<ExportFacts>,
    /// All its finalizers.
    pub finalizers: Vec<String>,
    /// The object, for Events about it.
    pub object: Arc<Object>,
}

impl VolumeFacts {
    /// Its name for people: a volume that pods name by server and path has none of its own.
    pub fn shown(&self) -> String {
        match (self.attributes.get("server"), self.attributes.get("share")) {
            (Some(server), Some(share)) if self.name.contains('_') => format!("{server}:{share}"),
            _ => self.name.clone(),
        }
    }

    /// Reads a PersistentVolume as seen from `node`.
    pub fn of(object: &Arc<Object>, node: &str) -> Result<Self, DecodeError> {
        let volume: core::PersistentVolume = object.typed()?;
        let is_kept_here = keeper::of(&volume) == Some(node);
        let host = keeper::host(&volume).map(str::to_owned);
        let export = ExportFacts::of(&volume);
        let spec = volume.spec.unwrap_or_default();
        let phase = volume.status.and_then(|s| s.phase);
        let finalizers = object.meta.finalizers.clone();
        let to_delete = object.meta.is_terminating()
            && spec.persistent_volume_reclaim_policy.as_deref() == Some("Delete")
            // Failed is a released volume whose policy could not be followed before it was set to this one.
            && matches!(phase.as_deref(), Some("Released" | "Failed"))
            && finalizers.iter().any(|f| f == PROVISIONER_FINALIZER)
            && is_kept_here;
        let csi = spec.csi.as_ref();
        let by_hand = spec.nfs.as_ref().map(|nfs| by_hand::of_volume(&object.meta.name, nfs));
        let (id, attributes) = match by_hand {
            Some((id, attributes)) => (Some(id), attributes),
            None => (
                csi.map(|c| VolumeId::new(&c.driver, &c.volume_handle)),
                owned(csi.and_then(|c| c.volume_attributes.as_ref())),
            ),
        };
        let read_only = csi.and_then(|c| c.read_only).or(spec.nfs.as_ref().and_then(|nfs| nfs.read_only));
        Ok(Self {
            name: object.meta.name.clone(),
            id,
            host_path: host_path(spec.host_path.as_ref(), spec.local.as_ref()),
            fs_type: csi.and_then(|c| c.fs_type.clone()).filter(|t| !t.is_empty()),
            attributes,
            read_only: read_only.unwrap_or_default(),
            mount_options: spec.mount_options.unwrap_or_default(),
            claim: spec.claim_ref.map(|c| ClaimRef {
                namespace: c.namespace.unwrap_or_default(),
                name: c.name.unwrap_or_default(),
                uid: c.uid.unwrap_or_default(),
            }),
            host,
            to_delete,
            export,
            finalizers,
            object: object.clone(),
        })
    }
}

/// A path that the volume is. Local volumes are directories: devices are not formatted here.
fn host_path(
    host: Option<&core::HostPathVolumeSource>,
    local: Option<&core::LocalVolumeSource>,
) -> Option<(PathBuf, String)> {
    let host = host.map(|h| (PathBuf::from(&h.path), h.type_.clone().unwrap_or_default()));
    host.or_else(|| local.map(|l| (PathBuf::from(&l.path), "Directory".to_owned())))
}

impl VolumeFacts {
    /// The node whose own disk holds its data, where one does.
    pub fn home(&self) -> Option<&str> {
        self.host.as_deref().or_else(|| self.export.as_ref().map(|export| export.keeper.as_str()))
    }
}

/// A VolumeAttachment to this node.
#[derive(Clone, Debug)]
pub struct AttachmentFacts {
    /// Where it lives.
    pub key: Key,
    /// The node.
    pub node: String,
    /// The PersistentVolume's name.
    pub volume: String,
    /// The driver.
    pub attacher: String,
    /// Whether detaching was asked for.
    pub terminating: bool,
    /// `status.attached`.
    pub attached: bool,
    /// `status.attachError.message`.
    pub error: Option<String>,
    /// `status.attachmentMetadata.devicePath`.
    pub device: Option<String>,
    /// Its finalizers.
    pub finalizers: Vec<String>,
}

impl AttachmentFacts {
    /// Reads a VolumeAttachment.
    pub fn of(object: &Arc<Object>) -> Result<Self, DecodeError> {
        let attachment: storage::VolumeAttachment = object.typed()?;
        let status = attachment.status.unwrap_or_default();
        Ok(Self {
            key: object.key.clone(),
            node: attachment.spec.node_name,
            volume: attachment.spec.source.persistent_volume_name.unwrap_or_default(),
            attacher: attachment.spec.attacher,
            terminating: object.meta.is_terminating(),
            attached: status.attached,
            error: status.attach_error.and_then(|e| e.message),
            device: status.attachment_metadata.and_then(|m| m.get("devicePath").cloned()),
            finalizers: object.meta.finalizers.clone(),
        })
    }

    /// The finalizer by which it waits for the volume to be detached.
    pub fn finalizer(&self) -> String {
        format!("external-attacher/{}", self.attacher.replace('.', "-"))
    }
}
