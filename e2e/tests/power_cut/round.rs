//! One store, from its creation on, whose power is cut again and again while it writes.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::disk::{self, Disk};

/// The helper that writes and checks.
const HELPER: &str = env!("CARGO_BIN_EXE_power_cut");

/// A writer at work; killed on drop.
#[derive(Debug)]
pub(crate) struct Round<'a> {
    disk: &'a Disk,
    scratch: &'a Path,
    number: usize,
    name: String,
    acks: PathBuf,
    writer: Child,
}

impl<'a> Round<'a> {
    /// Starts a writer that creates its store on the disk.
    pub(crate) fn start(disk: &'a Disk, scratch: &'a Path, number: usize, sync: &str) -> Self {
        let name = format!("round-{number}");
        let acks = scratch.join(format!("acks-{number}"));
        let store = disk.path().join(&name).join("store");
        let writer = Command::new(HELPER)
            .args([Path::new("write"), &store, &acks, Path::new(&number.to_string()), Path::new(sync)])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("the writer");
        Self { disk, scratch, number, name, acks, writer }
    }

    /// Cuts the power once, and checks what is left: the summary, or what is wrong.
    pub(crate) fn cut(&mut self, number: usize) -> Result<String, String> {
        self.wait_for(number);
        // Every second cut is taken while the writer goes on.
        let pid = Pid::from_raw(self.writer.id().try_into().expect("a pid"));
        let stopped = number % 2 == 1;
        if stopped {
            kill(pid, Signal::SIGSTOP).expect("it runs");
        }
        // First what was acknowledged, then the image: a commit between the two may be in the image, and need not.
        let before = self.copy_acks("before");
        let image = self.disk.cut();
        let after = self.copy_acks("after");
        if stopped {
            kill(pid, Signal::SIGCONT).expect("it is there");
        }
        let mounted =
            image.mount(self.scratch.join("cut")).map_err(|e| format!("the image does not mount: {e}"))?;
        let store = mounted.path().join(&self.name).join("store");
        disk::run(HELPER, &["check", &store.to_string_lossy(), &before, &after])
    }

    /// The first cut of a round falls into the creation: after so many microseconds, whatever state that is. The later
    /// ones wait for so many more commits.
    fn wait_for(&mut self, number: usize) {
        let some = (self.number * 7919 + number * 104_729) % 97;
        if number == 0 {
            std::thread::sleep(Duration::from_micros(some as u64 * 700));
            return;
        }
        let commits = self.commits() + 20 + some * 4;
        while self.commits() < commits {
            if let Some(status) = self.writer.try_wait().expect("its status") {
                panic!("the writer ended by itself: {status}");
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// What the writer has written down up to now; nothing, if it has not begun.
    fn copy_acks(&self, name: &str) -> String {
        let copy = self.scratch.join(name);
        fs::write(&copy, fs::read(&self.acks).unwrap_or_default()).expect("a copy");
        copy.to_string_lossy().into_owned()
    }

    fn commits(&self) -> usize {
        fs::read(&self.acks).map_or(0, |acks| acks.iter().filter(|byte| **byte == b'\n').count())
    }
}

impl Drop for Round<'_> {
    fn drop(&mut self) {
        let _ = self.writer.kill();
        let _ = self.writer.wait();
        // Room for the next round. No mount can be below it.
        let _ = fs::remove_dir_all(self.disk.path().join(&self.name));
    }
}
