//! A directory that is served by a program, and hangs while that is stopped: what touches it waits, as it does for a dead
//! server of a hard NFS mount. It is bindfs on FUSE, so that kernels without an NFS client have it too.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use nix::{
    mount::{MntFlags, umount2},
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tempfile::TempDir;

use crate::{cluster::PATIENCE, machine};

/// Such a directory, mounted by hand as a user does it. Dropped, it is unmounted.
pub struct Stalling {
    place: TempDir,
    server: Child,
}

impl Stalling {
    /// Whether this machine can have one; says loudly why not.
    pub fn can_be_had(test: &str) -> bool {
        let there = Path::new("/dev/fuse").exists() && Path::new("/usr/bin/bindfs").exists();
        if !there {
            machine::skipped(test, "needs FUSE and bindfs (make setup)");
        }
        there
    }

    /// Mounts it.
    pub fn mount() -> Result<Self> {
        let place = tempfile::Builder::new().prefix("orlop-stalling.").tempdir()?;
        let (served, at) = (place.path().join("served"), place.path().join("mnt"));
        fs::create_dir(&served)?;
        fs::create_dir(&at)?;
        let mut bindfs = Command::new("bindfs");
        bindfs.arg("-f").arg(&served).arg(&at).stdin(Stdio::null());
        let stalling = Self { server: bindfs.spawn()?, place };
        let begun = Instant::now();
        while machine::left_below(&stalling.path()).is_empty() {
            ensure!(begun.elapsed() < PATIENCE, "bindfs has mounted nothing");
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(stalling)
    }

    /// Where it is mounted.
    pub fn path(&self) -> PathBuf {
        self.place.path().join("mnt")
    }

    /// The directory that is served, which never hangs.
    pub fn served(&self) -> PathBuf {
        self.place.path().join("served")
    }

    /// From now on everything that touches it waits.
    pub fn stall(&self) -> Result<()> {
        self.signal(Signal::SIGSTOP)?;
        let begun = Instant::now();
        while state(self.server.id()) != Some('T') {
            ensure!(begun.elapsed() < PATIENCE, "bindfs does not stop");
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// What waits goes on.
    pub fn go_on(&self) -> Result<()> {
        self.signal(Signal::SIGCONT)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        Ok(kill(Pid::from_raw(self.server.id().try_into()?), signal)?)
    }
}

/// The state of a process: `T` when it is stopped.
fn state(pid: u32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit(')').next()?.trim_start().chars().next()
}

impl Drop for Stalling {
    fn drop(&mut self) {
        // Without its server everything that waits is told so.
        let _ = self.server.kill();
        let _ = self.server.wait();
        let _ = umount2(&self.path(), MntFlags::MNT_DETACH);
    }
}
