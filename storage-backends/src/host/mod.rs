//! The one seam to Linux. Everything that changes the machine goes through [`Host`] (files, file systems, loop devices,
//! mounts, shares), [`Runtime`] (namespaces, containers, processes), [`network::Network`] (interfaces, routes) or
//! [`NfsServer`] (exports): real in `linux`, stateful in memory in `fake`, and with faults injected before or after any
//! effect by `faulty`.
//!
//! All traits are synchronous: callers keep them off the async runtime.

use std::{
    fmt,
    path::{Path, PathBuf},
};

pub mod fake;
pub mod faulty;
pub mod linux;
pub mod network;
mod nfs_server;
pub mod options;
mod path;
mod runtime;
pub mod share;

pub use nfs_server::{Export, ExportTable, NfsServer, RunningServer};
pub use path::{PathBind, PathKind};
pub use runtime::{
    Container, ContainerRequest, ContainerStatus, LOG_BYTES, Load, Namespace, Process, Runtime,
};
pub use share::{Outcome, Refusal, Share, Visit};

/// A failure of one effect or look at the machine.
#[derive(Debug, thiserror::Error)]
#[error("{operation} {object}")]
pub struct Error {
    /// What was being done: `mount`, `attach loop device`.
    pub operation: &'static str,
    /// To what.
    pub object: String,
    /// Why it failed.
    pub source: Cause,
}

impl Error {
    /// With its cause, for a text that nothing follows.
    pub fn words(&self) -> String {
        format!("{self}: {}", self.source)
    }

    /// Whether the kernel said that there is no such thing.
    pub fn is_not_found(&self) -> bool {
        matches!(&self.source, Cause::Os(error) if error.kind() == std::io::ErrorKind::NotFound)
    }
}

/// Why an effect failed.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// The kernel said so.
    #[error("{0}")]
    Os(#[from] std::io::Error),
    /// The kernel said so, and why.
    #[error("{error}: {told}")]
    Told {
        /// Its number.
        error: std::io::Error,
        /// Its words.
        told: String,
    },
    /// Calls to this server, or on this mount, hang already; no more are made until some of them have ended.
    #[error("{calls} earlier calls to {what} have not come back yet")]
    Hanging {
        /// The server or mount.
        what: String,
        /// How many.
        calls: usize,
    },
    /// This machine has not what it takes, and what to do.
    #[error("{0}")]
    Unsupported(String),
    /// A program said so: its name, exit code and the last lines of its standard error.
    #[error("{program} {}: {stderr}", ended(*code))]
    Program {
        /// The program.
        program: String,
        /// Its exit code; `None` when killed by a signal.
        code: Option<i32>,
        /// The end of its standard error.
        stderr: String,
    },
    /// A program that is needed is not installed.
    #[error("{program} is not installed; install the package {package}")]
    Missing {
        /// The program.
        program: String,
        /// The Debian package that holds it.
        package: String,
    },
    /// A directory of a share is not the volume's whose it must be.
    #[error("the directory is not marked as this volume's")]
    NotIts(Refusal),
    /// It took longer than allowed.
    #[error("no answer within {0:?}")]
    Timeout(std::time::Duration),
    /// The fault plan of a test let this process die here: nothing more happens, as if it were gone.
    #[error("crashed by the fault plan")]
    Crashed,
    /// What was found is not what the caller may touch.
    #[error("{0}")]
    Refused(String),
}

/// How a program ended, in words.
fn ended(code: Option<i32>) -> String {
    code.map_or_else(|| "was killed by a signal".to_owned(), |code| format!("exited with {code}"))
}

/// Result of a look or an effect.
pub type Result<T> = std::result::Result<T, Error>;

/// What an `ensure_…` had to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It already was so.
    Already,
    /// It was made so.
    Done,
}

/// Which file this is, whatever it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct FileId {
    /// Device that holds it.
    pub device: u64,
    /// Inode number.
    pub inode: u64,
}

/// A file as found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileInfo {
    /// Its identity.
    pub id: FileId,
    /// Apparent length in bytes.
    pub length: u64,
    /// Bytes really allocated.
    pub allocated: u64,
    /// Whether it is a directory.
    pub directory: bool,
}

/// Bytes of a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// In all.
    pub total: u64,
    /// Free for unprivileged writers.
    pub available: u64,
}

/// A file system type that Orlop makes and mounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FsType {
    /// ext4, the default.
    Ext4,
    /// XFS.
    Xfs,
}

impl fmt::Display for FsType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
        })
    }
}

