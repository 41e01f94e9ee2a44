//! `config.json` itself: the specification's shape (OCI runtime specification 1.0.2) filled from a [`ContainerSpec`].

use std::{
    fs,
    os::unix::fs::OpenOptionsExt,
    path::{Component, Path},
};

use serde_json::{Value, json};

use super::{
    ContainerSpec, Error, Mount, Propagation, Resources, Seccomp, capabilities, error::At, seccomp, user,
};

/// Hidden: they show or change the machine beneath (containerd's list).
const MASKED: [&str; 12] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

/// Shown read-only (containerd's list).
const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// Period over which a CPU limit is kept, in microseconds (the kernel's default).
const CPU_PERIOD: u64 = 100_000;

/// What the machine is like, as far as a bundle depends on it.
#[derive(Clone, Copy, Debug)]
struct Machine {
    /// One cgroup hierarchy (v2) rather than one per controller.
    unified_cgroups: bool,
    /// Mask of the capabilities that may be handed on.
    grantable: u64,
    /// This process's own out-of-memory score adjustment.
    oom_score_adj: i32,
    /// Rust's name of its architecture.
    arch: &'static str,
}

/// Writes `dir/config.json` for a container whose root file system is mounted; `dir` exists. Repeating it replaces the file.
pub fn write_bundle(dir: &Path, spec: &ContainerSpec) -> Result<(), Error> {
    let user = user::resolve(&spec.user, &spec.rootfs)?;
    let config = config(spec, &user, Machine::look())?;
    // Under its name only when it is whole: that it is there says that the bundle is complete, also after a death here.
    let (path, unfinished) = (dir.join("config.json"), dir.join("config.json.unfinished"));
    let mut file = fs::OpenOptions::new();
    let mut file = file
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&unfinished)
        .at("create", &unfinished)?;
    std::io::Write::write_all(&mut file, config.to_string().as_bytes()).at("write", &unfinished)?;
    fs::rename(&unfinished, &path).at("rename", &path)
}

/// Whether `dir` holds what [`write_bundle`] writes.
pub fn is_complete(dir: &Path) -> Result<bool, Error> {
    let path = dir.join("config.json");
    path.try_exists().at("look at", &path)
}

impl Machine {
    fn look() -> Self {
        let unified = rustix::fs::statfs("/sys/fs/cgroup").is_ok_and(|fs| fs.f_type == CGROUP2_MAGIC);
        let own = fs::read_to_string("/proc/self/oom_score_adj").unwrap_or_default();
        Self {
            unified_cgroups: unified,
            grantable: capabilities::grantable(),
            oom_score_adj: own.trim().parse().unwrap_or(0),
            arch: std::env::consts::ARCH,
        }
    }
}

/// CGROUP2_SUPER_MAGIC (linux/magic.h).
const CGROUP2_MAGIC: rustix::fs::FsWord = 0x6367_7270;

fn config(spec: &ContainerSpec, user: &user::User, machine: Machine) -> Result<Value, Error> {
    check(spec)?;
    let capabilities = capabilities::resolve(&spec.security, machine.grantable)?;
    let mut config = json!({
        "ociVersion": "1.0.2",
        "process": process(spec, user, &capabilities, machine),
        "root": {"path": spec.rootfs, "readonly": spec.security.read_only_root},
        "mounts": mounts(&spec.mounts)?,
        "linux": {
            "namespaces": namespaces(spec, machine),
            "cgroupsPath": spec.cgroup,
            "resources": resources(&spec.resources),
            "maskedPaths": MASKED,
            "readonlyPaths": READ_ONLY,
        },
    });
    if spec.security.seccomp == Seccomp::Default {
        config["linux"]["seccomp"] = seccomp::filter(&capabilities, machine.arch);
    }
    Ok(config)
}

/// What would be dangerous or is not there is refused before anything is written.
fn check(spec: &ContainerSpec) -> Result<(), Error> {
    if spec.security.privileged {
        return Err(Error::Refused {
            field: "securityContext.privileged",
            reason: "privileged containers own the whole machine and are not offered; \
                     name what is needed in capabilities.add instead"
                .into(),
        });
    }
    if spec.args.is_empty() {
        return Err(Error::NoCommand { image: spec.image.clone() });
    }
    // A working directory below /proc has led runc out of the root file system (CVE-2024-21626).
    let mut parts = Path::new(&spec.cwd).components().filter(|c| *c != Component::CurDir).skip(1).peekable();
    if parts.peek().is_some_and(|first| first.as_os_str() == "proc")
        || parts.any(|p| p == Component::ParentDir)
    {
        return Err(refused_path("workingDir", &spec.cwd, "must not lie below /proc, nor have .. in it"));
    }
    if !spec.cwd.is_empty() && !spec.cwd.starts_with('/') {
        return Err(refused_path("workingDir", &spec.cwd, "must be absolute"));
    }
    Ok(())
}

fn refused_path(field: &'static str, path: &str, rule: &str) -> Error {
    Error::Refused { field, reason: format!("{path:?} {rule}") }
}

