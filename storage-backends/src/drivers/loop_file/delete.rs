//! Removing a volume and its data.
//!
//! | loop device | mounted | file | verdict |
//! |---|---|---|---|
//! | some | yes | – | refused: unpublish and unstage first |
//! | some | no | – | refused: detach first |
//! | none | – | there | removed |
//! | none | – | gone | fine |
//!
//! In a shared pool, another node that has it attached is as good as a device here (see [`owner`]).

use super::{attach, fault::Context, mounted, owner, pools::Pool, request::Handle};
use crate::{
    driver::{Code, Error},
    host,
};

pub(super) fn delete(pool: &Pool, context: &Context, handle: &Handle) -> Result<(), Error> {
    let _turn = pool.turn().map_err(|error| context.host(error))?;
    if pool.shared {
        let standing = owner::standing(pool, handle).map_err(|error| context.host(error))?;
        if let Some(why) = owner::refusal(pool, handle, &standing) {
            return Err(context.fail(Code::FailedPrecondition, why));
        }
    }
    let devices = attach::devices(pool, handle).map_err(|error| context.host(error))?;
    if let Some(device) = devices.first() {
        let places = mounted::places(pool, &devices).map_err(|error| context.host(error))?;
        let why = match places.first() {
            Some(place) => format!("it is mounted at {}; unmount it there first", place.target.display()),
            None => format!("it is attached as {}; detach it first", device.device.display()),
        };
        return Err(context.fail(Code::FailedPrecondition, why));
    }
    remove(pool, handle).map_err(|error| context.host(error))
}

fn remove(pool: &Pool, handle: &Handle) -> host::Result<()> {
    let host = pool.host.as_ref();
    for path in [pool.dir.join(handle.making_name()), pool.path(handle)] {
        if host.file(&path)?.is_some() {
            host.remove_file(&path)?;
            tracing::info!(file = %path.display(), "volume removed");
        }
    }
    if pool.shared { owner::release(pool, handle) } else { Ok(()) }
}
