//! For tests on the real machine: a place that is left as it was found.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::io::Errno;

use super::{
    super::{Cause, Error, Host, Result},
    Linux,
    program::Program,
};

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

    /// A btrfs of its own with these subvolumes, mounted; `None`, and said so, where this machine has none.
    pub(crate) fn btrfs(&self, test: &str, bytes: u64, subvolumes: &[&str]) -> Option<PathBuf> {
        let (image, place) = (self.path().join("btrfs.image"), self.path().join("btrfs"));
        Linux.create_sparse(&image, bytes).unwrap();
        Linux.create_dir(&place).unwrap();
        match run("mkfs.btrfs", [OsString::from("-q"), image.clone().into()]) {
            Err(Error { source: Cause::Missing { .. }, .. }) => {
                skipped(test, "no mkfs.btrfs (package btrfs-progs)");
                return None;
            }
            other => other.unwrap(),
        }
        let device = Linux.attach_loop(&image, false).unwrap().device;
        match sys_mount::Mount::builder().fstype("btrfs").mount(&device, &place) {
            Err(error) if error.raw_os_error() == Some(Errno::NODEV.raw_os_error()) => {
                skipped(test, "this kernel has no btrfs");
                return None;
            }
            other => drop(other.unwrap()),
        }
        for name in subvolumes {
            run("btrfs", ["subvolume".into(), "create".into(), place.join(name).into()]).unwrap();
        }
        Some(place)
    }

    /// Takes away all that can be; answers what could not.
    fn clean(&self) -> Vec<Error> {
        let mut failed = Vec::new();
        failed.extend(self.unmount().err());
        match self.look_for_loops() {
            Ok(devices) => {
                failed.extend(devices.iter().filter_map(|device| Linux.detach_loop(device).err()));
            }
            Err(error) => failed.push(error),
        }
        failed
    }

    /// Looks anew after each: with one mount another may go.
    fn unmount(&self) -> Result<()> {
        let last = || Ok(Linux.mounts()?.into_iter().rfind(|mount| mount.target.starts_with(self.path())));
        while let Some(mount) = last()? {
            Linux.unmount(&mount.target)?;
        }
        Ok(())
    }

    /// The loop devices whose files are in it.
    pub(crate) fn loops(&self) -> Vec<PathBuf> {
        self.look_for_loops().unwrap()
    }

    fn look_for_loops(&self) -> Result<Vec<PathBuf>> {
        let mine = Linux.loops()?.into_iter().filter(|found| found.path.starts_with(self.path()));
        Ok(mine.map(|found| found.device).collect())
    }
}

impl Drop for Scratch {
    /// What is left over fails the test, or is said where it fails already: the next one would find it.
    fn drop(&mut self) {
        let failed = self.clean();
        if failed.is_empty() {
            return;
        }
        // What is still mounted may be somebody else's: nothing is removed through it.
        self.dir.disable_cleanup(true);
        let left = format!("{} could not be left as it was found: {failed:?}", self.path().display());
        if std::thread::panicking() {
            let _ = std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("{left}\n"));
        } else {
            panic!("{left}");
        }
    }
}

fn run<const N: usize>(name: &'static str, arguments: [OsString; N]) -> Result<()> {
    let (object, deadline) = ("a btrfs of a test".to_owned(), Duration::from_secs(60));
    let arguments = arguments.into();
    Program { operation: "make", object, name, package: "btrfs-progs", arguments, deadline }.run().map(drop)
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
