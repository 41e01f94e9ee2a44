//! Loop devices of a volume: found by the identity of its file, so that one from a crashed run is used again.
//!
//! | devices that hold the file | attach | detach |
//! |---|---|---|
//! | none | attaches, looks again | fine |
//! | one, whole file, writable, not autoclear | that one | detaches, looks again |
//! | one, otherwise | refused: not made by us | detaches, looks again |
//! | several | refused: names them | detaches all, looks again |
//! | any, mounted somewhere | as above | refused: names the place |

use super::{Inner, fault::Context, mounted, request::Handle};
use crate::{
    driver::{Code, Error},
    host::{self, LoopDevice},
};

/// What the kernel appends to the name of a backing file that was unlinked.
const DELETED: &str = " (deleted)";

/// All loop devices that hold a volume's file, also one that was unlinked since.
pub(super) fn devices(inner: &Inner, handle: &Handle) -> host::Result<Vec<LoopDevice>> {
    let path = inner.path(handle);
    let id = inner.host.file(&path)?.map(|file| file.id);
    // The kernel knows no links in a path.
    let pool = inner.host.canonical(&inner.pool)?.unwrap_or_else(|| inner.pool.clone());
    let unlinked = pool.join(format!("{}{DELETED}", handle.file_name()));
    let mut found = inner.host.loops()?;
    found.retain(|device| Some(device.backing) == id || device.path == unlinked);
    Ok(found)
}

/// The one device of a volume that is attached as Orlop does it; `Err` says what is wrong instead.
fn one(mut found: Vec<LoopDevice>) -> Result<Option<LoopDevice>, String> {
    let Some(device) = found.pop() else {
        return Ok(None);
    };
    if !found.is_empty() {
        found.push(device);
        let names: Vec<String> = found.iter().map(|device| device.device.display().to_string()).collect();
        return Err(format!("it is attached several times, as {}; detach all but one", names.join(" and ")));
    }
    let name = device.device.display();
    if device.offset != 0 || device.size_limit != 0 {
        return Err(format!("{name} shows only a part of it; it was not attached by Orlop: detach it"));
    }
    if device.read_only {
        return Err(format!("{name} holds it read-only; it was not attached by Orlop: detach it"));
    }
    if device.autoclear {
        return Err(format!("{name} goes away with its last user; it was not attached by Orlop: detach it"));
    }
    Ok(Some(device))
}

/// The volume's device, when it has one.
pub(super) fn find(inner: &Inner, context: &Context, handle: &Handle) -> Result<Option<LoopDevice>, Error> {
    let found = devices(inner, handle).map_err(|error| context.host(error))?;
    one(found).map_err(|why| context.fail(Code::FailedPrecondition, why))
}

pub(super) fn attach(inner: &Inner, context: &Context, handle: &Handle) -> Result<LoopDevice, Error> {
    let path = inner.path(handle);
    if inner.host.file(&path).map_err(|error| context.host(error))?.is_none() {
        return Err(context.fail(Code::NotFound, format!("{} does not exist", path.display())));
    }
    if let Some(device) = find(inner, context, handle)? {
        return Ok(device);
    }
    inner.host.attach_loop(&path, false).map_err(|error| context.host(error))?;
    let device = find(inner, context, handle)?.ok_or_else(|| {
        context.fail(Code::Internal, "the kernel attached it and does not show a device for it")
    })?;
    tracing::info!(
        volume = %handle,
        device = %device.device.display(),
        direct_io = device.direct_io,
        "volume attached"
    );
    Ok(device)
}

pub(super) fn detach(inner: &Inner, context: &Context, handle: &Handle) -> Result<(), Error> {
    let found = devices(inner, handle).map_err(|error| context.host(error))?;
    let places = mounted::places(inner, &found).map_err(|error| context.host(error))?;
    if let Some(place) = places.first() {
        let why = format!("it is mounted at {}; unmount it there first", place.target.display());
        return Err(context.fail(Code::FailedPrecondition, why));
    }
    let mut failure = None;
    for device in &found {
        match inner.host.detach_loop(&device.device) {
            Ok(()) => {
                tracing::info!(volume = %handle, device = %device.device.display(), "volume detached");
            }
            Err(error) => failure = Some(error),
        }
    }
    // What a dying process began may have ended by itself meanwhile: it is the look that counts.
    let left = devices(inner, handle).map_err(|error| context.host(error))?;
    match (left.first(), failure) {
        (None, _) => Ok(()),
        (Some(_), Some(error)) => Err(context.host(error)),
        (Some(device), None) => {
            let why = format!("{} still holds it; another program uses the device", device.device.display());
            Err(context.fail(Code::FailedPrecondition, why))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::FileId;

    fn device(number: u32) -> LoopDevice {
        LoopDevice {
            device: format!("/dev/loop{number}").into(),
            number: (7, number),
            backing: FileId { device: 1, inode: 2 },
            path: "/pool/x.img".into(),
            offset: 0,
            size_limit: 0,
            autoclear: false,
            direct_io: true,
            read_only: false,
        }
    }

    /// The rows of the table.
    #[test]
    fn which_devices_are_ours() {
        assert_eq!(one(vec![]), Ok(None));
        assert_eq!(one(vec![device(3)]), Ok(Some(device(3))));
        for (odd, word) in [
            (LoopDevice { offset: 512, ..device(3) }, "a part"),
            (LoopDevice { size_limit: 512, ..device(3) }, "a part"),
            (LoopDevice { read_only: true, ..device(3) }, "read-only"),
            (LoopDevice { autoclear: true, ..device(3) }, "last user"),
        ] {
            let why = one(vec![odd]).unwrap_err();
            assert!(why.contains(word) && why.contains("/dev/loop3"), "{why}");
        }
        let why = one(vec![device(3), device(5)]).unwrap_err();
        assert!(why.contains("/dev/loop3 and /dev/loop5"), "{why}");
    }
}
