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
//! Must not know: claims, pods, the API.

use std::{collections::BTreeMap, fmt, path::PathBuf, sync::Arc};

use futures::future::BoxFuture;

use super::{blocking::Busy, fault::Context};
use crate::{
    driver::{
        Attach, Capabilities, Capacity, Code, Create, Driver, Error, Publish, Stage, Volume, VolumeRef,
    },
    host::Host,
};

#[allow(dead_code, reason = "filled in next")]
mod export;
#[allow(dead_code, reason = "filled in next")]
mod place;

use self::place::Place;

/// Its name in StorageClass and PersistentVolume.
pub const NAME: &str = "nfs.orlop.dev";

/// The NFS driver of one node. Clones share their state.
#[derive(Clone)]
pub struct NfsDriver {
    inner: Arc<Inner>,
}

/// What the calls share.
#[allow(dead_code, reason = "existing servers are built next")]
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

    /// Where the volume of a call is.
    fn place(context: &Context, volume: &VolumeRef) -> Result<Place, Error> {
        Place::parse(&volume.attributes).map_err(|why| context.fail(Code::InvalidArgument, why))
    }
}

/// Whether a class asks for an export of Orlop's own: it names no server.
fn wants_own(request: &Create) -> bool {
    request.provisioner == NAME && !request.parameters.contains_key("server")
}

fn not_built(context: &Context) -> Error {
    context.fail(Code::Unimplemented, "NFS servers that are there already are not built yet")
}

impl Driver for NfsDriver {
    fn name(&self) -> &'static str {
        NAME
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { attach: Attach::None, node_local: true, expand: false }
    }

    fn attributes(&self, _request: &Create) -> Result<BTreeMap<String, String>, Error> {
        Ok(BTreeMap::new())
    }

    fn create(&self, request: Create) -> BoxFuture<'_, Result<Volume, Error>> {
        Box::pin(async move {
            let context = Context::new("create", &request.name);
            if wants_own(&request) {
                return export::create(&self.inner, &context, request).await;
            }
            Err(not_built(&context))
        })
    }

    fn delete(&self, volume: VolumeRef) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async move {
            let context = Context::new("delete", &volume.handle);
            match Self::place(&context, &volume)? {
                Place::Own(own) => export::delete(&self.inner, &context, &own).await,
                Place::Existing(_) => Err(not_built(&context)),
            }
        })
    }

    fn list(&self) -> BoxFuture<'_, Result<Vec<Volume>, Error>> {
        Box::pin(async move { Err(not_built(&Context::new("list", "*"))) })
    }

    fn capacity(&self) -> BoxFuture<'_, Result<Capacity, Error>> {
        Box::pin(async move { Err(not_built(&Context::new("capacity", "*"))) })
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
            match Self::place(&context, &request.volume)? {
                Place::Own(own) => export::stage(&self.inner, &context, &own, request).await,
                Place::Existing(_) => Err(not_built(&context)),
            }
        })
    }

    fn unstage(&self, volume: VolumeRef, _: PathBuf) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async move { Err(not_built(&Context::new("unstage", &volume.handle))) })
    }

    fn publish(&self, request: Publish) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async move {
            let context = Context::new("publish", &request.volume.handle);
            match Self::place(&context, &request.volume)? {
                Place::Own(own) => export::publish(&self.inner, &context, &own, request).await,
                Place::Existing(_) => Err(not_built(&context)),
            }
        })
    }

    fn unpublish(&self, volume: VolumeRef, _: PathBuf) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async move { Err(not_built(&Context::new("unpublish", &volume.handle))) })
    }
}
