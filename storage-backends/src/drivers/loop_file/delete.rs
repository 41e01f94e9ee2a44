//! Removing a volume and its data.
//!
//! | loop device | mounted | file | verdict |
//! |---|---|---|---|
//! | some | yes | – | refused: unpublish and unstage first |
//! | some | no | – | refused: detach first |
//! | none | – | there | removed |
//! | none | – | gone | fine |

use super::{Inner, attach, fault::Context, mounted, request::Handle};
use crate::{
    driver::{Code, Error},
    host,
};

pub(super) fn delete(inner: &Inner, context: &Context, handle: &Handle) -> Result<(), Error> {
    let devices = attach::devices(inner, handle).map_err(|error| context.host(error))?;
    if let Some(device) = devices.first() {
        let places = mounted::places(inner, &devices).map_err(|error| context.host(error))?;
        let why = match places.first() {
            Some(place) => format!("it is mounted at {}; unmount it there first", place.target.display()),
            None => format!("it is attached as {}; detach it first", device.device.display()),
        };
        return Err(context.fail(Code::FailedPrecondition, why));
    }
    remove(inner, handle).map_err(|error| context.host(error))
}

fn remove(inner: &Inner, handle: &Handle) -> host::Result<()> {
    let host = inner.host.as_ref();
    for path in [inner.pool.join(handle.making_name()), inner.path(handle)] {
        if host.file(&path)?.is_some() {
            host.remove_file(&path)?;
            tracing::info!(file = %path.display(), "volume removed");
        }
    }
    Ok(())
}
