//! How much room the disk has. It is asked for before sled takes over what the log holds: sled stops for good at the
//! first write that finds none.

use std::path::Path;

use crate::Error;

const MIB: u64 = 1 << 20;
/// What has to be free, in MiB: sled writes what the log holds (8 MiB) with the pages around it, in whole segments.
const NEEDED: u64 = 32;

/// Refuses, in words, where less than that is free. A disk that cannot be asked is taken to have it.
pub(crate) fn ensure(path: &Path) -> Result<(), Error> {
    match free(path) {
        Some(free) if free < NEEDED => {
            Err(Error::Full { path: path.to_string_lossy().into(), free, needed: NEEDED })
        }
        _ => Ok(()),
    }
}

/// What this process may still use on the file system of `path`, in MiB.
fn free(path: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(path).ok()?;
    // What is kept in reserve is for root.
    let blocks = if rustix::process::geteuid().is_root() { disk.f_bfree } else { disk.f_bavail };
    Some(blocks.saturating_mul(disk.f_frsize) / MIB)
}