/// What a device or image file holds. A probe that fails is an error, never `Blank`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// Proven blank: no signature of any kind.
    Blank,
    /// A file system.
    FileSystem {
        /// Its type, as blkid names it.
        kind: String,
        /// Its UUID, where it has one.
        uuid: Option<String>,
    },
    /// Something else that must not be overwritten: a partition table, LVM, …
    Other(String),
}

/// Why a loop device does not tell which file it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Untold {
    /// It does not answer, because the file's server does not.
    Silent,
    /// This machine has no node for it in /dev.
    NoNode,
    /// For another reason, in words.
    Failed(String),
}

/// A loop device in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoopDevice {
    /// `/dev/loopN`.
    pub device: PathBuf,
    /// Major and minor number.
    pub number: (u32, u32),
    /// The backing file's identity, or why that cannot be known now.
    pub backing: std::result::Result<FileId, Untold>,
    /// The backing file's path as the kernel reports it (`… (deleted)` when unlinked); empty when it does not.
    pub path: PathBuf,
    /// Where in the backing file it begins; 0 for what Orlop attaches.
    pub offset: u64,
    /// Where it ends, counted from `offset`; 0 = with the file.
    pub size_limit: u64,
    /// Whether it goes away with its last user.
    pub autoclear: bool,
    /// Whether it bypasses the page cache of the backing file.
    pub direct_io: bool,
    /// Whether it is read-only.
    pub read_only: bool,
}

/// One line of `/proc/self/mountinfo`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountEntry {
    /// Mount id and the parent's.
    pub id: u64,
    /// The mount that this one is mounted on.
    pub parent: u64,
    /// Major and minor number of the device.
    pub number: (u32, u32),
    /// The part of the file system that is mounted (bind mounts of a directory).
    pub root: PathBuf,
    /// Where.
    pub target: PathBuf,
    /// Per-mount options.
    pub options: String,
    /// File system type.
    pub fs_type: String,
    /// Source, as the file system reports it.
    pub source: String,
    /// Per-superblock options.
    pub super_options: String,
}

/// A mount to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MountRequest {
    /// A block device with a file system of a known type.
    Device {
        /// The device.
        source: PathBuf,
        /// Where.
        target: PathBuf,
        /// File system type; never guessed.
        fs_type: FsType,
        /// Read-only.
        read_only: bool,
        /// Options for the file system, already checked.
        options: Vec<String>,
    },
    /// A directory or file shown at a second place.
    Bind {
        /// What.
        source: PathBuf,
        /// Where.
        target: PathBuf,
        /// Read-only.
        read_only: bool,
    },
    /// A writable layer over read-only ones.
    Overlay {
        /// Read-only layers, topmost first.
        lower: Vec<PathBuf>,
        /// The writable layer.
        upper: PathBuf,
        /// Overlayfs's scratch directory, on the same file system as `upper`.
        work: PathBuf,
        /// Where.
        target: PathBuf,
    },
    /// A share of a file server, or a directory of it.
    Nfs {
        /// The share.
        share: Share,
        /// The directory to be shown, part by part from the share's root; empty for the share itself.
        beneath: Vec<String>,
        /// The volume whose it must be, as its marker says; `None` where people named it.
        volume: Option<String>,
        /// Where.
        target: PathBuf,
        /// Read-only.
        read_only: bool,
    },
    /// Memory.
    Tmpfs {
        /// Where.
        target: PathBuf,
        /// Limit in bytes.
        bytes: Option<u64>,
        /// Mode of its root.
        mode: u32,
    },
}

impl MountRequest {
    /// Where.
    pub fn target(&self) -> &Path {
        match self {
            Self::Device { target, .. }
            | Self::Bind { target, .. }
            | Self::Overlay { target, .. }
            | Self::Nfs { target, .. }
            | Self::Tmpfs { target, .. } => target,
        }
    }
}

/// A locked file: unlocked when this is dropped, and when the process that has it dies.
pub struct FileLock(
    #[expect(dead_code, reason = "it is there to be dropped")] Box<dyn std::any::Any + Send + Sync>,
);

impl FileLock {
    /// What holds the lock.
    pub fn new(held: impl std::any::Any + Send + Sync) -> Self {
        Self(Box::new(held))
    }
}

impl fmt::Debug for FileLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FileLock")
    }
}

