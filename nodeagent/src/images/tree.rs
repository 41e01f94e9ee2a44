//! Directory trees beneath a handle: made, measured, made durable and removed without following a link.

use std::{
    ffi::CStr,
    fs,
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::DirBuilderExt,
    },
    path::Path,
};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};

use super::{Error, error::At};

/// How a directory is opened here: itself, never what a link points at.
pub(super) const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Makes a directory (0700) and those above it that are missing.
pub(super) fn create_dirs(path: &Path) -> Result<(), Error> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).at("create directory", path)
}

/// Makes the entries of a directory durable.
pub(super) fn sync_dir(path: &Path) -> Result<(), Error> {
    let dir = rustix::fs::open(path, DIRECTORY, Mode::empty()).at("open", path)?;
    rustix::fs::fsync(&dir).at("sync", path)
}

/// Removes `dir/name`, whatever it is; answers the bytes that its files had. Follows no link and crosses no mount.
pub(super) fn remove_tree(dir: &Path, name: &str) -> Result<u64, Error> {
    let path = dir.join(name);
    let parent = rustix::fs::open(dir, DIRECTORY, Mode::empty()).at("open", dir)?;
    let device = rustix::fs::fstat(&parent).at("look at", dir)?.st_dev;
    let name = std::ffi::CString::new(name).map_err(std::io::Error::from).at("remove", &path)?;
    remove_entry(&parent, &name, device).at("remove", &path)
}

/// Removes one entry of an open directory and all beneath it.
pub(super) fn remove_entry(parent: impl AsFd, name: &CStr, device: u64) -> rustix::io::Result<u64> {
    let stat = rustix::fs::statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
    if stat.st_dev != device {
        return Err(rustix::io::Errno::XDEV);
    }
    if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
        rustix::fs::unlinkat(parent, name, AtFlags::empty())?;
        return Ok(u64::try_from(stat.st_size).unwrap_or(0));
    }
    let dir: OwnedFd = rustix::fs::openat(&parent, name, DIRECTORY, Mode::empty())?;
    let mut bytes = 0;
    for entry in Dir::read_from(&dir)? {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            bytes += remove_entry(&dir, entry.file_name(), device)?;
        }
    }
    rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR)?;
    Ok(bytes)
}
