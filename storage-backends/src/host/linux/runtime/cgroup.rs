//! cgroups of an instance: `/orlop-<instance>/{monitors,pod-<uid>/<container>}` in every hierarchy there is.
//!
//! The monitors have one of their own, and so has the NFS server, so that stopping Orlop's service, which kills its
//! cgroup, leaves them alone. Containers' cgroups are made by runc; here they are only found and taken away.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use rustix::process::{Pid, Signal};

use super::super::failed;
use crate::host::Result;

/// Where the hierarchies are mounted.
const ROOT: &str = "/sys/fs/cgroup";
/// CGROUP2_SUPER_MAGIC (linux/magic.h).
const CGROUP2: rustix::fs::FsWord = 0x6367_7270;
/// The hierarchies of version 1 by which something above might kill or charge a monitor.
const MATTER: [&str; 3] = ["systemd", "memory", "unified"];

/// The roots of all hierarchies: one for version 2, one per controller for version 1.
fn hierarchies() -> Vec<PathBuf> {
    if rustix::fs::statfs(ROOT).is_ok_and(|fs| fs.f_type == CGROUP2) {
        return vec![ROOT.into()];
    }
    let dirs = fs::read_dir(ROOT).into_iter().flatten().flatten();
    dirs.map(|dir| dir.path()).filter(|path| path.join("cgroup.procs").exists()).collect()
}

/// Moves a process that is to outlive us into a group of the instance; a monitor before it forks.
pub(in crate::host::linux) fn join(instance: &str, group: &str, pid: u32) -> Result<()> {
    let all = hierarchies();
    let one = all.len() == 1;
    for root in all.iter().filter(|root| one || MATTER.iter().any(|name| root.ends_with(name))) {
        let dir = root.join(format!("orlop-{instance}/{group}"));
        // The instance's own group may be taken away, because nothing is in it, just when this one is made.
        fs::create_dir_all(&dir)
            .or_else(|_| fs::create_dir_all(&dir))
            .map_err(failed("create cgroup", &dir))?;
        let procs = dir.join("cgroup.procs");
        fs::write(&procs, pid.to_string()).map_err(failed("move a process into", &procs))?;
    }
    Ok(())
}

/// Takes away a group in which nothing is any more, and the instance's if it was the last.
pub(in crate::host::linux) fn leave(instance: &str, group: &str) {
    for root in hierarchies() {
        let own = root.join(format!("orlop-{instance}"));
        let _ = fs::remove_dir(own.join(group));
        let _ = fs::remove_dir(own);
    }
}

/// Takes a container's cgroups away, killing what is left in them.
pub(super) fn remove(instance: &str, id: &str) -> Result<()> {
    for pod in hierarchies().iter().flat_map(|root| pods(root, instance)) {
        let cgroup = pod.join(id);
        if cgroup.is_dir() {
            empty(&cgroup)?;
            fs::remove_dir(&cgroup).or_else(gone).map_err(failed("remove cgroup", &cgroup))?;
        }
    }
    Ok(())
}

/// Takes away every cgroup of the instance in which nothing is; the kernel refuses the others. Nothing may be being
/// created meanwhile: runc makes a pod's cgroup and then the container's in it.
pub(super) fn sweep(instance: &str) {
    for root in hierarchies() {
        for pod in pods(&root, instance) {
            let _ = fs::remove_dir(pod);
        }
        let _ = fs::remove_dir(root.join(format!("orlop-{instance}")));
    }
}

/// The cgroups right below an instance's: its pods', and that of the monitors.
fn pods(root: &Path, instance: &str) -> Vec<PathBuf> {
    let dirs = fs::read_dir(root.join(format!("orlop-{instance}"))).into_iter().flatten().flatten();
    dirs.filter(|dir| dir.file_type().is_ok_and(|kind| kind.is_dir())).map(|dir| dir.path()).collect()
}

fn gone(e: io::Error) -> io::Result<()> {
    if e.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(e) }
}

/// Only a runc that was killed half-way leaves processes behind: its helper, which waits for it for ever.
fn empty(cgroup: &Path) -> Result<()> {
    let procs = cgroup.join("cgroup.procs");
    for _ in 0..100 {
        let text = fs::read_to_string(&procs).unwrap_or_default();
        let pids: Vec<Pid> = text.lines().filter_map(|l| Pid::from_raw(l.parse().ok()?)).collect();
        if pids.is_empty() {
            return Ok(());
        }
        for pid in pids {
            // It is in a cgroup of this instance's container: nothing else has business there.
            let _ = rustix::process::kill_process(pid, Signal::KILL);
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    Err(failed("empty cgroup", cgroup)(io::ErrorKind::TimedOut.into()))
}
