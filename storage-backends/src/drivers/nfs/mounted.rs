//! Where shares are mounted, by the mount table alone: any look at the places themselves could hang.

use std::path::{Path, PathBuf};

use super::{Inner, fault};
use crate::{
    driver::{Code, Error},
    drivers::fault::Context,
    host::{Host, MountEntry, MountRequest},
};

/// A target as the mount table will name it; `None` when what it lies in does not exist.
pub(super) fn named(host: &dyn Host, context: &Context, target: &Path) -> Result<Option<PathBuf>, Error> {
    let (Some(parent), Some(name)) = (target.parent(), target.file_name()) else { return Ok(None) };
    let parent = host.canonical(parent).map_err(|error| context.host(error))?;
    Ok(parent.map(|parent| parent.join(name)))
}

/// A target that must be there. It is listed where it lies, not looked at.
pub(super) fn existing(inner: &Inner, context: &Context, target: &Path) -> Result<PathBuf, Error> {
    let missing = || context.fail(Code::FailedPrecondition, format!("{} does not exist", target.display()));
    let place = named(inner.host.as_ref(), context, target)?.ok_or_else(missing)?;
    let (parent, name) = (place.parent(), place.file_name());
    let names = inner.host.list_dir(parent.unwrap_or(Path::new("/"))).map_err(|error| context.host(error))?;
    let name = name.map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    if names.contains(&name) { Ok(place) } else { Err(missing()) }
}

/// What is mounted topmost at a place.
pub(super) fn top(inner: &Inner, context: &Context, place: &Path) -> Result<Option<MountEntry>, Error> {
    let mounts = inner.host.mounts().map_err(|error| context.host(error))?;
    Ok(mounts.into_iter().rfind(|mount| mount.target == place))
}

/// Where a directory of a share, or anything in it, is mounted.
pub(super) fn of(inner: &Inner, context: &Context, source: &str) -> Result<Option<PathBuf>, Error> {
    let mounts = inner.host.mounts().map_err(|error| context.host(error))?;
    let is_of = |mount: &&MountEntry| {
        is_share(mount)
            && mount.source.strip_prefix(source).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    Ok(mounts.iter().find(is_of).map(|mount| mount.target.clone()))
}

pub(super) fn is_share(mount: &MountEntry) -> bool {
    mount.fs_type.starts_with("nfs")
}

fn is_read_only(mount: &MountEntry) -> bool {
    mount.options.split(',').any(|option| option == "ro")
}

fn foreign(context: &Context, top: &MountEntry) -> Error {
    let why = format!(
        "{} is mounted at {} and is not this volume; unmount it by hand",
        top.source,
        top.target.display()
    );
    context.fail(Code::FailedPrecondition, why)
}

/// Whether what is at a staging place is as wanted. The place is made from the volume's handle and is Orlop's alone, so
/// a share there is this volume's; the name of its server proves nothing, as the kernel shows the one that it was first
/// mounted by.
pub(super) fn as_staged(context: &Context, top: &MountEntry, read_only: bool) -> Result<(), Error> {
    if !is_share(top) {
        return Err(foreign(context, top));
    }
    if is_read_only(top) != read_only {
        let why = format!(
            "it is mounted at {} with {}, which is not what is wanted; unstage it first",
            top.target.display(),
            top.options
        );
        return Err(context.fail(Code::FailedPrecondition, why));
    }
    Ok(())
}

enum Shown {
    AsWanted,
    HalfDone,
}

/// Shows what is mounted at `staged` at `target` as well.
pub(super) fn bind(
    inner: &Inner,
    context: &Context,
    staged: &Path,
    target: &Path,
    read_only: bool,
) -> Result<(), Error> {
    let not_staged = || {
        context.fail(
            Code::FailedPrecondition,
            format!("it is not staged at {}; stage it first", staged.display()),
        )
    };
    let staged = existing(inner, context, staged)?;
    let from = top(inner, context, &staged)?.filter(is_share).ok_or_else(not_staged)?;
    let target = existing(inner, context, target)?;
    let here = || top(inner, context, &target)?.map(|top| judge(context, &top, &from, read_only)).transpose();
    match here()? {
        None => {}
        Some(Shown::AsWanted) => return Ok(()),
        // A death between the bind and the remount that makes it read-only.
        Some(Shown::HalfDone) => inner.host.unmount(&target).map_err(|error| context.host(error))?,
    }
    let request = MountRequest::Bind { source: staged, target: target.clone(), read_only };
    inner.host.mount(&request).map_err(|error| fault::host(context, error, &from.source))?;
    match here()? {
        Some(Shown::AsWanted) => Ok(()),
        _ => Err(context.fail(Code::Internal, "the kernel mounted it and does not show the mount as wanted")),
    }
}

fn judge(context: &Context, top: &MountEntry, staged: &MountEntry, read_only: bool) -> Result<Shown, Error> {
    if (top.number, &top.root, &top.source) != (staged.number, &staged.root, &staged.source) {
        return Err(foreign(context, top));
    }
    match (is_read_only(top), read_only || is_read_only(staged)) {
        (true, true) | (false, false) => Ok(Shown::AsWanted),
        (false, true) => Ok(Shown::HalfDone),
        (true, false) => {
            let why = format!(
                "it is mounted read-only at {} and is wanted writable; unpublish it first",
                top.target.display()
            );
            Err(context.fail(Code::FailedPrecondition, why))
        }
    }
}

/// Unmounts all shares at `target`; refuses when something else lies on top.
pub(super) fn clear(inner: &Inner, context: &Context, target: &Path) -> Result<(), Error> {
    let Some(target) = named(inner.host.as_ref(), context, target)? else { return Ok(()) };
    // Each round takes one mount away, so it ends; the bound is for a machine that somebody else mounts on meanwhile.
    for _ in 0..64 {
        let Some(top) = top(inner, context, &target)? else { return Ok(()) };
        if !is_share(&top) {
            return Err(foreign(context, &top));
        }
        unmount(inner, context, &top)?;
    }
    Err(context.fail(Code::Internal, format!("{} is mounted on again and again", target.display())))
}

/// What may be lost by force is kept: a mount that can be written waits for its server, however long that takes.
fn unmount(inner: &Inner, context: &Context, top: &MountEntry) -> Result<(), Error> {
    match inner.host.unmount(&top.target) {
        Err(error) if matches!(error.source, crate::host::Cause::Timeout(_)) && is_read_only(top) => {
            tracing::warn!(target_ = %top.target.display(), "the server does not answer; unmounted by force, nothing was written");
            inner.host.unmount_by_force(&top.target).map_err(|error| fault::host(context, error, &top.source))
        }
        other => other.map_err(|error| fault::host(context, error, &top.source)),
    }
}

/// Whether the server of what is mounted at `target` answers.
pub(super) fn ask(inner: &Inner, context: &Context, target: &Path) -> Result<(), Error> {
    let Some(target) = named(inner.host.as_ref(), context, target)? else { return Ok(()) };
    let Some(top) = top(inner, context, &target)?.filter(is_share) else { return Ok(()) };
    inner.host.ask(&target).map_err(|error| fault::host(context, error, &top.source))
}
