//! A volume for the pods of its keeper: the served directory, bound.
//!
//! | served directory | at the staging place | verdict of stage |
//! |---|---|---|
//! | holds another type than asked for | – | refused |
//! | as asked for | nothing | bind, look again |
//! | as asked for | it, as wanted | already |
//! | as asked for | it, read-only instead of writable or the other way | refused |
//! | as asked for | something else | refused |

use std::path::{Path, PathBuf};

use super::Exports;
use crate::{
    driver::{Code, Error, Publish, Stage, VolumeRef},
    drivers::{fault::Context, nfs::mounted},
    host::MountEntry,
};

fn is_read_only(mount: &MountEntry) -> bool {
    mount.options.split(',').any(|option| option == "ro")
}

impl Exports {
    /// Binds the served directory to the staging place.
    pub(in crate::drivers::nfs) async fn stage_here(
        &self,
        context: &Context,
        request: Stage,
    ) -> Result<(), Error> {
        let read_only = wants_read_only(&request.mount_options)
            .map_err(|why| context.fail(Code::InvalidArgument, why))?;
        self.serve(context, &request.volume).await?;
        let (name, wanted) = (request.volume.handle.clone(), request.fs_type.clone());
        let target = request.target.clone();
        let directory = self
            .blocking(context, move |this, context| {
                let directory = this.directory(context, &name)?;
                let mounts = this.mounts(context, &name)?;
                check_type(context, &mounts, &directory, wanted.as_deref())?;
                this.check_mode(context, &mounts, &target, read_only)?;
                Ok(directory)
            })
            .await?;
        let (volume, target) = (self.file(context, &request.volume).await?, request.target);
        self.pool.publish(Publish { volume, staged: directory, target, read_only }).await
    }

    /// The loop driver would bind anew what is writable and wanted read-only: right for one pod's copy, not below others'.
    fn check_mode(
        &self,
        context: &Context,
        mounts: &[MountEntry],
        target: &Path,
        read_only: bool,
    ) -> Result<(), Error> {
        let target = self.host.canonical(target).map_err(|error| context.host(error))?;
        let here = mounts.iter().rfind(|mount| Some(&mount.target) == target.as_ref());
        match here {
            Some(mount) if is_read_only(mount) != read_only => {
                let why = format!(
                    "it is mounted at {} with {}, which is not what is wanted; unstage it first",
                    mount.target.display(),
                    mount.options
                );
                Err(context.fail(Code::FailedPrecondition, why))
            }
            _ => Ok(()),
        }
    }

    /// Whether what is mounted there came from another node: what is here says so, also to who does not know this node.
    pub(super) async fn is_client_mount(&self, context: &Context, target: &Path) -> Result<bool, Error> {
        let target = target.to_owned();
        self.blocking(context, move |this, context| {
            // Not the place itself is resolved: a look at it waits for its server.
            let Some(place) = mounted::named(this.host.as_ref(), context, &target)? else { return Ok(false) };
            let mounts = this.host.mounts().map_err(|error| context.host(error))?;
            Ok(mounts.iter().rfind(|mount| mount.target == place).is_some_and(mounted::is_share))
        })
        .await
    }

    /// Takes it from the staging place. Refused while a pod has it.
    pub(in crate::drivers::nfs) async fn unstage_here(
        &self,
        context: &Context,
        volume: VolumeRef,
        target: PathBuf,
    ) -> Result<(), Error> {
        let file = self.file(context, &volume).await?;
        let (name, place) = (volume.handle, target.clone());
        self.blocking(context, move |this, context| {
            let directory = this.directory(context, &name)?;
            let place = this.host.canonical(&place).map_err(|error| context.host(error))?.unwrap_or(place);
            let staged = this.mounts(context, &name)?.iter().any(|mount| mount.target == place);
            if staged { this.refuse_users(context, &name, &[&directory, &place]) } else { Ok(()) }
        })
        .await?;
        self.pool.unpublish(file, target).await
    }

    /// Shows it to one pod.
    pub(in crate::drivers::nfs) async fn publish_here(
        &self,
        context: &Context,
        request: Publish,
    ) -> Result<(), Error> {
        let volume = self.file(context, &request.volume).await?;
        self.pool.publish(Publish { volume, ..request }).await
    }

    /// Takes it away from the pod.
    pub(in crate::drivers::nfs) async fn unpublish_here(
        &self,
        context: &Context,
        volume: VolumeRef,
        target: PathBuf,
    ) -> Result<(), Error> {
        self.pool.unpublish(self.file(context, &volume).await?, target).await
    }

    /// Refuses while the volume is mounted anywhere but at these places. Blocks.
    pub(super) fn refuse_users(&self, context: &Context, name: &str, but: &[&PathBuf]) -> Result<(), Error> {
        let mounts = self.mounts(context, name)?;
        match mounts.iter().find(|mount| !but.contains(&&mount.target)) {
            Some(user) => {
                let why = format!("it is still mounted at {}; unpublish it first", user.target.display());
                Err(context.fail(Code::FailedPrecondition, why))
            }
            None => Ok(()),
        }
    }
}

/// Whether the options ask for it. The others are for the client's side of a mount, of which there is none here; but what
/// no node may use is refused on all.
fn wants_read_only(options: &[String]) -> Result<bool, String> {
    Ok(orlop_objects::nfs::options(options)?.flags.contains(&"ro"))
}

fn check_type(
    context: &Context,
    mounts: &[MountEntry],
    directory: &Path,
    wanted: Option<&str>,
) -> Result<(), Error> {
    let served = mounts.iter().rfind(|mount| mount.target == directory);
    match (served, wanted.filter(|wanted| !wanted.is_empty())) {
        (Some(mount), Some(wanted)) if mount.fs_type != wanted => {
            let why = format!(
                "fsType is {wanted}, but it holds {}; correct spec.csi.fsType of the volume",
                mount.fs_type
            );
            Err(context.fail(Code::InvalidArgument, why))
        }
        _ => Ok(()),
    }
}
