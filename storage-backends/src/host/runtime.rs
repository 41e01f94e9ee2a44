//! Namespaces, containers and processes: what a pod is made of.

use std::path::{Path, PathBuf};

use super::Result;

/// A kind of namespace that a pod's containers share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Namespace {
    /// Network; made with its loopback up.
    Net,
    /// System V IPC and POSIX queues.
    Ipc,
    /// Host name.
    Uts,
}

/// How large the log of a container may become before it begins anew: it shares its disk with volumes, which have been
/// promised theirs.
pub const LOG_BYTES: u64 = 64 << 20;

/// A container to be created from an OCI bundle that is complete on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerRequest {
    /// Unique within the instance; also the name of the exit file.
    pub id: String,
    /// Directory with `config.json`. A file `oom` appears in it when the kernel kills in the container for want of memory.
    pub bundle: PathBuf,
    /// Log file in CRI's line format.
    pub log: PathBuf,
}

/// Where a container is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContainerStatus {
    /// Being set up by what an earlier life of Orlop began, or left half set up: [`Runtime::create`] ends it well. It was
    /// never started.
    Creating,
    /// Set up, not started.
    Created,
    /// Its process runs.
    Running,
    /// Its process ended; `code` when the monitor recorded it.
    Exited {
        /// Exit code (128 + signal when killed); `None` when nobody was there to see it.
        code: Option<i32>,
        /// When, in seconds since 1970; `None` when unknown.
        at: Option<i64>,
    },
}

/// A container as found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// Its id.
    pub id: String,
    /// Its first process; `None` once it ended.
    pub process: Option<Process>,
    /// Where it is in its life.
    pub status: ContainerStatus,
}

/// A process, told apart from a later one with the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub pid: i32,
    /// When it started, in clock ticks since boot (field 22 of `/proc/PID/stat`).
    pub started: u64,
}

/// How much the kernel has left for whatever runs on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Bytes of memory that can still be had without swapping.
    pub memory: u64,
    /// Processes and their threads.
    pub tasks: u64,
    /// How many of these there can be.
    pub most_tasks: u64,
}

/// Namespaces, containers and processes of one instance.
pub trait Runtime: Send + Sync + 'static {
    /// Makes namespaces and pins each at `dir/<net|ipc|uts>`. `hostname` names the new UTS namespace.
    fn pin_namespaces(&self, dir: &Path, namespaces: &[Namespace], hostname: &str) -> Result<()>;
    /// Unpins what is pinned in `dir`.
    fn unpin_namespaces(&self, dir: &Path) -> Result<()>;
    /// Creates a container under a monitor that outlives this process. Its process waits for `start`. One that was created
    /// already is left as it is; what an earlier life of Orlop is creating is waited for.
    fn create(&self, request: &ContainerRequest) -> Result<()>;
    /// Starts a created container.
    fn start(&self, id: &str) -> Result<()>;
    /// Sends a signal to a container's first process; fine when it has ended.
    fn signal(&self, id: &str, signal: i32) -> Result<()>;
    /// Kills every process of a container that is left and removes its cgroup and state. Its exit file stays.
    fn delete(&self, id: &str) -> Result<()>;
    /// Forgets the exit recorded for a container that was deleted.
    fn forget_exit(&self, id: &str) -> Result<()>;
    /// All containers of this instance: those the runtime knows and those whose exit is on record.
    fn containers(&self) -> Result<Vec<Container>> {
        self.containers_of("")
    }
    /// The same of those alone whose id begins so. What of others is damaged is not looked at.
    fn containers_of(&self, beginning: &str) -> Result<Vec<Container>>;
    /// Blocks until an exit has been recorded since the last call, or `timeout` has passed.
    fn wait_for_exit(&self, timeout: std::time::Duration) -> Result<()>;
    /// Names this boot: when it changes, nothing that ran before runs.
    fn boot_id(&self) -> Result<String>;
    /// How much the kernel has left.
    fn load(&self) -> Result<Load>;
}
