//! Shares on this machine. All of it runs in a child: see `child`.
//!
//! ```text
//!  connect   names resolved ─ the port tried ─ fsopen("nfs") ─ newest version that both speak ─► a mount that is nowhere
//!  visit     beneath that mount's root, by descriptor; it goes with the child, whatever becomes of it
//!  mount     in a mount namespace of the child's own: share ─ marker ─ openat2 beneath ─ open_tree ─► moved to its target
//! ```
//!
//! Nothing that is mounted for the time of a call has a place in the tree that anybody else sees, so nothing is left
//! when Orlop dies in the middle, and no pod can reach it.

mod connect;
mod place;
mod root;
mod words;

use std::{os::fd::OwnedFd, path::Path};

use rustix::{
    fs::{CWD, Mode, OFlags},
    mount::{MoveMountFlags, OpenTreeFlags, move_mount, open_tree},
};

pub(super) use self::{connect::require_client, root::Opened};
use super::child::{Directory, Failure, Source};
use crate::host::share::{Kept, Refusal, check};

/// A share as a mount that is nowhere yet.
fn connect(source: &Source) -> Result<OwnedFd, Failure> {
    match source {
        Source::Server(share) => connect::connect(share),
        Source::Directory(path) => Ok(open_tree(
            CWD,
            path,
            OpenTreeFlags::OPEN_TREE_CLONE
                | OpenTreeFlags::OPEN_TREE_CLOEXEC
                | OpenTreeFlags::AT_SYMLINK_NOFOLLOW,
        )?),
    }
}

/// A share's root, to do something on it.
pub(super) fn open(source: &Source) -> Result<Opened, Failure> {
    let source = match source {
        Source::Server(share) => Source::Server(connect::for_a_visit(share)),
        Source::Directory(_) => source.clone(),
    };
    Ok(Opened::new(&connect(&source)?)?)
}

/// Mounts a share, or a directory of it, on `target`; answers why not, where it is not the volume's whose it must be.
pub(super) fn mount(
    source: &Source,
    directory: Directory,
    target: &Path,
    read_only: bool,
    options: &[String],
) -> Result<Option<Refusal>, Failure> {
    let parsed = orlop_objects::nfs::options(options).map_err(Failure::Refused)?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let target = rustix::fs::openat(CWD, target, flags, Mode::empty())?;
    let share = connect(source)?;
    let Directory { beneath, volume } = directory;
    let whose = match volume {
        Some(volume) => Some((Opened::new(&share)?, Kept { directory: beneath.clone(), volume })),
        None => None,
    };
    let open = || if beneath.is_empty() { Ok(share) } else { place::beneath(&share, &beneath) };
    let shown = match open_its(whose.as_ref(), open)? {
        Ok(shown) => shown,
        Err(why) => return Ok(Some(why)),
    };
    place::set_flags(&shown, read_only, &parsed.flags)?;
    let how = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(&shown, "", &target, "", how)?;
    Ok(None)
}

/// Opens a directory, and asks whose it is then: one that gets another's name before it is opened is not shown, and what gets
/// its name later is another directory. What is another's is told as that, also when it could not be opened.
fn open_its<T>(
    whose: Option<&(Opened, Kept)>,
    open: impl FnOnce() -> Result<T, Failure>,
) -> Result<Result<T, Refusal>, Failure> {
    let opened = open();
    if let Some((root, kept)) = whose
        && let Some(why) = check(root, kept)?
    {
        return Ok(Err(why));
    }
    opened.map(Ok)
}

#[cfg(test)]
mod tests;
