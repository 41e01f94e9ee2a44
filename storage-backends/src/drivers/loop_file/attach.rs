//! Loop devices of a volume: found by the identity of its file, so that one from a crashed run is used again.
//!
//! | devices that hold the file | attach | detach |
//! |---|---|---|
//! | none | attaches, looks again | fine |
//! | one, whole file, writable, not autoclear | that one | detaches, looks again |
//! | one, otherwise | refused: not made by us | detaches, looks again |
//! | several | refused: names them | detaches all, looks again |
//! | any, mounted somewhere | as above | refused: names the place |
//! | one that may, as its file is called so and it does not tell which that is | refused: names it | refused: names it |
//! | one of that file, which is not there: something else is mounted in its place | refused: names it | refused: names it |
//!
//! In a shared pool a node first becomes the volume's owner (see [`owner`]) and stops being it last. In between, data moves
//! past the page cache where the file system lets it; where not, what this kernel remembers of the file is written out and
//! dropped before the next owner begins, and again by the next owner before it looks.

use std::path::Path;

use super::{
    fault::Context,
    mounted,
    owner::{self, Standing},
    pools::Pool,
    request::Handle,
};
use crate::{
    driver::{Code, Error, VolumeRef},
    host::{self, LoopDevice, Untold},
};

/// What the kernel appends to the name of a backing file that was unlinked.
const DELETED: &str = " (deleted)";

/// All loop devices that hold a volume's file, also one that was unlinked since. Fails when that cannot be known.
pub(super) fn devices(pool: &Pool, handle: &Handle) -> host::Result<Vec<LoopDevice>> {
    let path = pool.path(handle);
    let id = pool.host.file(&path)?.map(|file| file.id);
    // The kernel knows no links in a path.
    let dir = pool.host.canonical(&pool.dir)?.unwrap_or_else(|| pool.dir.clone());
    let unlinked = dir.join(format!("{}{DELETED}", handle.file_name()));
    let mut found = pool.host.loops()?;
    let name = handle.file_name();
    if let Some(device) = found.iter().find(|device| may_hold(device, &name)) {
        return Err(untold(device));
    }
    if id.is_none()
        && let Some(device) = found.iter().find(|device| held_from(device, &dir, &name))
    {
        return Err(out_of_sight(device, &pool.path(handle)));
    }
    let holds = |device: &LoopDevice| id.is_some() && device.backing.as_ref().ok() == id.as_ref();
    found.retain(|device| holds(device) || device.path == unlinked);
    Ok(found)
}

/// Whether it cannot be told that a device does not hold a file of that name. By which way its opener saw the file does not
/// matter: volumes have names of their own. Of one whose file has a name that is too long to be said nothing can be told.
fn may_hold(device: &LoopDevice, name: &str) -> bool {
    let may_be = device.path.file_name().is_none_or(|file| file == name);
    device.backing.is_err() && may_be
}

/// Whether a device was given the file of that name in this directory. When the directory's file system is taken off its
/// place while it is used, the kernel names the file from that file system's root.
fn held_from(device: &LoopDevice, dir: &Path, name: &str) -> bool {
    let is_it = device.path.file_name().is_some_and(|file| file == name);
    let below = device.path.parent().and_then(|parent| parent.strip_prefix("/").ok());
    is_it && below.is_some_and(|below| dir.ends_with(below))
}

fn out_of_sight(device: &LoopDevice, path: &Path) -> host::Error {
    let (device, path) = (device.device.display(), path.display());
    host::Error {
        operation: "look at",
        object: device.to_string(),
        source: host::Cause::Refused(format!(
            "it is attached to {path}, and there is no such file: what it lies on is not mounted there any more; mount it again"
        )),
    }
}

