//! What the machine can do, and what is left on it.

use std::{fs, path::Path};

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
    let _ = std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("SKIPPED {test}: {reason}\n"));
    false
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
    for entry in fs::read_dir("/sys/block").into_iter().flatten().flatten() {
        let backing = fs::read_to_string(entry.path().join("loop/backing_file")).unwrap_or_default();
        if backing.starts_with(&*dir) {
            left.push(format!("{} of {}", entry.file_name().to_string_lossy(), backing.trim()));
        }
    }
    left
}

/// When a process started, in clock ticks since boot: tells it from a later one with the same number.
pub fn start_time(pid: i64) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit(')').next()?.split_whitespace().nth(19)?.parse().ok()
}
