//! Where a volume is mounted, by device number: sources and paths can lie, numbers cannot.

use std::path::{Path, PathBuf};

use super::{fault::Context, pools::Pool};
use crate::{
    driver::{Code, Error},
    host::{self, LoopDevice, MountEntry},
};

/// All mounts of the file systems on these devices, in mount order.
pub(super) fn places(pool: &Pool, devices: &[LoopDevice]) -> host::Result<Vec<MountEntry>> {
    let mut mounts = pool.host.mounts()?;
    mounts.retain(|mount| devices.iter().any(|device| device.number == mount.number));
    Ok(mounts)
}

/// What is mounted at a place, topmost last.
pub(super) fn stack(pool: &Pool, target: &Path) -> host::Result<Vec<MountEntry>> {
    let mut mounts = pool.host.mounts()?;
    mounts.retain(|mount| mount.target == target);
    Ok(mounts)
}

pub(super) fn is_read_only(mount: &MountEntry) -> bool {
    mount.options.split(',').any(|option| option == "ro")
}

/// A target as the mount table will name it. `None`: it does not exist.
pub(super) fn canonical(pool: &Pool, context: &Context, target: &Path) -> Result<Option<PathBuf>, Error> {
    pool.host.canonical(target).map_err(|error| context.host(error))
}

/// A target that must be there.
pub(super) fn existing(pool: &Pool, context: &Context, target: &Path) -> Result<PathBuf, Error> {
    canonical(pool, context, target)?
        .ok_or_else(|| context.fail(Code::FailedPrecondition, format!("{} does not exist", target.display())))
}

/// Unmounts all that these devices have at `target`; refuses when something else lies on top.
pub(super) fn clear(
    pool: &Pool,
    context: &Context,
    devices: &[LoopDevice],
    target: &Path,
) -> Result<(), Error> {
    let Some(target) = canonical(pool, context, target)? else {
        return Ok(());
    };
    // Each round takes one mount away, so it ends; the bound is for a machine that somebody else mounts on meanwhile.
    for _ in 0..64 {
        let stack = stack(pool, &target).map_err(|error| context.host(error))?;
        let Some(top) = stack.last() else { return Ok(()) };
        if !devices.iter().any(|device| device.number == top.number) {
            let why = format!(
                "{} is mounted at {} and is not this volume; unmount it by hand",
                top.source,
                target.display()
            );
            return Err(context.fail(Code::FailedPrecondition, why));
        }
        pool.host.unmount(&target).map_err(|error| context.host(error))?;
    }
    Err(context.fail(Code::Internal, format!("{} is mounted on again and again", target.display())))
}
