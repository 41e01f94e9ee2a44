//! Mounting a volume at its staging place, and taking it away.
//!
//! | device | holds | at the target | verdict |
//! |---|---|---|---|
//! | none, or another than was said | – | – | refused: attach first |
//! | ours | not this volume's file system | – | refused as damaged; never formatted |
//! | ours | another type than asked for | – | refused |
//! | ours | the right one | nothing | mount, look again |
//! | ours | the right one | it, as wanted | already |
//! | ours | the right one | it, read-only instead of writable or the other way | refused |
//! | ours | the right one | something else | refused |

use std::path::Path;

use super::{
    attach, create,
    fault::Context,
    mounted,
    pools::Pool,
    request::{Handle, parse_type},
};
use crate::{
    driver::{Code, Error, Stage},
    host::{FsType, LoopDevice, MountEntry, MountRequest, options},
};

pub(super) fn stage(pool: &Pool, context: &Context, handle: &Handle, request: &Stage) -> Result<(), Error> {
    let device = attached(pool, context, handle, request.device.as_deref())?;
    let fs_type = file_system(pool, context, handle, request, &device)?;
    let parsed = options::parse(fs_type, &request.mount_options)
        .map_err(|why| context.fail(Code::InvalidArgument, why))?;
    let read_only = parsed.flags.contains(&options::Flag::ReadOnly);
    let target = mounted::existing(pool, context, &request.target)?;
    let here = || mounted::stack(pool, &target).map_err(|error| context.host(error));
    if let Some(top) = here()?.last() {
        return same(context, top, &device, fs_type, read_only);
    }
    let mount = MountRequest::Device {
        source: device.device.clone(),
        target: target.clone(),
        fs_type,
        read_only,
        options: request.mount_options.clone(),
    };
    pool.host.mount(&mount).map_err(|error| context.host(error))?;
    match here()?.last() {
        Some(top) => same(context, top, &device, fs_type, read_only)?,
        None => {
            return Err(context.fail(Code::Internal, "the kernel mounted it and does not show the mount"));
        }
    }
    tracing::info!(volume = %handle, target = %target.display(), "volume staged");
    Ok(())
}

fn attached(
    pool: &Pool,
    context: &Context,
    handle: &Handle,
    said: Option<&Path>,
) -> Result<LoopDevice, Error> {
    let Some(device) = attach::find(pool, context, handle)? else {
        return Err(
            context.fail(Code::FailedPrecondition, "it is not attached to this node; attach it first")
        );
    };
    match said {
        Some(said) if said != device.device => Err(context.fail(
            Code::FailedPrecondition,
            format!("it is attached as {} and not as {}", device.device.display(), said.display()),
        )),
        _ => Ok(device),
    }
}

/// The type to mount as: what is there, when it is this volume's own and not another than was asked for.
fn file_system(
    pool: &Pool,
    context: &Context,
    handle: &Handle,
    request: &Stage,
    device: &LoopDevice,
) -> Result<FsType, Error> {
    let found = pool.host.probe(&device.device).map_err(|error| context.host(error))?;
    let kind = create::judge(&found, handle).map_err(|why| context.fail(Code::DataLoss, why))?;
    let wanted = request.fs_type.as_ref().or_else(|| request.volume.attributes.get("fsType"));
    match wanted {
        Some(wanted) if !wanted.is_empty() && wanted != kind => {
            let why =
                format!("fsType is {wanted}, but it holds {kind}; correct spec.csi.fsType of the volume");
            Err(context.fail(Code::InvalidArgument, why))
        }
        _ => parse_type(kind).map_err(|why| context.fail(Code::InvalidArgument, why)),
    }
}

fn same(
    context: &Context,
    top: &MountEntry,
    device: &LoopDevice,
    fs_type: FsType,
    read_only: bool,
) -> Result<(), Error> {
    let place = top.target.display();
    let why = if top.number != device.number || top.root != Path::new("/") {
        format!("{} is mounted at {place} and is not this volume; unmount it by hand", top.source)
    } else if top.fs_type != fs_type.to_string() {
        format!("it is mounted at {place} as {} and not as {fs_type}", top.fs_type)
    } else if mounted::is_read_only(top) != read_only {
        format!(
            "it is mounted at {place} with {}, which is not what is wanted; unstage it first",
            top.options
        )
    } else {
        return Ok(());
    };
    Err(context.fail(Code::FailedPrecondition, why))
}

/// Refuses while the volume is mounted anywhere else, that is, published to a pod.
pub(super) fn unstage(pool: &Pool, context: &Context, handle: &Handle, target: &Path) -> Result<(), Error> {
    let devices = attach::devices(pool, handle).map_err(|error| context.host(error))?;
    let Some(place) = mounted::canonical(pool, context, target)? else {
        return Ok(());
    };
    let places = mounted::places(pool, &devices).map_err(|error| context.host(error))?;
    let staged = places.iter().any(|mount| mount.target == place);
    if let Some(elsewhere) = places.iter().find(|mount| mount.target != place).filter(|_| staged) {
        let why = format!("it is still mounted at {}; unpublish it first", elsewhere.target.display());
        return Err(context.fail(Code::FailedPrecondition, why));
    }
    mounted::clear(pool, context, &devices, &place)
}
