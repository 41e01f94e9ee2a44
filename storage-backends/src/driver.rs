//! `trait Driver`: what a storage driver can do, in the words of the Container Storage Interface.
//!
//! Identity, controller half and node half, as in CSI. Object-safe: one request struct per call, boxed futures.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    path::PathBuf,
    time::Duration,
};

use futures::future::BoxFuture;

/// A failed call. The words of [`Code`] are those of the CSI spec's error scheme.
#[derive(Debug, thiserror::Error)]
#[error("{operation} volume {volume}: {message}")]
pub struct Error {
    /// `create`, `stage`, …
    pub operation: &'static str,
    /// The volume's name or handle.
    pub volume: String,
    /// What went wrong and what to do, for the claim's or the pod's Event.
    pub message: String,
    /// What kind of failure.
    pub code: Code,
    /// The failure beneath, where there is one.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// What kind of failure (gRPC codes as the CSI spec uses them).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// The request is wrong and stays wrong.
    InvalidArgument,
    /// There is no such volume.
    NotFound,
    /// There is one of that name with another size or other parameters.
    AlreadyExists,
    /// The pool cannot hold it.
    ResourceExhausted,
    /// The size or place asked for cannot be had.
    OutOfRange,
    /// Something must happen first (unpublish, unstage).
    FailedPrecondition,
    /// Another call for this volume is under way.
    Aborted,
    /// What is there is damaged, or is not the volume's.
    DataLoss,
    /// This driver cannot do that.
    Unimplemented,
    /// Anything else; trying again may help.
    Internal,
}

/// When to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// With back-off.
    Later,
    /// Only after the request or the machine has changed.
    WhenChanged,
}

impl Code {
    /// When a call that failed so should be tried again.
    pub fn retry(self) -> Retry {
        match self {
            // What is damaged may be restored meanwhile.
            Self::Aborted
            | Self::Internal
            | Self::FailedPrecondition
            | Self::ResourceExhausted
            | Self::DataLoss => Retry::Later,
            Self::InvalidArgument
            | Self::NotFound
            | Self::AlreadyExists
            | Self::OutOfRange
            | Self::Unimplemented => Retry::WhenChanged,
        }
    }
}

/// Where a volume is made ready for a node before it is staged there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attach {
    /// By the controller half, in the server.
    Controller,
    /// By the node half (a loop device).
    Node,
    /// Nowhere.
    None,
}

/// What a driver can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Where attaching is done.
    pub attach: Attach,
    /// Create and delete run in the agent of a chosen node; where its volumes can be attached is their [`Reach`].
    pub node_local: bool,
    /// Volumes can grow.
    pub expand: bool,
}

/// Which nodes a volume can be attached to; becomes the PersistentVolume's node affinity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The node that made it, and no other.
    Node,
    /// All nodes that have this label with this value.
    Topology {
        /// The label.
        key: String,
        /// Its value.
        value: String,
    },
    /// All nodes.
    Everywhere,
}

/// A volume as the driver made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// The handle by which it is named from now on. It ends with the name that was asked for.
    pub handle: String,
    /// Its size in bytes: at least what was asked for.
    pub bytes: u64,
    /// What stage and publish need to know; becomes `spec.csi.volumeAttributes`.
    pub attributes: BTreeMap<String, String>,
    /// Which nodes it can be attached to.
    pub reach: Reach,
}

/// Space of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Bytes that may still be promised.
    pub available: u64,
    /// Bytes promised to volumes.
    pub promised: u64,
    /// Bytes of the pool.
    pub total: u64,
}

/// A disk of a node: what lies on one file system.
#[derive(Debug)]
pub struct Disk {
    /// Names of the pools on it.
    pub pools: Vec<String>,
    /// The node's own files are on it: images, logs, what containers write.
    pub own: bool,
    /// How much room there is. One that could not be looked at is one pool, or the node's own directory, alone: what it has
    /// in common with others is not known either.
    pub room: Result<Room, Error>,
}

/// Room on a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Bytes promised to volumes.
    pub promised: u64,
    /// Bytes that volumes can have: what they occupy, and what is free.
    pub total: u64,
    /// Bytes that nobody occupies.
    pub free: u64,
}

