//! Files and directories: durable where it matters, never over something that exists.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rustix::fs::{CWD, FallocateFlags, RenameFlags};

use super::{
    super::{Cause, Error, FileId, FileInfo, Result, Space},
    failed,
};

pub(super) fn create_sparse(path: &Path, bytes: u64) -> Result<()> {
    let context = failed("create file", path);
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(&context)?;
    file.set_len(bytes).map_err(|error| {
        // The file is ours and empty; a failure here is less telling than the first one.
        let _ = fs::remove_file(path);
        context(error)
    })
}

pub(super) fn allocate(path: &Path, bytes: u64) -> Result<()> {
    let context = failed("allocate", path);
    let file = OpenOptions::new().write(true).open(path).map_err(&context)?;
    rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, bytes).map_err(|error| context(error.into()))
}

pub(super) fn sync_file(path: &Path) -> Result<()> {
    File::open(path).and_then(|file| file.sync_all()).map_err(failed("sync", path))
}

pub(super) fn rename(from: &Path, to: &Path) -> Result<()> {
    let context = failed("rename", to);
    if from.parent() != to.parent() {
        return Err(Error {
            operation: "rename",
            object: from.display().to_string(),
            source: Cause::Refused(format!("{} is in another directory", to.display())),
        });
    }
    rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE)
        .map_err(|error| context(error.into()))?;
    sync_parent(to).map_err(context)
}

pub(super) fn remove_file(path: &Path) -> Result<()> {
    fs::remove_file(path).and_then(|()| sync_parent(path)).map_err(failed("remove file", path))
}

fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    File::open(parent)?.sync_all()
}

pub(super) fn create_dir(path: &Path) -> Result<()> {
    let context = failed("create directory", path);
    if let Some(parent) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(parent).map_err(&context)?;
    }
    match DirBuilder::new().mode(0o700).create(path) {
        // Repeating is fine for a directory; a file or a link of that name is not one.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let found = fs::symlink_metadata(path).map_err(&context)?;
            if found.is_dir() { Ok(()) } else { Err(context(error)) }
        }
        other => other.map_err(context),
    }
}

/// `rmdir` itself refuses what is not empty, and a mount point with EBUSY.
pub(super) fn remove_dir(path: &Path) -> Result<()> {
    fs::remove_dir(path).map_err(failed("remove directory", path))
}

pub(super) fn file(path: &Path) -> Result<Option<FileInfo>> {
    match fs::symlink_metadata(path) {
        Ok(found) => Ok(Some(FileInfo {
            id: FileId { device: found.dev(), inode: found.ino() },
            length: found.len(),
            allocated: found.blocks() * 512,
            directory: found.is_dir(),
        })),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("look at", path)(error)),
    }
}

pub(super) fn canonical(path: &Path) -> Result<Option<PathBuf>> {
    match fs::canonicalize(path) {
        Ok(real) => Ok(Some(real)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("resolve", path)(error)),
    }
}

pub(super) fn list_dir(path: &Path) -> Result<Vec<String>> {
    let context = failed("list directory", path);
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(context(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.map_err(&context)?.file_name();
        names.push(name.to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

pub(super) fn space(path: &Path) -> Result<Space> {
    let found =
        rustix::fs::statvfs(path).map_err(|error| failed("look at the space of", path)(error.into()))?;
    Ok(Space {
        total: found.f_blocks.saturating_mul(found.f_frsize),
        available: found.f_bavail.saturating_mul(found.f_frsize),
    })
}
