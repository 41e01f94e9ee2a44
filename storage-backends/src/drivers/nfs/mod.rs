//! `nfs.orlop.dev`: volumes that several nodes use at once.
//!
//! ```text
//!                       class parameters                       volumeAttributes
//!  an existing server   server, share, pathPattern, …     ──►  server, share, subDir, …         `existing`
//!  Orlop's own export   none                              ──►  export: own, node, server, …     `export`
//!  static and inline    (spec.nfs of a volume or a pod)   ──►  server, share                    `existing`
//! ```
//!
//! Which of them a volume is, its attributes say ([`place::Place`]); every call is handed to that room.
//!
//! **Never a hang.** A server may be gone at any moment. Everything that touches it runs in a process with a deadline
//! (`host::linux`); what is mounted is judged by the mount table alone; and before a container starts, the server of its
//! volume is asked whether it is there. `hard` is the default: what a pod has written waits for its server.
//!
//! Must not know: claims, pods, the API.

use std::{collections::BTreeMap, fmt, path::PathBuf, sync::Arc, time::Duration};

use futures::future::BoxFuture;

use super::{
    blocking::{self, Busy},
    fault::Context,
};
use crate::{
    driver::{
        Attach, Capabilities, Capacity, Code, Create, Driver, Error, Publish, Stage, Volume, VolumeRef,
    },
    host::Host,
};

mod existing;
mod export;
mod fault;
mod handle;
mod mounted;
mod place;

use self::{handle::Handle, place::Place};

/// Its name in StorageClass and PersistentVolume.
pub const NAME: &str = orlop_objects::nfs::DRIVER;

/// The NFS driver of one node. Clones share their state.
#[derive(Clone)]
pub struct NfsDriver {
    inner: Arc<Inner>,
}

/// What the calls share.
struct Inner {
    host: Arc<dyn Host>,
    busy: Busy,
}

impl fmt::Debug for NfsDriver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NfsDriver").finish_non_exhaustive()
    }
}

impl NfsDriver {
    /// A driver that mounts through `host`.
    pub fn new(host: Arc<dyn Host>) -> Self {
        Self { inner: Arc::new(Inner { host, busy: Busy::default() }) }
    }

    /// Runs one call for one volume off the async runtime, alone for that volume.
    async fn call<T: Send + 'static>(
        &self,
        context: Context,
        deadline: Duration,
        work: impl FnOnce(&Inner, &Context) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let mine = self.inner.busy.claim(&context, deadline).await?;
        let inner = self.inner.clone();
        blocking::run(context, deadline, move |context| {
            let _mine = mine;
            work(&inner, context)
        })
        .await
    }
}

/// Which volume a call is for, and where that is.
fn parse(context: &Context, volume: &VolumeRef) -> Result<(Handle, Place), Error> {
    let invalid = |why: String| context.fail(Code::InvalidArgument, why);
    let handle = Handle::parse(&volume.handle).map_err(invalid)?;
    Ok((handle, Place::parse(&volume.attributes).map_err(invalid)?))
}

/// Whether a class asks for an export of Orlop's own: it has the driver's own name and names no server.
fn wants_own(request: &Create) -> bool {
    let names_one = ["server", "nfs.server", "share", "path", "nfs.path"];
    request.provisioner == NAME && !names_one.iter().any(|name| request.parameters.contains_key(*name))
}

impl Driver for NfsDriver {
    fn name(&self) -> &'static str {
        NAME
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { attach: Attach::None, node_local: true, expand: false }
    }

    fn attributes(&self, request: &Create) -> Result<BTreeMap<String, String>, Error> {
        if wants_own(request) {
            return Ok(BTreeMap::new());
        }
        let context = Context::new("create", &request.name);
        Ok(existing::parse(&context, request)?.volume().attributes)
    }

    fn create(&self, request: Create) -> BoxFuture<'_, Result<Volume, Error>> {
        Box::pin(async move {
            let context = Context::new("create", &request.name);
            if wants_own(&request) {
                return export::create(&self.inner, &context, request).await;
            }
            let asked = existing::parse(&context, &request)?;
            self.call(context, request.deadline, move |inner, context| {
                existing::create(inner, context, &asked)
            })
            .await
        })
    }

    fn delete(&self, volume: VolumeRef) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async move {
            let context = Context::new("delete", &volume.handle);
            let (handle, place) = parse(&context, &volume)?;
            match place {
                Place::Own(own) => export::delete(&self.inner, &context, &own).await,
                Place::Existing(existing) => {
                    let work = move |inner: &Inner, context: &Context| {
                        existing::delete(inner, context, &handle, &existing)
                    };
                    self.call(context, volume.deadline, work).await
                }
            }
        })
    }

    /// Only of exports of Orlop's own: which volumes are on somebody else's server, that server knows.
    fn list(&self) -> BoxFuture<'_, Result<Vec<Volume>, Error>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn capacity(&self) -> BoxFuture<'_, Result<Capacity, Error>> {
        Box::pin(async {
            let why = "a file server that is there already is not Orlop's to measure";
            Err(Context::new("capacity", "*").fail(Code::Unimplemented, why))
        })
    }

    fn attach(&self, _: VolumeRef) -> BoxFuture<'_, Result<Option<PathBuf>, Error>> {
        Box::pin(async { Ok(None) })
    }

    fn detach(&self, _: VolumeRef) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async { Ok(()) })
    }

    fn stage(&self, request: Stage) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async move {
            let context = Context::new("stage", &request.volume.handle);
            match parse(&context, &request.volume)?.1 {
                Place::Own(own) => export::stage(&self.inner, &context, &own, request).await,
                Place::Existing(existing) => {
                    let deadline = request.volume.deadline;
                    let work = move |inner: &Inner, context: &Context| {
                        existing::stage(inner, context, &existing, &request)
                    };
                    self.call(context, deadline, work).await
                }
            }
        })
    }

    fn unstage(&self, volume: VolumeRef, target: PathBuf) -> BoxFuture<'_, Result<(), Error>> {
        let context = Context::new("unstage", &volume.handle);
        let work = move |inner: &Inner, context: &Context| mounted::clear(inner, context, &target);
        Box::pin(self.call(context, volume.deadline, work))
    }

    fn publish(&self, request: Publish) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async move {
            let context = Context::new("publish", &request.volume.handle);
            match parse(&context, &request.volume)?.1 {
                Place::Own(own) => export::publish(&self.inner, &context, &own, request).await,
                Place::Existing(_) => {
                    let deadline = request.volume.deadline;
                    let work = move |inner: &Inner, context: &Context| {
                        mounted::bind(inner, context, &request.staged, &request.target, request.read_only)
                    };
                    self.call(context, deadline, work).await
                }
            }
        })
    }

    fn unpublish(&self, volume: VolumeRef, target: PathBuf) -> BoxFuture<'_, Result<(), Error>> {
        let context = Context::new("unpublish", &volume.handle);
        let work = move |inner: &Inner, context: &Context| mounted::clear(inner, context, &target);
        Box::pin(self.call(context, volume.deadline, work))
    }

    fn ready(&self, volume: VolumeRef, target: PathBuf) -> BoxFuture<'_, Result<(), Error>> {
        let context = Context::new("use", &volume.handle);
        let inner = self.inner.clone();
        // Not in turn with the volume's other calls: it changes nothing, and has a short deadline of its own.
        Box::pin(blocking::run(context, volume.deadline, move |context| {
            mounted::ask(&inner, context, &target)
        }))
    }
}

#[cfg(test)]
mod tests;
