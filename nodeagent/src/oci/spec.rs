//! What a container is made of, in the words of a pod: the input of [`super::write_bundle`]. Data only.

use std::path::PathBuf;

/// All that is known about a container before its bundle is written.
///
/// Everything has a default that fits an ordinary pod; set what differs.
#[derive(Clone, Debug, Default)]
pub struct ContainerSpec {
    /// Unique within the instance; the runtime's name of the container.
    pub id: String,
    /// The image's name, for messages.
    pub image: String,
    /// The mounted root file system (overlay of the image's layers).
    pub rootfs: PathBuf,
    /// Program and arguments, see [`super::command`].
    pub args: Vec<String>,
    /// `NAME=value`, see [`super::environment`].
    pub env: Vec<String>,
    /// Where the process starts; empty is `/`. Created when missing.
    pub cwd: String,
    /// Whom the process runs as.
    pub user: UserRequest,
    /// Volumes and files shown to the container, beside the usual `/proc`, `/dev`, `/sys`.
    pub mounts: Vec<Mount>,
    /// Directory of the pod's pinned namespaces: `net`, `ipc`, `uts`.
    pub namespaces: PathBuf,
    /// The host's network and host name instead of the pinned ones.
    pub host_network: bool,
    /// The pod's host name, for `$HOSTNAME`.
    pub hostname: String,
    /// cgroup below the hierarchies' roots: `/orlop-<instance>/pod-<uid>/<id>`.
    pub cgroup: String,
    /// Limits.
    pub resources: Resources,
    /// What the process may do.
    pub security: Security,
    /// Preference of the kernel's out-of-memory killer, -1000 to 1000; `None` leaves it as it is. A value below what
    /// this process is allowed to set is raised to what it may.
    pub oom_score_adj: Option<i32>,
}

/// Whom a process is to run as; names are looked up in the image's own `/etc/passwd` and `/etc/group`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserRequest {
    /// The image's `User`: name or number, optionally `:group`; empty is root.
    pub image: String,
    /// `securityContext.runAsUser`.
    pub uid: Option<u32>,
    /// `securityContext.runAsGroup`.
    pub gid: Option<u32>,
    /// `supplementalGroups` and `fsGroup` of the pod.
    pub groups: Vec<u32>,
    /// `securityContext.runAsNonRoot`.
    pub non_root: bool,
}

/// A file or directory of the host shown in the container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// On the host; exists.
    pub source: PathBuf,
    /// In the container; absolute. Made when missing, never outside the root file system whatever links the image holds.
    pub target: String,
    /// Whether it is read-only there.
    pub read_only: bool,
    /// Which later mounts on the host show up in it.
    pub propagation: Propagation,
}

/// `mountPropagation` of a volume mount.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Propagation {
    /// `None`: none.
    #[default]
    Private,
    /// `HostToContainer`.
    Slave,
}

/// Limits of a container; what is absent is not limited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    /// Bytes of memory.
    pub memory: Option<u64>,
    /// CPU weight in the units of cgroup v1 (1024 = one CPU asked for, at least 2).
    pub cpu_shares: Option<u64>,
    /// Thousandths of a CPU that may be used at most.
    pub cpu_millis: Option<u64>,
    /// Processes and threads.
    pub pids: Option<i64>,
}

/// What the process may do: a container's `securityContext`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Security {
    /// `capabilities.add`, without `CAP_`; `ALL` is all that this machine grants.
    pub add: Vec<String>,
    /// `capabilities.drop`; `ALL` leaves what `add` names.
    pub drop: Vec<String>,
    /// `readOnlyRootFilesystem`.
    pub read_only_root: bool,
    /// `allowPrivilegeEscalation`; false sets `no_new_privs`.
    pub allow_privilege_escalation: bool,
    /// `privileged`: refused.
    pub privileged: bool,
    /// `seccompProfile`.
    pub seccomp: Seccomp,
}

impl Default for Security {
    fn default() -> Self {
        Self {
            add: Vec::new(),
            drop: Vec::new(),
            read_only_root: false,
            allow_privilege_escalation: true,
            privileged: false,
            seccomp: Seccomp::Default,
        }
    }
}

/// Which system calls are let through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Seccomp {
    /// The default filter; also where the pod names none.
    #[default]
    Default,
    /// `seccompProfile.type: Unconfined`.
    Unconfined,
}
