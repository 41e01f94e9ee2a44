//! Showing a staged volume to one pod, and taking it away.
//!
//! | staged | at the target | verdict |
//! |---|---|---|
//! | in a shared pool, and the record is not this node's | – | refused: who has it, or attach first |
//! | no | – | refused: stage first |
//! | yes | nothing | bind, look again |
//! | yes | it, as wanted | already |
//! | yes | it, writable, wanted read-only | a crash fell between bind and remount: once more from the start |
//! | yes | it, read-only, wanted writable | refused |
//! | yes | something else | refused |

use std::path::Path;

use super::{attach, fault::Context, mounted, pools::Pool, request::Handle};
use crate::{
    driver::{Code, Error, Publish},
    host::{LoopDevice, MountEntry, MountRequest},
};

pub(super) fn publish(
    pool: &Pool,
    context: &Context,
    handle: &Handle,
    request: &Publish,
) -> Result<(), Error> {
    let staged = staged(pool, context, handle, &request.staged)?;
    let target = mounted::existing(pool, context, &request.target)?;
    let here = || mounted::stack(pool, &target).map_err(|error| context.host(error));
    match here()?.last().map(|top| judge(top, &staged, request.read_only)) {
        None => {}
        Some(Verdict::Already) => return Ok(()),
        Some(Verdict::HalfDone) => pool.host.unmount(&target).map_err(|error| context.host(error))?,
        Some(Verdict::Refused(why)) => return Err(context.fail(Code::FailedPrecondition, why)),
    }
    let bind = MountRequest::Bind {
        source: staged.target.clone(),
        target: target.clone(),
        read_only: request.read_only,
    };
    pool.host.mount(&bind).map_err(|error| context.host(error))?;
    match here()?.last().map(|top| judge(top, &staged, request.read_only)) {
        Some(Verdict::Already) => {}
        Some(Verdict::Refused(why)) => return Err(context.fail(Code::Internal, why)),
        _ => {
            return Err(
                context.fail(Code::Internal, "the kernel mounted it and does not show the mount as wanted")
            );
        }
    }
    tracing::info!(volume = %handle, target = %target.display(), read_only = request.read_only, "volume published");
    Ok(())
}

fn staged(pool: &Pool, context: &Context, handle: &Handle, place: &Path) -> Result<MountEntry, Error> {
    let devices = own_devices(pool, context, handle)?;
    let place = mounted::existing(pool, context, place)?;
    let top = mounted::stack(pool, &place).map_err(|error| context.host(error))?.pop();
    top.filter(|top| devices.iter().any(|device| device.number == top.number)).ok_or_else(|| {
        context.fail(
            Code::FailedPrecondition,
            format!("it is not staged at {}; stage it first", place.display()),
        )
    })
}

/// In a shared pool a device and a mount may be left from when the volume was this node's: the record says whose it is now.
fn own_devices(pool: &Pool, context: &Context, handle: &Handle) -> Result<Vec<LoopDevice>, Error> {
    if !pool.shared {
        return attach::devices(pool, handle).map_err(|error| context.host(error));
    }
    let device = attach::find(pool, context, handle)?;
    let device = device.ok_or_else(|| {
        context.fail(Code::FailedPrecondition, "it is not attached to this node; attach it first")
    })?;
    Ok(vec![device])
}

enum Verdict {
    Already,
    HalfDone,
    Refused(String),
}

fn judge(top: &MountEntry, staged: &MountEntry, read_only: bool) -> Verdict {
    let place = top.target.display();
    if top.number != staged.number || top.root != staged.root {
        let why = format!("{} is mounted at {place} and is not this volume; unmount it by hand", top.source);
        return Verdict::Refused(why);
    }
    match (mounted::is_read_only(top), read_only || mounted::is_read_only(staged)) {
        (true, true) | (false, false) => Verdict::Already,
        (false, true) => Verdict::HalfDone,
        (true, false) => Verdict::Refused(format!(
            "it is mounted read-only at {place} and is wanted writable; unpublish it first"
        )),
    }
}

pub(super) fn unpublish(pool: &Pool, context: &Context, handle: &Handle, target: &Path) -> Result<(), Error> {
    let devices = attach::devices(pool, handle).map_err(|error| context.host(error))?;
    mounted::clear(pool, context, &devices, target)
}
