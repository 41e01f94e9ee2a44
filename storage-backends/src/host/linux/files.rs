//! Files and directories: durable where it matters, never over something that exists.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{Advice, AtFlags, CWD, FallocateFlags, FlockOperation, OFlags, RenameFlags, StatxFlags},
    io::Errno,
};

use super::{
    super::{Cause, Error, FileId, FileInfo, FileLock, Result, Space},
    failed, mountinfo,
};

/// What a file is called while it is written.
const FRESH: &str = ".new";
/// The most that is read of a small file.
const SMALL: u64 = 64 << 10;

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
    match rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // Network file systems know no such flag; a second name is as careful of the first one's owner.
        Err(Errno::INVAL) => {
            fs::hard_link(from, to).and_then(|()| fs::remove_file(from)).map_err(&context)?;
        }
        other => other.map_err(|error| context(error.into()))?,
    }
    sync_parent(to).map_err(context)
}

/// Under a name of its own until it is whole. That name is one for all: who makes files in a directory that others see
/// has its lock.
pub(super) fn create_file(path: &Path, content: &[u8]) -> Result<()> {
    let context = failed("create file", path);
    let fresh = path.with_file_name(FRESH);
    let write = || {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
        file.write_all(content)?;
        file.sync_all()
    };
    write().map_err(&context)?;
    rename(&fresh, path).inspect_err(|_| {
        // The failed renaming is what tells.
        let _ = fs::remove_file(&fresh);
    })
}

pub(super) fn read_file(path: &Path) -> Result<Option<Vec<u8>>> {
    let context = failed("read file", path);
    let file =
        match OpenOptions::new().read(true).custom_flags(OFlags::NOFOLLOW.bits().cast_signed()).open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(context(error)),
        };
    let mut content = Vec::new();
    file.take(SMALL).read_to_end(&mut content).map_err(context)?;
    Ok(Some(content))
}

pub(super) fn lock(path: &Path) -> Result<Option<FileLock>> {
    let context = failed("lock", path);
    let flags = OFlags::NOFOLLOW.bits().cast_signed();
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600).custom_flags(flags);
    let file = options.open(path).map_err(&context)?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(FileLock::new(file))),
        Err(Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(context(error.into())),
    }
}

pub(super) fn drop_cache(path: &Path) -> Result<()> {
    let context = failed("drop the cache of", path);
    let file = File::open(path).map_err(&context)?;
    file.sync_all().map_err(&context)?;
    rustix::fs::fadvise(&file, 0, None, Advice::DontNeed).map_err(|error| context(error.into()))
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

/// By the mount that a path is on, whose line in the mount table has the number of the file system as a whole. What `stat`
/// calls the device is another one for each subvolume of btrfs. A server is not asked: what is known of the path will do.
pub(super) fn file_system(path: &Path) -> Result<Option<u64>> {
    let wanted = StatxFlags::BASIC_STATS | StatxFlags::MNT_ID;
    let found = match rustix::fs::statx(CWD, path, AtFlags::STATX_DONT_SYNC, wanted) {
        Ok(found) => found,
        Err(Errno::NOENT) => return Ok(None),
        Err(error) => return Err(failed("look for the file system of", path)(error.into())),
    };
    let device = rustix::fs::makedev(found.stx_dev_major, found.stx_dev_minor);
    // A kernel before 5.8 does not say the mount, and what a process has open from outside of its root is in no table.
    if found.stx_mask & StatxFlags::MNT_ID.bits() == 0 {
        return Ok(Some(device));
    }
    let mount = mountinfo::read()?.into_iter().find(|mount| mount.id == found.stx_mnt_id);
    Ok(Some(mount.map_or(device, |mount| rustix::fs::makedev(mount.number.0, mount.number.1))))
}

pub(super) fn space(path: &Path) -> Result<Space> {
    let found =
        rustix::fs::statvfs(path).map_err(|error| failed("look at the space of", path)(error.into()))?;
    Ok(Space {
        total: found.f_blocks.saturating_mul(found.f_frsize),
        available: found.f_bavail.saturating_mul(found.f_frsize),
    })
}