/// The claim that a volume is made for, for drivers that name what they make after it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClaimMeta {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
    /// Its access modes, as Kubernetes writes them.
    pub access_modes: Vec<String>,
}

/// Asks for a volume. Repeating it with the same name answers the same volume.
#[derive(Clone, Debug, Default)]
pub struct Create {
    /// `pvc-<claim uid>`.
    pub name: String,
    /// Size in bytes.
    pub bytes: u64,
    /// File system type asked for; `None` = the driver's default.
    pub fs_type: Option<String>,
    /// The class's parameters.
    pub parameters: BTreeMap<String, String>,
    /// The name by which the class asks for this driver: its own, or an alias of it.
    pub provisioner: String,
    /// The class's mount options.
    pub mount_options: Vec<String>,
    /// The claim that it is for.
    pub claim: ClaimMeta,
    /// How long the call may take.
    pub deadline: Duration,
}

/// Names a volume that exists.
#[derive(Clone, Debug)]
pub struct VolumeRef {
    /// Its handle.
    pub handle: String,
    /// Its attributes.
    pub attributes: BTreeMap<String, String>,
    /// How long the call may take.
    pub deadline: Duration,
}

/// Asks for a volume to be mounted at a place of its own on the node.
#[derive(Clone, Debug)]
pub struct Stage {
    /// The volume.
    pub volume: VolumeRef,
    /// The device that attaching gave, where it gave one.
    pub device: Option<PathBuf>,
    /// Where; exists and is empty.
    pub target: PathBuf,
    /// File system type from the PersistentVolume.
    pub fs_type: Option<String>,
    /// Mount options from the PersistentVolume.
    pub mount_options: Vec<String>,
}

/// Asks for a staged volume to be shown to one pod.
#[derive(Clone, Debug)]
pub struct Publish {
    /// The volume.
    pub volume: VolumeRef,
    /// Where it is staged.
    pub staged: PathBuf,
    /// Where the pod's copy goes; exists and is empty.
    pub target: PathBuf,
    /// Read-only for this pod.
    pub read_only: bool,
}

