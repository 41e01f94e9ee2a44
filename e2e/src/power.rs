//! A node's machine loses its power. The nodes of a test share one kernel, so what a real one forgets with its power is
//! taken from this one by hand: processes, cgroups, mounts, loop devices, and what lies in `/run`.
//!
//! It is kinder than a power cut in one thing: unmounting writes out what was written. Of the network the bridge stays.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use nix::{
    mount::{MntFlags, umount2},
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{
    cluster::{PATIENCE, said},
    machine,
    member::Member,
    remains,
};

/// Ends everything of a node at once: its agent first, so that nobody tells the server.
pub fn off(member: &mut Member) -> Result<()> {
    member.kill()?;
    let (data, run) = (member.dir(), remains::run_dir(&member.dir()));
    end_processes(&run)?;
    for device in unmount(&data, &run)? {
        let output = Command::new("losetup").arg("-d").arg(&device).output()?;
        ensure!(output.status.success(), "losetup -d {}: {}", device.display(), said(&output));
    }
    fs::remove_dir_all(&run).with_context(|| format!("remove {}", run.display()))
}

/// Kills all that is in the node's cgroups, monitors too: none of them records how a container ended. And the cgroups go.
fn end_processes(run: &Path) -> Result<()> {
    let begun = Instant::now();
    loop {
        let mut pids = Vec::new();
        remains::cgroups(run).iter().for_each(|dir| processes(dir, &mut pids));
        if pids.is_empty() {
            return remains::cgroups(run).iter().try_for_each(|dir| remove(dir));
        }
        for pid in &pids {
            // It may have ended by itself.
            let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
        }
        ensure!(begun.elapsed() < PATIENCE, "processes {pids:?} do not end");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn processes(cgroup: &Path, pids: &mut Vec<i32>) {
    let text = fs::read_to_string(cgroup.join("cgroup.procs")).unwrap_or_default();
    pids.extend(text.lines().filter_map(|line| line.parse::<i32>().ok()));
    for entry in fs::read_dir(cgroup).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            processes(&entry.path(), pids);
        }
    }
}

/// Removes a cgroup and those in it; they hold no files of anybody's.
fn remove(cgroup: &Path) -> Result<()> {
    for entry in fs::read_dir(cgroup)?.flatten() {
        if entry.file_type()?.is_dir() {
            remove(&entry.path())?;
        }
    }
    fs::remove_dir(cgroup).with_context(|| format!("remove {}", cgroup.display()))
}

/// Unmounts what lies in the node's directories, the last mount first; answers the loop devices that were mounted.
fn unmount(data: &Path, run: &Path) -> Result<Vec<PathBuf>> {
    let table = fs::read_to_string("/proc/self/mountinfo")?;
    let mut devices: Vec<PathBuf> = machine::loops()
        .into_iter()
        .filter(|(_, file)| file.starts_with(data))
        .map(|(device, _)| device)
        .collect();
    for line in table.lines().rev() {
        let target = line.split(' ').nth(4).map(Path::new);
        let Some(target) = target.filter(|t| t.starts_with(data) || t.starts_with(run)) else { continue };
        umount2(target, MntFlags::UMOUNT_NOFOLLOW)
            .with_context(|| format!("unmount {}", target.display()))?;
        let source = line.split(" - ").nth(1).and_then(|rest| rest.split(' ').nth(1)).map(PathBuf::from);
        devices.extend(source.filter(|source| source.starts_with("/dev") && !devices.contains(source)));
    }
    Ok(devices)
}