fn untold(found: &LoopDevice) -> host::Error {
    let (device, file, (major, minor)) = (found.device.display(), found.path.display(), found.number);
    let it = format!("it is attached to {file}");
    let why = match &found.backing {
        Err(Untold::NoNode) => format!(
            "{it}, which may be this volume, and there is no such device in /dev to be asked; make it: mknod {device} b {major} \
             {minor}, or have udev do so: udevadm trigger"
        ),
        Err(Untold::Failed(why)) => format!("{it}, which may be this volume, and does not tell: {why}"),
        _ => {
            format!("{it}, whose file server does not answer, and may be this volume; bring the server back")
        }
    };
    host::Error { operation: "look at", object: device.to_string(), source: host::Cause::Refused(why) }
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

/// The volume's device, when it has one; in a shared pool another node's on this machine is not it.
pub(super) fn find(pool: &Pool, context: &Context, handle: &Handle) -> Result<Option<LoopDevice>, Error> {
    if pool.shared {
        let standing = owner::standing(pool, handle).map_err(|error| context.host(error))?;
        if let Some(why) = owner::refusal(pool, handle, &standing) {
            return Err(context.fail(Code::FailedPrecondition, why));
        }
        if standing != Standing::Ours {
            return Ok(None);
        }
    }
    let found = devices(pool, handle).map_err(|error| context.host(error))?;
    one(found).map_err(|why| context.fail(Code::FailedPrecondition, why))
}

/// The size that a volume was made with, where its attributes say it.
pub(super) const SIZE: &str = "size";

pub(super) fn attach(
    pool: &Pool,
    context: &Context,
    handle: &Handle,
    volume: &VolumeRef,
) -> Result<LoopDevice, Error> {
    let path = pool.path(handle);
    let _turn = pool.turn().map_err(|error| context.host(error))?;
    let Some(file) = pool.host.file(&path).map_err(|error| context.host(error))? else {
        return Err(context.fail(Code::NotFound, format!("{} does not exist", path.display())));
    };
    let size = volume.attributes.get(SIZE).and_then(|size| size.parse().ok()).unwrap_or(0u64);
    if file.length < size {
        let why = format!(
            "{} has {} bytes and was made with {size}; it was cut, or this node sees an old state of it",
            path.display(),
            file.length
        );
        return Err(context.fail(Code::FailedPrecondition, why));
    }
    if pool.shared {
        let devices = devices(pool, handle).map_err(|error| context.host(error))?;
        owner::take(pool, context, handle, &devices)?;
    }
    if let Some(device) = find(pool, context, handle)? {
        return Ok(device);
    }
    if pool.shared {
        pool.host.drop_cache(&path).map_err(|error| context.host(error))?;
    }
    pool.host.attach_loop(&path, false).map_err(|error| context.host(error))?;
    let device = find(pool, context, handle)?.ok_or_else(|| {
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

pub(super) fn detach(pool: &Pool, context: &Context, handle: &Handle) -> Result<(), Error> {
    let _turn = pool.turn().map_err(|error| context.host(error))?;
    if !pool.shared {
        return detach_devices(pool, context, handle);
    }
    match owner::standing(pool, handle).map_err(|error| context.host(error))? {
        // On one machine every node sees the others' devices.
        Standing::Others(record) if record.is_of_this_boot(&pool.node) => return Ok(()),
        Standing::Damaged => {
            let standing = Standing::Damaged;
            let why = owner::refusal(pool, handle, &standing).unwrap_or_default();
            return Err(context.fail(Code::FailedPrecondition, why));
        }
        _ => detach_devices(pool, context, handle)?,
    }
    let release = || {
        let path = pool.path(handle);
        if pool.host.file(&path)?.is_some() {
            pool.host.drop_cache(&path)?;
        }
        owner::release(pool, handle)
    };
    release().map_err(|error| context.host(error))
}

fn detach_devices(pool: &Pool, context: &Context, handle: &Handle) -> Result<(), Error> {
    let found = devices(pool, handle).map_err(|error| context.host(error))?;
    let places = mounted::places(pool, &found).map_err(|error| context.host(error))?;
    if let Some(place) = places.first() {
        let why = format!("it is mounted at {}; unmount it there first", place.target.display());
        return Err(context.fail(Code::FailedPrecondition, why));
    }
    let mut failure = None;
    for device in &found {
        match pool.host.detach_loop(&device.device) {
            Ok(()) => {
                tracing::info!(volume = %handle, device = %device.device.display(), "volume detached");
            }
            Err(error) => failure = Some(error),
        }
    }
    // What a dying process began may have ended by itself meanwhile: it is the look that counts.
    let left = devices(pool, handle).map_err(|error| context.host(error))?;
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
            backing: Ok(FileId { device: 1, inode: 2 }),
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

    /// The row of those that do not tell.
    #[test]
    fn which_devices_may_hold_it() {
        let unknown = |why, path: &str| LoopDevice { backing: Err(why), path: path.into(), ..device(3) };
        let elsewhere = unknown(Untold::Silent, "/seen/elsewhere/x.img");
        assert!(may_hold(&elsewhere, "x.img") && !may_hold(&elsewhere, "y.img"));
        assert!(may_hold(&unknown(Untold::Silent, ""), "x.img"), "its name is too long to be said");
        assert!(!may_hold(&device(3), "x.img"));
        for (why, word) in [
            (Untold::Silent, "bring the server back"),
            (Untold::NoNode, "mknod /dev/loop3 b 7 3"),
            (Untold::Failed("permission denied".into()), "permission denied"),
        ] {
            let words = untold(&unknown(why, "/pool/x.img")).words();
            assert!(
                words.contains("/dev/loop3: it is attached to /pool/x.img") && words.contains(word),
                "{words}"
            );
        }
    }

    #[test]
    fn which_devices_were_given_a_file_that_is_not_there() {
        for (path, is_it) in [
            ("/mnt/disk/pool/x.img", true),
            ("/pool/x.img", true),
            ("/x.img", true),
            ("/mnt/disk/pool/y.img", false),
            ("/mnt/disk/pool/x.img (deleted)", false),
            ("/elsewhere/pool/x.img", false),
            ("/mnt/disk/x.img", false),
            ("", false),
        ] {
            let device = LoopDevice { path: path.into(), ..device(3) };
            assert_eq!(held_from(&device, Path::new("/mnt/disk/pool"), "x.img"), is_it, "{path}");
        }
    }
}
