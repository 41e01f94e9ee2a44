//! For tests on the real machine: a place that is left as it was found.

use std::path::{Path, PathBuf};

use super::{super::Host, Linux};

/// A directory whose mounts and loop devices go with it, however the test ends.
pub(crate) struct Scratch {
    dir: tempfile::TempDir,
}

impl Scratch {
    /// An empty one.
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    fn clean(&self) {
        let mounts = Linux.mounts().unwrap_or_default();
        for mount in mounts.iter().rev().filter(|mount| mount.target.starts_with(self.path())) {
            let _ = Linux.unmount(&mount.target);
        }
        for device in self.loops() {
            let _ = Linux.detach_loop(&device);
        }
    }

    /// The loop devices whose files are in it.
    pub(crate) fn loops(&self) -> Vec<PathBuf> {
        let loops = Linux.loops().unwrap_or_default();
        loops
            .into_iter()
            .filter(|found| found.path.starts_with(self.path()))
            .map(|found| found.device)
            .collect()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        self.clean();
    }
}

/// Whether a test that needs root and loop devices can run; says so when not.
pub(crate) fn can_run(test: &str) -> bool {
    let reason = if !rustix::process::geteuid().is_root() {
        "not root"
    } else if !Path::new("/dev/loop-control").exists() {
        "no /dev/loop-control"
    } else {
        return true;
    };
    skipped(test, reason);
    false
}

/// Says that a test was skipped, past the test harness, which keeps back what passing tests print.
pub(crate) fn skipped(test: &str, reason: &str) {
    let _ = std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("SKIPPED {test}: {reason}\n"));
}