/// A storage driver.
pub trait Driver: Send + Sync + 'static {
    /// Its name, as in `StorageClass.provisioner` and `spec.csi.driver`.
    fn name(&self) -> &'static str;
    /// What it can do.
    fn capabilities(&self) -> Capabilities;

    /// The handle that a volume made for this request will have. Pure: it is written down before anything is made, so
    /// that what was made for nobody can be removed.
    fn handle(&self, request: &Create) -> Result<String, Error> {
        Ok(request.name.clone())
    }

    /// What the attributes of a volume made for this request will be, as far as removing it needs them. Pure: they are
    /// written down before anything is made, so that what was made for nobody can be found and removed.
    fn attributes(&self, _request: &Create) -> Result<BTreeMap<String, String>, Error> {
        Ok(BTreeMap::new())
    }

    /// Labels by which a node that has this driver is told from others: where volumes can be made and attached.
    fn topology(&self) -> BTreeMap<String, String> {
        BTreeMap::new()
    }

    /// Labels that say what else a node that has this driver can do. What is attached where does not depend on them.
    fn abilities(&self) -> BTreeMap<String, String> {
        BTreeMap::new()
    }

    /// Makes a volume.
    fn create(&self, request: Create) -> BoxFuture<'_, Result<Volume, Error>>;
    /// Removes a volume and its data; fine when it is gone. Refuses while it is attached or mounted.
    fn delete(&self, volume: VolumeRef) -> BoxFuture<'_, Result<(), Error>>;
    /// All its volumes here.
    fn list(&self) -> BoxFuture<'_, Result<Vec<Volume>, Error>>;
    /// How much room there is.
    fn capacity(&self) -> BoxFuture<'_, Result<Capacity, Error>>;
    /// The disks that its volumes and the files in the node's `own` directory fill, those that do not answer among them.
    /// Comes within a few seconds, whatever becomes of a disk; nothing for a driver that keeps no volumes in files.
    fn disks(&self, own: PathBuf) -> BoxFuture<'_, Vec<Disk>> {
        drop(own);
        Box::pin(std::future::ready(Vec::new()))
    }

    /// Attaches a volume to this node and answers its device, where it has one. Repeating it answers the same device.
    fn attach(&self, volume: VolumeRef) -> BoxFuture<'_, Result<Option<PathBuf>, Error>>;
    /// Detaches it; fine when it is not attached. Refuses while it is mounted.
    fn detach(&self, volume: VolumeRef) -> BoxFuture<'_, Result<(), Error>>;
    /// The other node that has the volume attached, where the driver knows of such a thing. Attaching and deleting are
    /// refused as long as there is one.
    fn holder(&self, volume: VolumeRef) -> BoxFuture<'_, Result<Option<String>, Error>> {
        drop(volume);
        Box::pin(std::future::ready(Ok(None)))
    }
    /// Ends what a node holds that is known to be gone for good; fine when it holds nothing.
    fn fence(&self, volume: VolumeRef, node: String) -> BoxFuture<'_, Result<(), Error>> {
        drop((volume, node));
        Box::pin(std::future::ready(Ok(())))
    }
    /// Mounts an attached volume at its staging place.
    fn stage(&self, request: Stage) -> BoxFuture<'_, Result<(), Error>>;
    /// Unmounts the staging place; fine when nothing is mounted there.
    fn unstage(&self, volume: VolumeRef, target: PathBuf) -> BoxFuture<'_, Result<(), Error>>;
    /// Shows a staged volume to a pod.
    fn publish(&self, request: Publish) -> BoxFuture<'_, Result<(), Error>>;
    /// Takes it away from the pod; fine when nothing is mounted there.
    fn unpublish(&self, volume: VolumeRef, target: PathBuf) -> BoxFuture<'_, Result<(), Error>>;
    /// Whether what a pod was shown can be used right now; asked before a container starts, so that none hangs in its
    /// first look at a volume whose server is gone.
    fn ready(&self, _volume: VolumeRef, _target: PathBuf) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async { Ok(()) })
    }

    /// What it does for volumes of this node that other nodes mount, where it has such.
    fn serving(&self) -> Option<&dyn Serving> {
        None
    }
}

/// How far a volume is served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Served {
    /// It is attached and mounted.
    pub up: bool,
    /// Other nodes can mount it: those that may, and no others.
    pub exported: bool,
    /// Anything of it may be here.
    pub touched: bool,
}

/// The half of a driver whose volumes are kept up by their keeper, as long as they exist, for other nodes to mount.
///
/// Like every other step these look first, and may be repeated. A volume that was exported once has a record on disk
/// from before the first effect until it is removed: after a crash or a reboot nothing is exported before everything
/// that was is mounted again, so that no client finds its files gone.
pub trait Serving: Send + Sync {
    /// Whether this node is to serve a volume with these attributes.
    fn serves(&self, volume: &VolumeRef) -> bool;
    /// Handles of all volumes of which anything may be here.
    fn served(&self) -> BoxFuture<'_, Result<Vec<String>, Error>>;
    /// How far a volume is served to these clients.
    fn look(&self, volume: VolumeRef, clients: BTreeSet<IpAddr>) -> BoxFuture<'_, Result<Served, Error>>;
    /// Attaches and mounts it.
    fn serve(&self, volume: VolumeRef) -> BoxFuture<'_, Result<(), Error>>;
    /// Lets these clients mount it, and no others. Aborted: others must be mounted first, try again soon.
    fn export(&self, volume: VolumeRef, clients: BTreeSet<IpAddr>) -> BoxFuture<'_, Result<(), Error>>;
    /// Takes the export back, unmounts and detaches it; refused while a pod uses it.
    fn unserve(&self, volume: VolumeRef) -> BoxFuture<'_, Result<(), Error>>;
    /// Takes everything down, to be served again later as it was.
    fn rest(&self) -> BoxFuture<'_, Result<(), Error>>;
    /// Waits until the server, when one runs, has ended by itself, or this long; then true.
    fn server_ends(&self, timeout: Duration) -> BoxFuture<'_, Result<bool, Error>>;
}