/// Files, file systems, loop devices and mounts.
///
/// Effects are primitive and say so when they did not happen; idempotence is built above, by looking before and after.
pub trait Host: Send + Sync + 'static {
    /// Creates a file of `bytes` length, all hole; fails when it exists.
    fn create_sparse(&self, path: &Path, bytes: u64) -> Result<()>;
    /// Creates a small file with this content: whole and durable, or not at all; fails when it exists.
    fn create_file(&self, path: &Path, content: &[u8]) -> Result<()>;
    /// What a small file holds; `None` when it does not exist.
    fn read_file(&self, path: &Path) -> Result<Option<Vec<u8>>>;
    /// Locks a file against all other openings of it, on every machine that sees it; makes it where it is missing. `None`:
    /// another has it. Does not wait.
    fn lock(&self, path: &Path) -> Result<Option<FileLock>>;
    /// Writes out and forgets what this machine's page cache holds of a file.
    fn drop_cache(&self, path: &Path) -> Result<()>;
    /// Reserves all of a file's blocks.
    fn allocate(&self, path: &Path, bytes: u64) -> Result<()>;
    /// Makes a file's data and metadata durable.
    fn sync_file(&self, path: &Path) -> Result<()>;
    /// Renames within one directory and makes the directory durable; fails when `to` exists.
    fn rename(&self, from: &Path, to: &Path) -> Result<()>;
    /// Unlinks a file and makes the directory durable.
    fn remove_file(&self, path: &Path) -> Result<()>;
    /// Creates a directory (0700) and its missing parents.
    fn create_dir(&self, path: &Path) -> Result<()>;
    /// Removes an empty directory; refuses a mount point.
    fn remove_dir(&self, path: &Path) -> Result<()>;
    /// Removes a tree, file by file beneath a directory handle: follows no link, crosses no mount, and refuses to begin
    /// when anything is mounted in it. The only recursive remover there is.
    fn remove_tree(&self, path: &Path) -> Result<()>;
    /// A file or directory as found; `None` when it does not exist. Does not follow a link at the end.
    fn file(&self, path: &Path) -> Result<Option<FileInfo>>;
    /// The path with all links in it resolved, as the mount table names it; `None` when it does not exist.
    fn canonical(&self, path: &Path) -> Result<Option<PathBuf>>;
    /// Names in a directory; empty when there is none.
    fn list_dir(&self, path: &Path) -> Result<Vec<String>>;
    /// Which file system holds `path`: one number for all places where it is mounted and for all its subvolumes, of which
    /// btrfs gives each a device number of its own ([`FileId::device`]). `None` when the path does not exist.
    fn file_system(&self, path: &Path) -> Result<Option<u64>>;
    /// Space of the file system that holds `path`.
    fn space(&self, path: &Path) -> Result<Space>;

    /// Makes a file system on a file or device. The caller has proven it blank.
    fn make_filesystem(&self, path: &Path, fs_type: FsType, uuid: &str) -> Result<()>;
    /// What a file or device holds.
    fn probe(&self, path: &Path) -> Result<Probe>;

    /// Attaches a file (direct I/O where the file system allows it); not autoclear.
    fn attach_loop(&self, file: &Path, read_only: bool) -> Result<LoopDevice>;
    /// All loop devices that have a backing file. None of them can fail or hang the look: see [`LoopDevice::backing`].
    fn loops(&self) -> Result<Vec<LoopDevice>>;
    /// Detaches a loop device; fails when it is in use.
    fn detach_loop(&self, device: &Path) -> Result<()>;

    /// The mount table, in mount order.
    fn mounts(&self) -> Result<Vec<MountEntry>>;
    /// Makes one mount; the target exists.
    fn mount(&self, request: &MountRequest) -> Result<()>;
    /// Unmounts the topmost mount at `target`. Where a server keeps that waiting, it goes on behind, and the mount is gone
    /// from the table.
    fn unmount(&self, target: &Path) -> Result<()>;
    /// Unmounts it and gives up what its server has not answered: what was written there and not synced is lost.
    fn unmount_by_force(&self, target: &Path) -> Result<()>;

    /// Does something on a share, which is mounted for that long and nowhere else.
    fn visit(&self, share: &Share, visit: &Visit) -> Result<Outcome>;
    /// Asks what serves the mount that `place` is on whether it is there; fails when it does not answer within moments.
    fn ask(&self, place: &Path) -> Result<()>;

    /// Shows a path of the machine, with all that is mounted in it, at a place that is made for it: opened once, checked as
    /// opened, and bound as opened. Fine when something is shown there already.
    fn bind_path(&self, request: &PathBind) -> Result<()>;
    /// Takes away what [`Self::bind_path`] shows at `target`, and the place; fine when it is gone. The source is untouched.
    fn unbind_path(&self, target: &Path) -> Result<()>;
}
