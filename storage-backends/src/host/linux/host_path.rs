//! Showing a path of the machine in a pod: opened once, checked as it was opened, and that very file bound.
//!
//! Whoever can write where the path leads may change it at any time, so nothing is checked by name: links are followed
//! by the one open, `fstat` says what it found, the kernel says where that is, and the bind mount is made of
//! `/proc/self/fd/N`, which is the opened file whatever its name leads to by then.
//!
//! Where it is, is known twice: as a path, and as a place in a file system (device, and path from its root). The second
//! also finds Orlop's directories where a bind mount shows them under another name.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io,
    os::{
        fd::AsRawFd,
        unix::fs::{FileTypeExt, MetadataExt},
    },
    path::{Path, PathBuf},
};

use nix::mount::{MntFlags, MsFlags};
use rustix::{
    fs::{CWD, Mode, OFlags},
    io::Errno,
};

use super::{failed, mountinfo, shares};
use crate::host::{
    Cause, Error, MountEntry, Result,
    path::{self, PathBind, PathKind},
};

const LOOK: OFlags = OFlags::PATH.union(OFlags::CLOEXEC);

/// Where a file is: by name, and in its file system.
struct Place {
    path: PathBuf,
    number: (u32, u32),
    inside: PathBuf,
}

/// Shows the path at the target, which is made; nothing happens when something is shown there already.
pub(super) fn bind(request: &PathBind) -> Result<()> {
    let refused = |why: String| Error {
        operation: "show host path",
        object: request.source.display().to_string(),
        source: Cause::Refused(why),
    };
    let context = failed("show host path", &request.source);
    path::check(&request.source).map_err(refused)?;
    let mounts = mountinfo::read()?;
    if mounts.iter().any(|mount| mount.target == request.target) {
        // A death after the bind left it in the source's propagation group.
        return leave_group(&request.target).map_err(&context);
    }
    let own = own_places(&request.own, &mounts).map_err(&context)?;
    let (file, made) = match open(&request.source).map_err(&context)? {
        Some(file) => (file, false),
        None => (create(request, &own, &mounts)?, true),
    };
    let found = place(&file, &mounts).map_err(&context)?;
    if let Some(own) = conflict(&found, &own, &mounts) {
        return Err(refused(path::entwined(own)));
    }
    let metadata = file.metadata().map_err(&context)?;
    if metadata.nlink() == 0 {
        return Err(refused("was removed just now".to_owned()));
    }
    if !made && !is(request.kind, &metadata) {
        return Err(refused(path::mismatch(request.kind)));
    }
    make_target(&request.target, metadata.is_dir())?;
    attach(&file, &request.target).map_err(context)
}

/// What is at a path, whatever it is; links are followed. `None` when there is nothing.
fn open(path: &Path) -> io::Result<Option<File>> {
    match rustix::fs::open(path, LOOK, Mode::empty()) {
        Ok(file) => Ok(Some(file.into())),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn of_fd(file: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

fn is(kind: PathKind, found: &fs::Metadata) -> bool {
    let file = found.file_type();
    match kind {
        PathKind::Any => true,
        PathKind::Directory | PathKind::DirectoryOrCreate => file.is_dir(),
        PathKind::File | PathKind::FileOrCreate => file.is_file(),
        PathKind::Socket => file.is_socket(),
        PathKind::CharDevice => file.is_char_device(),
        PathKind::BlockDevice => file.is_block_device(),
    }
}

/// Where an open file is; an error when its mount is not in the table, which is as good as unknown.
fn place(file: &File, mounts: &[MountEntry]) -> io::Result<Place> {
    let path = fs::read_link(of_fd(file))?;
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", file.as_raw_fd()))?;
    let id = info.lines().find_map(|line| line.strip_prefix("mnt_id:")?.trim().parse::<u64>().ok());
    let mount = mounts.iter().find(|mount| Some(mount.id) == id);
    let mount =
        mount.ok_or_else(|| io::Error::other("it is on a mount that the mount table does not show"))?;
    let below = path.strip_prefix(&mount.target).unwrap_or(Path::new(""));
    let inside = if below.as_os_str().is_empty() { mount.root.clone() } else { mount.root.join(below) };
    Ok(Place { number: mount.number, inside, path })
}

/// Where Orlop's own directories are, as far as they exist. One on a file server, which a shared pool may be, is not opened:
/// the server may be gone, and whoever looks would wait for it.
fn own_places(own: &[PathBuf], mounts: &[MountEntry]) -> io::Result<Vec<Place>> {
    let mut places = Vec::with_capacity(own.len());
    for path in own {
        if let Some(place) = on_server(path, mounts) {
            places.push(place);
        } else if let Some(file) = open(path)? {
            places.push(place(&file, mounts)?);
        }
    }
    Ok(places)
}

/// The place of a directory on a file server, by names alone.
fn on_server(path: &Path, mounts: &[MountEntry]) -> Option<Place> {
    let mount = shares::holder(mounts, path).filter(|mount| shares::is_server(mount))?;
    let below = path.strip_prefix(&mount.target).ok()?;
    let inside = below.components().fold(mount.root.clone(), |inside, part| inside.join(part));
    Some(Place { path: path.to_owned(), number: mount.number, inside })
}

/// The directory of Orlop's that a place shows something of, or that a mount below the place does.
fn conflict<'a>(found: &Place, own: &'a [Place], mounts: &[MountEntry]) -> Option<&'a Path> {
    let same = |number: (u32, u32), inside: &Path, own: &Place| {
        number == own.number && path::are_entwined(inside, &own.inside)
    };
    let below = |mount: &&MountEntry| mount.target != found.path && mount.target.starts_with(&found.path);
    let shows = |own: &&Place| {
        path::are_entwined(&found.path, &own.path)
            || same(found.number, &found.inside, own)
            || mounts.iter().filter(below).any(|mount| same(mount.number, &mount.root, own))
    };
    own.iter().find(shows).map(|own| own.path.as_path())
}

/// Makes what is missing, below the last directory that is there: names that are new lead nowhere else.
fn create(request: &PathBind, own: &[Place], mounts: &[MountEntry]) -> Result<File> {
    let context = failed("create host path", &request.source);
    let refused = |why: String| Error {
        operation: "show host path",
        object: request.source.display().to_string(),
        source: Cause::Refused(why),
    };
    let directory = match request.kind {
        PathKind::Any | PathKind::DirectoryOrCreate => true,
        PathKind::FileOrCreate => false,
        kind => return Err(refused(path::missing(kind))),
    };
    let (base, missing) = last_existing(&request.source).map_err(&context)?;
    let mut at = place(&base, mounts).map_err(&context)?;
    for name in &missing {
        at.path.push(name);
        at.inside.push(name);
    }
    if let Some(own) = conflict(&at, own, mounts) {
        return Err(refused(path::entwined(own)));
    }
    match missing.as_slice() {
        [name] if !directory => make_file(&base, name).map_err(context),
        names if directory => make_dirs(base, names).map_err(context),
        _ => Err(refused(path::NO_PARENT.to_owned())),
    }
}

/// The deepest part of a path that is there, and the names below it that are not.
fn last_existing(path: &Path) -> io::Result<(File, Vec<&OsStr>)> {
    let mut missing = Vec::new();
    for part in path.ancestors() {
        if let Some(base) = open(part)? {
            missing.reverse();
            return Ok((base, missing));
        }
        missing.extend(part.file_name());
    }
    Err(io::ErrorKind::NotFound.into())
}

fn make_file(base: &File, name: &OsStr) -> io::Result<File> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::openat(base, name, flags, Mode::from_raw_mode(0o644)) {
        Ok(_) | Err(Errno::EXIST) => {}
        Err(error) => return Err(error.into()),
    }
    let file = File::from(rustix::fs::openat(base, name, LOOK | OFlags::NOFOLLOW, Mode::empty())?);
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::other("something else was made there just now"))
    }
}

