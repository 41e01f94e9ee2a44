//! `loop.orlop.dev`: a volume is a file with a file system in it, shown to pods through a loop device.
//!
//! ```text
//!  create   <pool>/pvc-<uid>.making ─ truncate ─ mkfs (UUID = uid) ─ fsync ─ rename ─► <pool>/pvc-<uid>.img
//!  attach   pvc-<uid>.img ─ LOOP_CONFIGURE ─► /dev/loopN      found again by the file's inode, never doubled
//!  stage    /dev/loopN ─ probe: that type, that UUID ─ mount ─► …/globalmount      never formatted here
//!  publish  …/globalmount ─ bind (read-only: remount) ─► …/pods/<uid>/volumes/…/mount
//! ```
//!
//! A file named `.img` is a complete volume; whatever else a crash leaves is removed by the next pass. Nothing is
//! remembered between calls but what is being made at this moment: the kernel and the directory say what is.
//!
//! Owns: the pool directory. Must not know: claims, pods, the API.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use futures::future::BoxFuture;

use crate::{
    driver::{
        Attach, Capabilities, Capacity, Code, Create, Driver, Error, Publish, Stage, Volume, VolumeRef,
    },
    host::Host,
};

mod attach;
mod create;
mod delete;
mod mounted;
mod pool;
mod publish;
mod request;
mod stage;

use self::request::Handle;
use super::{
    blocking::{self, Busy},
    fault::{self, Context},
};

/// Its name in StorageClass and PersistentVolume.
pub const NAME: &str = "loop.orlop.dev";
/// How long calls without a deadline of their own may take.
const LOOK_DEADLINE: Duration = Duration::from_secs(30);

/// The loop-file driver of one pool directory. Clones share their state.
#[derive(Clone)]
pub struct LoopDriver {
    inner: Arc<Inner>,
}

/// What the calls share.
struct Inner {
    host: Arc<dyn Host>,
    pool: PathBuf,
    accounts: pool::Accounts,
    busy: Busy,
    /// Bounds how many file systems are made at once.
    makers: tokio::sync::Semaphore,
}

impl fmt::Debug for LoopDriver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoopDriver").field("pool", &self.inner.pool).finish_non_exhaustive()
    }
}

impl LoopDriver {
    /// A driver whose volumes live in `pool`, which it creates when needed and which nobody else writes to.
    pub fn new(host: Arc<dyn Host>, pool: impl Into<PathBuf>) -> Self {
        let makers = std::thread::available_parallelism().map_or(2, |count| count.get() * 2);
        Self {
            inner: Arc::new(Inner {
                host,
                pool: pool.into(),
                accounts: pool::Accounts::default(),
                busy: Busy::default(),
                makers: tokio::sync::Semaphore::new(makers),
            }),
        }
    }

    /// Runs one call for one volume off the async runtime, alone for that volume.
    async fn call<T: Send + 'static>(
        &self,
        operation: &'static str,
        volume: VolumeRef,
        work: impl FnOnce(&Inner, &Context, &Handle, &VolumeRef) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let context = Context::new(operation, &volume.handle);
        let handle = Handle::parse(&volume.handle).map_err(|why| context.fail(Code::InvalidArgument, why))?;
        let deadline = volume.deadline;
        let mine = self.inner.busy.claim(&context, deadline).await?;
        self.blocking(context, deadline, move |inner, context| {
            let _mine = mine;
            work(inner, context, &handle, &volume)
        })
        .await
    }

    async fn blocking<T: Send + 'static>(
        &self,
        context: Context,
        deadline: Duration,
        work: impl FnOnce(&Inner, &Context) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let inner = Arc::clone(&self.inner);
        blocking::run(context, deadline, move |context| work(&inner, context)).await
    }

    async fn make(&self, request: Create) -> Result<Volume, Error> {
        let context = Context::new("create", &request.name);
        let spec = request::Spec::parse(&request).map_err(|(code, why)| context.fail(code, why))?;
        let mine = self.inner.busy.claim(&context, request.deadline).await?;
        let this = self.clone();
        blocking::within(context, request.deadline, async move |context| {
            // Closed never: the semaphore lives as long as the driver.
            let _permit = this.inner.makers.acquire().await;
            this.blocking(context, request.deadline, move |inner, context| {
                let _mine = mine;
                create::create(inner, context, &spec)
            })
            .await
        })
        .await
    }
}

impl Inner {
    fn path(&self, handle: &Handle) -> PathBuf {
        self.pool.join(handle.file_name())
    }
}

impl Driver for LoopDriver {
    fn name(&self) -> &'static str {
        NAME
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { attach: Attach::Node, node_local: true, expand: false }
    }

    fn create(&self, request: Create) -> BoxFuture<'_, Result<Volume, Error>> {
        Box::pin(self.make(request))
    }

    fn delete(&self, volume: VolumeRef) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(
            self.call("delete", volume, |inner, context, handle, _| delete::delete(inner, context, handle)),
        )
    }

    fn list(&self) -> BoxFuture<'_, Result<Vec<Volume>, Error>> {
        let context = Context::new("list", "*");
        Box::pin(self.blocking(context, LOOK_DEADLINE, pool::list))
    }

    fn capacity(&self) -> BoxFuture<'_, Result<Capacity, Error>> {
        let context = Context::new("capacity", "*");
        Box::pin(self.blocking(context, LOOK_DEADLINE, pool::capacity))
    }

    fn attach(&self, volume: VolumeRef) -> BoxFuture<'_, Result<Option<PathBuf>, Error>> {
        Box::pin(self.call("attach", volume, |inner, context, handle, _| {
            attach::attach(inner, context, handle).map(|device| Some(device.device))
        }))
    }

    fn detach(&self, volume: VolumeRef) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(
            self.call("detach", volume, |inner, context, handle, _| attach::detach(inner, context, handle)),
        )
    }

    fn stage(&self, request: Stage) -> BoxFuture<'_, Result<(), Error>> {
        let volume = request.volume.clone();
        Box::pin(self.call("stage", volume, move |inner, context, handle, _| {
            stage::stage(inner, context, handle, &request)
        }))
    }

    fn unstage(&self, volume: VolumeRef, target: PathBuf) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(self.call("unstage", volume, move |inner, context, handle, _| {
            stage::unstage(inner, context, handle, &target)
        }))
    }

    fn publish(&self, request: Publish) -> BoxFuture<'_, Result<(), Error>> {
        let volume = request.volume.clone();
        Box::pin(self.call("publish", volume, move |inner, context, handle, _| {
            publish::publish(inner, context, handle, &request)
        }))
    }

    fn unpublish(&self, volume: VolumeRef, target: PathBuf) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(self.call("unpublish", volume, move |inner, context, handle, _| {
            publish::unpublish(inner, context, handle, &target)
        }))
    }
}

/// The pool directory is made on demand, and as durable as what is in it.
fn ensure_pool(host: &dyn Host, pool: &Path) -> crate::host::Result<()> {
    if host.file(pool)?.is_some() {
        return Ok(());
    }
    host.create_dir(pool)?;
    host.sync_file(pool.parent().unwrap_or(Path::new("/")))
}

#[cfg(test)]
mod tests;
