//! `nfs.orlop.dev`: volumes that several nodes use at once.
//!
//! ```text
//!                       class parameters                       volumeAttributes
//!  an existing server   server, share, pathPattern, …     ──►  server, share, subDir, …         `existing`
//!  Orlop's own export   none, or pool, fsType, …          ──►  export: own, node, server, …     `export`
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
        Attach, Capabilities, Capacity, Code, Create, Driver, Error, Publish, Serving, Stage, Volume,
        VolumeRef,
    },
    host::Host,
};

mod existing;
mod export;
mod fault;
mod handle;
mod mounted;
mod place;

pub use export::ExportsConfig;

use self::{
    export::Exports,
    handle::Handle,
    place::{Existing, Place},
};

/// Its name in StorageClass and PersistentVolume.
pub const NAME: &str = orlop_objects::nfs::DRIVER;
/// How long a call without a deadline of its own may take.
const DEADLINE: Duration = Duration::from_secs(120);

/// The NFS driver of one node. Clones share their state.
#[derive(Clone)]
pub struct NfsDriver {
    inner: Arc<Inner>,
}

/// What the calls share.
struct Inner {
    host: Arc<dyn Host>,
    busy: Busy,
    exports: Option<Exports>,
}

impl fmt::Debug for NfsDriver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NfsDriver").finish_non_exhaustive()
    }
}

impl NfsDriver {
    /// A driver that mounts through `host`.
    pub fn new(host: Arc<dyn Host>) -> Self {
        Self { inner: Arc::new(Inner { host, busy: Busy::default(), exports: None }) }
    }

    /// The same, with exports of its own.
    pub fn with_exports(host: Arc<dyn Host>, exports: ExportsConfig) -> Self {
        let exports = Some(Exports::new(exports));
        Self { inner: Arc::new(Inner { host, busy: Busy::default(), exports }) }
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

/// A place at which a volume is mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layer {
    /// Once for the node.
    Staged,
    /// For one pod.
    Published,
}

impl NfsDriver {
    /// Mounts what a server exports at its staging place.
    async fn mount(
        &self,
        context: Context,
        existing: Existing,
        marked: Option<String>,
        request: Stage,
    ) -> Result<(), Error> {
        let deadline = request.volume.deadline;
        let work = move |inner: &Inner, context: &Context| {
            existing::stage(inner, context, &existing, marked, &request)
        };
        self.call(context, deadline, work).await
    }

    /// Takes away what is mounted at a place: by what it is, since whoever takes things down may not know which node this
    /// is, or which volume that was.
    async fn take_away(&self, layer: Layer, volume: VolumeRef, target: PathBuf) -> Result<(), Error> {
        let operation = match layer {
            Layer::Staged => "unstage",
            Layer::Published => "unpublish",
        };
        let context = Context::new(operation, &volume.handle);
        if matches!(parse(&context, &volume), Ok((_, Place::Own(_))))
            && !export::is_client_mount(&self.inner, &context, &target).await?
        {
            return export::take_away(&self.inner, &context, layer, volume, target).await;
        }
        let work = move |inner: &Inner, context: &Context| mounted::clear(inner, context, &target);
        self.call(context, volume.deadline, work).await
    }
}

/// Which volume a call is for, and where that is.
fn parse(context: &Context, volume: &VolumeRef) -> Result<(Handle, Place), Error> {
    let invalid = |why: String| context.fail(Code::InvalidArgument, why);
    let handle = Handle::parse(&volume.handle).map_err(invalid)?;
    Ok((handle, Place::parse(&volume.attributes).map_err(invalid)?))
}

fn wants_own(request: &Create) -> bool {
    orlop_objects::nfs::asks_for_own(&request.provisioner, &request.parameters)
}

impl Driver for NfsDriver {
    fn name(&self) -> &'static str {
        NAME
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { attach: Attach::None, node_local: true, expand: false }
    }

    /// Whether this node can export what it keeps: without, it serves its own pods alone.
    fn abilities(&self) -> BTreeMap<String, String> {
        let serves = self.inner.exports.as_ref().is_some_and(Exports::can_export);
        let label = serves.then(|| (orlop_objects::exports::SERVES.to_owned(), "true".to_owned()));
        label.into_iter().collect()
    }

    fn attributes(&self, request: &Create) -> Result<BTreeMap<String, String>, Error> {
        if wants_own(request) {
            return export::attributes(&self.inner, request);
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
                Place::Own(own) => export::delete(&self.inner, &context, &own, &volume).await,
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
        Box::pin(export::list(&self.inner))
    }

    fn capacity(&self) -> BoxFuture<'_, Result<Capacity, Error>> {
        Box::pin(export::capacity(&self.inner))
    }

    fn attach(&self, volume: VolumeRef) -> BoxFuture<'_, Result<Option<PathBuf>, Error>> {
        let checked = parse(&Context::new("attach", &volume.handle), &volume);
        Box::pin(async { checked.map(|_| None) })
    }

    fn detach(&self, _: VolumeRef) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async { Ok(()) })
    }

    fn stage(&self, request: Stage) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async move {
            let context = Context::new("stage", &request.volume.handle);
            let (handle, place) = parse(&context, &request.volume)?;
            match place {
                Place::Own(own) if export::keeps(&self.inner, &own) => {
                    export::stage(&self.inner, &context, request).await
                }
                Place::Own(own) => {
                    let (existing, request) = own.into_share(&context, request)?;
                    self.mount(context, existing, None, request).await
                }
                Place::Existing(existing) => {
                    let marked = existing::marked(&context, handle, &existing)?;
                    self.mount(context, existing, marked, request).await
                }
            }
        })
    }

    fn unstage(&self, volume: VolumeRef, target: PathBuf) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(self.take_away(Layer::Staged, volume, target))
    }

    fn publish(&self, request: Publish) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async move {
            let context = Context::new("publish", &request.volume.handle);
            match parse(&context, &request.volume)?.1 {
                Place::Own(own) if export::keeps(&self.inner, &own) => {
                    export::publish(&self.inner, &context, request).await
                }
                Place::Own(_) | Place::Existing(_) => {
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
        Box::pin(self.take_away(Layer::Published, volume, target))
    }

    fn ready(&self, volume: VolumeRef, target: PathBuf) -> BoxFuture<'_, Result<(), Error>> {
        let context = Context::new("use", &volume.handle);
        let inner = self.inner.clone();
        // Not in turn with the volume's other calls: it changes nothing, and has a short deadline of its own.
        Box::pin(blocking::run(context, volume.deadline, move |context| {
            mounted::ask(&inner, context, &target)
        }))
    }

    fn serving(&self) -> Option<&dyn Serving> {
        self.inner.exports.is_some().then_some(self)
    }
}

#[cfg(test)]
mod tests;
