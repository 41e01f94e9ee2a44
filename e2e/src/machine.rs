//! What the machine can do, and what is left on it.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

/// Whether tests that change the machine can run; says loudly why when they cannot.
pub fn can_run(test: &str) -> bool {
    let reason = if !nix::unistd::geteuid().is_root() {
        "needs root"
    } else if !Path::new("/dev/loop-control").exists() {
        "needs /dev/loop-control"
    } else if !["/usr/bin/runc", "/usr/sbin/runc"].iter().any(|p| Path::new(p).exists()) {
        "needs runc (make setup)"
    } else {
        return true;
    };
    skipped(test, reason);
    false
}

/// Whether there is a kubectl; says loudly that the test is skipped when there is none.
pub fn has_kubectl(test: &str) -> bool {
    let mut version = std::process::Command::new("kubectl");
    let there = version.args(["version", "--client"]).output().is_ok_and(|o| o.status.success());
    if !there {
        skipped(test, "there is no kubectl on this machine");
    }
    there
}

/// Says that a test was skipped. Written past the macros, whose output the test harness keeps back when a test passes.
pub fn skipped(test: &str, reason: impl std::fmt::Display) {
    // A closed standard error leaves nobody to tell.
    let _ = writeln!(std::io::stderr(), "SKIPPED {test}: {reason}");
}

/// Mounts and loop devices that lie below `dir`.
pub fn left_below(dir: &Path) -> Vec<String> {
    let dir = dir.to_string_lossy();
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mut left: Vec<String> = mounts
        .lines()
        .filter(|line| line.split(' ').nth(4).is_some_and(|target| target.starts_with(&*dir)))
        .map(|line| format!("mount {line}"))
        .collect();
    let devices = loops().into_iter().filter(|(_, file)| file.to_string_lossy().starts_with(&*dir));
    left.extend(devices.map(|(device, file)| format!("{} of {}", device.display(), file.display())));
    left
}

/// All loop devices in use, each with its backing file as the kernel names it.
pub fn loops() -> Vec<(PathBuf, PathBuf)> {
    let entries = fs::read_dir("/sys/block").into_iter().flatten().flatten();
    let of = |entry: fs::DirEntry| {
        let file = fs::read_to_string(entry.path().join("loop/backing_file")).ok()?;
        Some((Path::new("/dev").join(entry.file_name()), PathBuf::from(file.trim_end_matches('\n'))))
    };
    entries.filter_map(of).collect()
}

/// When a process started, in clock ticks since boot: tells it from a later one with the same number.
pub fn start_time(pid: i64) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit(')').next()?.split_whitespace().nth(19)?.parse().ok()
}
