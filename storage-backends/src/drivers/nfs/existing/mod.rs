//! Volumes on servers that are there already: a directory of a share per volume, or, of a volume that people made by
//! hand, the share itself.
//!
//! | call | volume | done |
//! |---|---|---|
//! | create | | one visit: marker and directory (`host::share`) |
//! | delete | made by a claim, mounted here | refused: unmount first |
//! | delete | made by a claim | one visit, as `onDelete` said when it was made |
//! | delete | the share itself | refused: it was not made here, so it is not removed here |
//! | stage | made by a claim | the directory mounted, found beneath the share; never another's, as its mark says whose it is (`host::share::check`) |
//! | stage | made by a claim, and says no directory | refused: it would be the whole share |
//! | stage | the share itself | mounted |

mod pattern;
mod request;

use orlop_objects::nfs::OnDelete;

use super::{Inner, fault, handle::Handle, mounted, place::Existing};
use crate::{
    driver::{Code, Create, Error, Reach, Stage, Volume},
    drivers::fault::Context,
    host::{
        Cause, MountRequest, Share, Visit,
        share::{Kept, Outcome},
    },
};

use self::request::Spec;

/// Reads what is asked for.
pub(super) fn parse(context: &Context, request: &Create) -> Result<Asked, Error> {
    let invalid = |why: String| context.fail(Code::InvalidArgument, why);
    Handle::parse(&request.name).map_err(invalid)?;
    if request.bytes == 0 {
        return Err(invalid("a volume of 0 bytes cannot be made; ask for a size".to_owned()));
    }
    let spec = Spec::parse(request).map_err(invalid)?;
    Ok(Asked { spec, name: request.name.clone(), bytes: request.bytes })
}

/// A volume that is asked for.
pub(super) struct Asked {
    spec: Spec,
    name: String,
    bytes: u64,
}

impl Asked {
    /// The volume as it will be. A server that is there already keeps no limits of ours: the size is what was asked for.
    pub(super) fn volume(&self) -> Volume {
        Volume {
            handle: self.name.clone(),
            bytes: self.bytes,
            attributes: self.spec.attributes(),
            reach: Reach::Everywhere,
        }
    }
}

pub(super) fn create(inner: &Inner, context: &Context, asked: &Asked) -> Result<Volume, Error> {
    let share = &asked.spec.share;
    let outcome = inner.host.visit(share, &Visit::Make(asked.spec.make.clone()));
    match outcome.map_err(|error| fault::of_share(context, error, share))? {
        Outcome::Done | Outcome::Archived(_) => {}
        Outcome::Refused(why) => return Err(fault::refused(context, share, &asked.spec.make.directory, why)),
    }
    tracing::info!(volume = asked.name, %share, directory = asked.spec.make.marker.directory, "volume made");
    Ok(asked.volume())
}

pub(super) fn delete(
    inner: &Inner,
    context: &Context,
    handle: &Handle,
    existing: &Existing,
) -> Result<(), Error> {
    let Handle::Made(volume) = handle else {
        let why = "it was made by hand, so it is not removed by Orlop; remove what is in it on the server";
        return Err(context.fail(Code::InvalidArgument, why));
    };
    if existing.directory.is_empty() {
        let why = "volumeAttributes have no subDir, so it would be the whole share; nothing is removed";
        return Err(context.fail(Code::InvalidArgument, why));
    }
    let share = existing.share();
    if let Some(place) = mounted::of(inner, context, &existing.source())? {
        let why = format!("it is mounted at {}; unmount it there first", place.display());
        return Err(context.fail(Code::FailedPrecondition, why));
    }
    let kept = Kept { directory: existing.directory.clone(), volume: volume.clone() };
    let visit = match existing.on_delete {
        OnDelete::Delete => Visit::Remove(kept),
        OnDelete::Archive => Visit::Archive(kept),
        OnDelete::Retain => Visit::Release(kept),
    };
    match inner.host.visit(&share, &visit).map_err(|error| fault::of_share(context, error, &share))? {
        Outcome::Done => tracing::info!(volume, %share, "volume removed"),
        Outcome::Archived(name) => tracing::info!(volume, %share, name, "volume archived"),
        Outcome::Refused(why) => return Err(fault::refused(context, &share, &existing.directory, why)),
    }
    Ok(())
}

/// The volume whose mark the directory must carry; `None` for one that people made by hand.
pub(super) fn marked(
    context: &Context,
    handle: Handle,
    existing: &Existing,
) -> Result<Option<String>, Error> {
    match handle {
        Handle::ByHand => Ok(None),
        Handle::Made(_) if existing.directory.is_empty() => {
            let why = "volumeAttributes have no subDir, so it would be the whole share; for that use a PersistentVolume \
                       with spec.nfs";
            Err(context.fail(Code::InvalidArgument, why))
        }
        Handle::Made(volume) => Ok(Some(volume)),
    }
}

/// `volume` is whose the directory must be.
pub(super) fn stage(
    inner: &Inner,
    context: &Context,
    existing: &Existing,
    volume: Option<String>,
    request: &Stage,
) -> Result<(), Error> {
    let share = Share { options: request.mount_options.clone(), ..existing.share() };
    let options = orlop_objects::nfs::options(&share.options)
        .map_err(|why| context.fail(Code::InvalidArgument, why))?;
    let read_only = options.flags.contains(&"ro");
    let target = mounted::existing(inner, context, &request.target)?;
    if let Some(top) = mounted::top(inner, context, &target)? {
        return mounted::as_staged(context, &top, read_only);
    }
    let (beneath, to) = (existing.directory.clone(), target.clone());
    let mount = MountRequest::Nfs { share: share.clone(), beneath, volume, target: to, read_only };
    inner.host.mount(&mount).map_err(|error| match error.source {
        Cause::NotIts(why) => fault::not_its(context, &share, &existing.directory, why),
        _ => fault::of_share(context, error, &share),
    })?;
    match mounted::top(inner, context, &target)? {
        Some(top) => mounted::as_staged(context, &top, read_only)?,
        None => return Err(context.fail(Code::Internal, "the kernel mounted it and does not show the mount")),
    }
    tracing::info!(volume = context.volume, target = %target.display(), "volume staged");
    Ok(())
}
