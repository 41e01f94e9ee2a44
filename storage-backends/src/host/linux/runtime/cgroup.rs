//! cgroups of an instance: `/orlop-<instance>/{monitors,pod-<uid>/<container>}` in every hierarchy there is.
//!
//! The monitors have one of their own, so that stopping Orlop's service, which kills its cgroup, leaves them alone.
//! Containers' cgroups are made by runc; here they are only found and taken away.

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

/// Moves a monitor that has not forked yet into the instance's cgroup of monitors.
pub(super) fn join_monitors(instance: &str, pid: u32) -> Result<()> {
    let all = hierarchies();
    let one = all.len() == 1;
    for root in all.iter().filter(|root| one || MATTER.iter().any(|name| root.ends_with(name))) {
        let dir = root.join(format!("orlop-{instance}/monitors"));
        fs::create_dir_all(&dir).map_err(failed("create cgroup", &dir))?;
        let procs = dir.join("cgroup.procs");
        fs::write(&procs, pid.to_string()).map_err(failed("move the monitor into", &procs))?;
    }
    Ok(())
}

/// Takes a container's cgroups away, killing what is left in them, and its pod's when it was the last.
pub(super) fn remove(instance: &str, id: &str) -> Result<()> {
    for root in hierarchies() {
        let pods = root.join(format!("orlop-{instance}"));
        for pod in fs::read_dir(&pods).into_iter().flatten().flatten() {
            let cgroup = pod.path().join(id);
            if cgroup.is_dir() {
                empty(&cgroup)?;
                fs::remove_dir(&cgroup).or_else(gone).map_err(failed("remove cgroup", &cgroup))?;
            }
            if pod.file_name() != "monitors" {
                // Refused by the kernel while another container of the pod has its cgroup there.
                let _ = fs::remove_dir(pod.path());
            }
        }
    }
    Ok(())
}

/// Takes the instance's own cgroups away; whatever still lives in them keeps them.
pub(super) fn remove_instance(instance: &str) {
    for root in hierarchies() {
        let dir = root.join(format!("orlop-{instance}"));
        let _ = fs::remove_dir(dir.join("monitors"));
        let _ = fs::remove_dir(dir);
    }
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