fn make_dirs(base: File, names: &[&OsStr]) -> io::Result<File> {
    let mut at = base;
    for name in names {
        match rustix::fs::mkdirat(&at, *name, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        let flags = LOOK | OFlags::NOFOLLOW | OFlags::DIRECTORY;
        at = rustix::fs::openat(&at, *name, flags, Mode::empty())?.into();
    }
    Ok(at)
}

/// The place where it is shown: a directory for a directory, an empty file for anything else.
fn make_target(target: &Path, directory: bool) -> Result<()> {
    let context = failed("make a place for host path", target);
    if let Some(parent) = target.parent() {
        super::files::create_dir(parent)?;
    }
    // What an earlier attempt made for another kind of file is empty and ours.
    if let Ok(found) = fs::symlink_metadata(target)
        && found.is_dir() != directory
    {
        remove_target(target)?;
    }
    if directory {
        return super::files::create_dir(target);
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, target, flags, Mode::from_raw_mode(0o600))
        .map(drop)
        .map_err(|e| context(e.into()))
}

#[expect(clippy::disallowed_methods, reason = "this is host::linux; sys-mount cannot bind a file of /proc")]
fn attach(file: &File, target: &Path) -> io::Result<()> {
    let none = None::<&str>;
    nix::mount::mount(Some(&of_fd(file)), target, none, MsFlags::MS_BIND | MsFlags::MS_REC, none)?;
    leave_group(target)
}

/// Mounts that come and go in the source are seen here; what is unmounted here stays in the source.
#[expect(clippy::disallowed_methods, reason = "this is host::linux; the target is a mount of ours")]
fn leave_group(target: &Path) -> io::Result<()> {
    let none = None::<&str>;
    Ok(nix::mount::mount(none, target, none, MsFlags::MS_SLAVE | MsFlags::MS_REC, none)?)
}

/// Takes away what is shown at the target and removes the target; fine when there is nothing.
#[expect(
    clippy::disallowed_methods,
    reason = "this is host::linux; the mount left the source's group before"
)]
pub(super) fn unbind(target: &Path) -> Result<()> {
    let context = failed("take away host path", target);
    while mountinfo::read()?.iter().any(|mount| mount.target == target) {
        // Naming the place asks a file server whether it is still what it was; taking it away does not.
        if mountinfo::is_shared(target)? {
            leave_group(target).map_err(&context)?;
        }
        // With all that is mounted in it, which a container that still has it keeps by itself.
        let flags = MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW;
        nix::mount::umount2(target, flags).map_err(|error| context(error.into()))?;
    }
    remove_target(target)
}

/// The place is ours and empty; the kernel refuses to remove one that something is mounted on.
pub(super) fn remove_target(target: &Path) -> Result<()> {
    let context = failed("remove the place of host path", target);
    let found = match fs::symlink_metadata(target) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(context(error)),
    };
    let removed = if found.is_dir() {
        fs::remove_dir(target)
    } else if found.is_file() && found.len() == 0 {
        fs::remove_file(target)
    } else {
        Err(io::Error::other("it is no empty file of Orlop's"))
    };
    removed.map_err(context)
}

#[cfg(test)]
mod tests;