fn process(spec: &ContainerSpec, user: &user::User, capabilities: &[String], machine: Machine) -> Value {
    let mut process = json!({
        "user": {"uid": user.uid, "gid": user.gid, "additionalGids": user.groups},
        "args": spec.args,
        "env": spec.env,
        "cwd": if spec.cwd.is_empty() { "/" } else { &spec.cwd },
        "noNewPrivileges": !spec.security.allow_privilege_escalation,
        // None are inheritable or ambient: a program that is not root's gains none by being started (CVE-2022-24769).
        "capabilities": {"bounding": capabilities, "effective": capabilities, "permitted": capabilities},
    });
    if let Some(wanted) = spec.oom_score_adj {
        process["oomScoreAdj"] = oom_score(wanted, machine).into();
    }
    process
}

/// Lowering the score needs `CAP_SYS_RESOURCE`; without it runc would fail where the best possible value does no harm.
fn oom_score(wanted: i32, machine: Machine) -> i32 {
    let wanted = wanted.clamp(-1000, 1000);
    if capabilities::may_lower_oom_score(machine.grantable) {
        wanted
    } else {
        wanted.max(machine.oom_score_adj)
    }
}

fn namespaces(spec: &ContainerSpec, machine: Machine) -> Value {
    let pinned = |kind: &str, file: &str| json!({"type": kind, "path": spec.namespaces.join(file)});
    let mut list = vec![json!({"type": "pid"}), json!({"type": "mount"}), pinned("ipc", "ipc")];
    if !spec.host_network {
        list.extend([pinned("network", "net"), pinned("uts", "uts")]);
    }
    if machine.unified_cgroups {
        list.push(json!({"type": "cgroup"}));
    }
    list.into()
}

fn resources(limits: &Resources) -> Value {
    let mut resources = json!({"devices": [{"allow": false, "access": "rwm"}]});
    if let Some(bytes) = limits.memory {
        resources["memory"] = json!({"limit": bytes});
    }
    if let Some(shares) = limits.cpu_shares {
        resources["cpu"]["shares"] = shares.max(2).into();
    }
    if let Some(millis) = limits.cpu_millis {
        resources["cpu"]["period"] = CPU_PERIOD.into();
        // The kernel refuses quotas below a millisecond.
        resources["cpu"]["quota"] = millis.saturating_mul(CPU_PERIOD / 1000).max(1000).into();
    }
    if let Some(pids) = limits.pids {
        resources["pids"] = json!({"limit": pids});
    }
    resources
}

/// The usual mounts, but for those that the pod brings itself, then the pod's, parents before children.
fn mounts(own: &[Mount]) -> Result<Value, Error> {
    let mut sorted: Vec<&Mount> = own.iter().collect();
    sorted.sort_by_key(|m| Path::new(&m.target).components().count());
    for mount in &sorted {
        check_target(&mount.target)?;
    }
    let taken = |target: &str| sorted.iter().any(|m| Path::new(&m.target) == Path::new(target));
    let mut all: Vec<Value> =
        usual().into_iter().filter(|m| !taken(m["destination"].as_str().unwrap_or(""))).collect();
    all.extend(sorted.into_iter().map(bind));
    Ok(all.into())
}

fn check_target(target: &str) -> Result<(), Error> {
    let parts: Vec<Component<'_>> = Path::new(target).components().collect();
    let plain = parts.iter().skip(1).all(|part| matches!(part, Component::Normal(_)));
    if parts.first() != Some(&Component::RootDir) || parts.len() < 2 || !plain {
        return Err(refused_path(
            "volumeMounts.mountPath",
            target,
            "must be an absolute path other than / and without ..",
        ));
    }
    // runc refuses most of it too; a mount over /proc would hide or fake what the masks protect.
    if parts[1].as_os_str() == "proc" {
        return Err(refused_path("volumeMounts.mountPath", target, "must not lie in /proc"));
    }
    Ok(())
}

fn bind(mount: &Mount) -> Value {
    let propagation = match mount.propagation {
        Propagation::Private => "rprivate",
        Propagation::Slave => "rslave",
    };
    let access = if mount.read_only { "ro" } else { "rw" };
    json!({
        "destination": mount.target,
        "type": "bind",
        "source": mount.source,
        "options": ["rbind", access, propagation],
    })
}

fn usual() -> Vec<Value> {
    let mount = |target: &str, kind: &str, options: &str| {
        let options: Vec<&str> = options.split(',').collect();
        json!({"destination": target, "type": kind, "source": kind, "options": options})
    };
    vec![
        mount("/proc", "proc", "nosuid,noexec,nodev"),
        mount("/dev", "tmpfs", "nosuid,strictatime,mode=755,size=65536k"),
        mount("/dev/pts", "devpts", "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5"),
        mount("/dev/shm", "tmpfs", "nosuid,noexec,nodev,mode=1777,size=65536k"),
        mount("/dev/mqueue", "mqueue", "nosuid,noexec,nodev"),
        mount("/sys", "sysfs", "nosuid,noexec,nodev,ro"),
        mount("/sys/fs/cgroup", "cgroup", "nosuid,noexec,nodev,relatime,ro"),
    ]
}

#[cfg(test)]
mod tests;
