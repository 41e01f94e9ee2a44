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
//! A node has one or more pools ([`pools`]); one that several nodes see is shared, and beside each of its volumes stands who
//! has it attached ([`owner`]).
//!
//! Owns: the pool directories. Must not know: claims, pods, the API.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use futures::future::BoxFuture;

use crate::{
    driver::{
        Attach, Capabilities, Capacity, Code, Create, Disk, Driver, Error, Publish, Stage, Volume, VolumeRef,
    },
    host::Host,
};

mod accounts;
mod attach;
mod beside;
mod create;
mod delete;
mod disks;
mod mounted;
mod owner;
mod pools;
mod publish;
mod request;
mod stage;

pub use self::{
    disks::{Lookout, Place},
    pools::{
        DEFAULT as DEFAULT_POOL, LABEL as POOL_LABEL, Node, PoolConfig, PoolError, PoolUse,
        check_name as check_pool_name,
    },
    request::POOL as POOL_PARAMETER,
};
use self::{
    pools::{Neighbour, Pool, Pools},
    request::Handle,
};
use super::{
    blocking::{self, Busy},
    fault::{self, Context},
};

/// Its name in StorageClass and PersistentVolume.
pub const NAME: &str = orlop_objects::loop_file::DRIVER;
/// How long calls without a deadline of their own may take.
const LOOK_DEADLINE: Duration = Duration::from_secs(30);

/// The loop-file driver of a node's pools. Clones share their state.
#[derive(Clone)]
pub struct LoopDriver {
    inner: Arc<Inner>,
}

/// What the calls share.
struct Inner {
    pools: Pools,
    lookout: Lookout,
    busy: Busy,
    /// Bounds how many file systems are made at once.
    makers: tokio::sync::Semaphore,
}

impl fmt::Debug for LoopDriver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pools: Vec<&Path> = self.inner.pools.iter().map(|pool| pool.dir.as_path()).collect();
        f.debug_struct("LoopDriver").field("pools", &pools).finish_non_exhaustive()
    }
}

impl LoopDriver {
    /// A driver whose volumes live in one directory, which it creates when needed and which nobody else writes to.
    pub fn new(host: Arc<dyn Host>, pool: impl Into<PathBuf>) -> Self {
        let node = Node { name: String::new(), boot: String::new() };
        Self::of([Pool::private(host, pool.into(), String::new(), node)], BTreeMap::new())
    }

    /// A driver of these pools, for the node that is called so; `instance` is the id of its local pools. Records that an
    /// earlier life of the node left in a shared pool are removed. A pool that is retired and does not open is left out:
    /// see [`Self::left_out`].
    pub fn open(
        host: &Arc<dyn Host>,
        pools: &[PoolConfig],
        instance: &str,
        node: &Node,
    ) -> Result<Self, PoolError> {
        let (mut opened, mut left_out, mut neighbours) = (Vec::new(), BTreeMap::new(), Vec::new());
        for config in pools {
            let outcome = match &config.used {
                PoolUse::Wanted => Ok(open_pool(host, config, instance, node)?),
                PoolUse::Retired => {
                    let outcome = open_pool(host, config, instance, node);
                    // It has answered, and what it promised may lie on a disk of the others.
                    neighbours
                        .extend((outcome.is_err() && !config.shared).then(|| Neighbour::left_out(config)));
                    outcome.map_err(|error| error.words())
                }
                PoolUse::LeftOut(why) => Err(why.clone()),
            };
            match outcome {
                Ok(pool) => opened.push(pool),
                Err(why) => _ = left_out.insert(config.name.clone(), why),
            }
        }
        pools::introduce(&mut opened, neighbours);
        Ok(Self::of(opened, left_out))
    }

    fn of(pools: impl IntoIterator<Item = Pool>, left_out: BTreeMap<String, String>) -> Self {
        let makers = std::thread::available_parallelism().map_or(2, |count| count.get() * 2);
        Self {
            inner: Arc::new(Inner {
                pools: Pools::new(pools, left_out),
                lookout: Lookout::default(),
                busy: Busy::default(),
                makers: tokio::sync::Semaphore::new(makers),
            }),
        }
    }

    /// The pools that it goes on without, and why.
    pub fn left_out(&self) -> &BTreeMap<String, String> {
        self.inner.pools.left_out()
    }

    /// The id of a pool: the value of its label.
    pub fn pool_id(&self, name: &str) -> Option<String> {
        self.inner.pools.iter().find(|pool| pool.name == name).map(|pool| pool.id.clone())
    }

    /// Runs one call for one volume off the async runtime, alone for that volume.
    async fn call<T: Send + 'static>(
        &self,
        operation: &'static str,
        volume: VolumeRef,
        work: impl FnOnce(&Pool, &Context, &Handle, &VolumeRef) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let context = Context::new(operation, &volume.handle);
        let invalid = |why| context.fail(Code::InvalidArgument, why);
        let handle = Handle::parse(&volume.handle).map_err(invalid)?;
        let pool = self.inner.pools.of(&handle).map_err(invalid)?;
        let deadline = volume.deadline;
        let mine = self.inner.busy.claim(&context, deadline).await?;
        blocking::run(context, deadline, move |context| {
            let _mine = mine;
            work(&pool, context, &handle, &volume)
        })
        .await
    }

    /// Runs one look for each pool off the async runtime.
    async fn each_pool<T: Send + 'static>(
        &self,
        operation: &'static str,
        look: impl Fn(&Pool, &Context) -> Result<T, Error> + Send + 'static,
    ) -> Result<Vec<T>, Error> {
        let pools: Vec<Arc<Pool>> = self.inner.pools.iter().cloned().collect();
        blocking::run(Context::new(operation, "*"), LOOK_DEADLINE, move |context| {
            pools.iter().map(|pool| look(pool, context)).collect()
        })
        .await
    }

    /// Of all pools together.
    async fn room(&self) -> Result<Capacity, Error> {
        let mut sum = Capacity { available: 0, promised: 0, total: 0 };
        let mut disks = BTreeSet::new();
        for found in self.each_pool("capacity", accounts::look).await? {
            // Each of the pools on one disk tells of all of them.
            if found.disk.is_some_and(|disk| !disks.insert(disk)) {
                continue;
            }
            let limit = request::Overcommit::default().of(found.total);
            sum.available = sum.available.saturating_add(limit.saturating_sub(found.promised));
            sum.promised = sum.promised.saturating_add(found.promised);
            sum.total = sum.total.saturating_add(found.total);
        }
        Ok(sum)
    }

    async fn look_at_disks(&self, own: PathBuf) -> Vec<Disk> {
        let pools = self.inner.pools.iter();
        let places = Place::of_node(pools.map(|pool| (pool.name.clone(), pool.dir.clone())), own);
        let Some(host) = self.inner.pools.iter().next().map(|pool| Arc::clone(&pool.host)) else {
            return Vec::new();
        };
        let (lookout, all) = (self.inner.lookout.clone(), places.clone());
        let mut disks = match tokio::task::spawn_blocking(move || lookout.look(&host, all)).await {
            Ok(disks) => disks,
            Err(error) => disks::unknown(places, &format!("the look did not end: {error}")),
        };
        for (pool, why) in self.left_out() {
            // Nobody looks there: what is said is why not.
            let place = Place { pool: Some(pool.clone()), dir: PathBuf::new() };
            disks.extend(disks::unknown(vec![place], &format!("this node goes on without it: {why}")));
        }
        disks
    }

    async fn make(&self, request: Create) -> Result<Volume, Error> {
        let context = Context::new("create", &request.name);
        let spec = request::Spec::parse(&request, &self.inner.pools)
            .map_err(|(code, why)| context.fail(code, why))?;
        let pool =
            self.inner.pools.of(&spec.handle).map_err(|why| context.fail(Code::InvalidArgument, why))?;
        // By its handle, as all other calls are.
        let context = Context::new("create", &spec.handle.to_string());
        let mine = self.inner.busy.claim(&context, request.deadline).await?;
        let this = self.clone();
        blocking::within(context, request.deadline, async move |context| {
            // Closed never: the semaphore lives as long as the driver.
            let _permit = this.inner.makers.acquire().await;
            blocking::run(context, request.deadline, move |context| {
                let _mine = mine;
                create::create(&pool, context, &spec)
            })
            .await
        })
        .await
    }
}

impl Driver for LoopDriver {
    fn name(&self) -> &'static str {
        NAME
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { attach: Attach::Node, node_local: true, expand: false }
    }

    fn topology(&self) -> BTreeMap<String, String> {
        let open = self.inner.pools.iter().filter(|pool| !pool.retired);
        open.map(|pool| (pool.label(), pool.id.clone())).filter(|(_, id)| !id.is_empty()).collect()
    }

    fn handle(&self, request: &Create) -> Result<String, Error> {
        request::handle(request, &self.inner.pools)
            .map(|handle| handle.to_string())
            .map_err(|why| Context::new("create", &request.name).fail(Code::InvalidArgument, why))
    }

    fn create(&self, request: Create) -> BoxFuture<'_, Result<Volume, Error>> {
        Box::pin(self.make(request))
    }

    fn delete(&self, volume: VolumeRef) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(
            self.call("delete", volume, |pool, context, handle, _| delete::delete(pool, context, handle)),
        )
    }

    fn list(&self) -> BoxFuture<'_, Result<Vec<Volume>, Error>> {
        Box::pin(async { Ok(self.each_pool("list", accounts::list).await?.into_iter().flatten().collect()) })
    }

    /// Of all pools together.
    fn capacity(&self) -> BoxFuture<'_, Result<Capacity, Error>> {
        Box::pin(self.room())
    }

    fn disks(&self, own: PathBuf) -> BoxFuture<'_, Vec<Disk>> {
        Box::pin(self.look_at_disks(own))
    }

    fn attach(&self, volume: VolumeRef) -> BoxFuture<'_, Result<Option<PathBuf>, Error>> {
        Box::pin(self.call("attach", volume, |pool, context, handle, volume| {
            attach::attach(pool, context, handle, volume).map(|device| Some(device.device))
        }))
    }

    fn detach(&self, volume: VolumeRef) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(
            self.call("detach", volume, |pool, context, handle, _| attach::detach(pool, context, handle)),
        )
    }

    fn holder(&self, volume: VolumeRef) -> BoxFuture<'_, Result<Option<String>, Error>> {
        Box::pin(self.call("look for the holder of", volume, |pool, context, handle, _| {
            let held = || if pool.shared { owner::holder(pool, handle) } else { Ok(None) };
            held().map_err(|error| context.host(error))
        }))
    }

    fn fence(&self, volume: VolumeRef, node: String) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(self.call("fence", volume, move |pool, context, handle, _| {
            owner::fence(pool, context, handle, &node)
        }))
    }

    fn stage(&self, request: Stage) -> BoxFuture<'_, Result<(), Error>> {
        let volume = request.volume.clone();
        Box::pin(self.call("stage", volume, move |pool, context, handle, _| {
            stage::stage(pool, context, handle, &request)
        }))
    }

    fn unstage(&self, volume: VolumeRef, target: PathBuf) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(self.call("unstage", volume, move |pool, context, handle, _| {
            stage::unstage(pool, context, handle, &target)
        }))
    }

    fn publish(&self, request: Publish) -> BoxFuture<'_, Result<(), Error>> {
        let volume = request.volume.clone();
        Box::pin(self.call("publish", volume, move |pool, context, handle, _| {
            publish::publish(pool, context, handle, &request)
        }))
    }

    fn unpublish(&self, volume: VolumeRef, target: PathBuf) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(self.call("unpublish", volume, move |pool, context, handle, _| {
            publish::unpublish(pool, context, handle, &target)
        }))
    }
}

fn open_pool(
    host: &Arc<dyn Host>,
    config: &PoolConfig,
    instance: &str,
    node: &Node,
) -> Result<Pool, PoolError> {
    let pool = Pool::open(Arc::clone(host), config, instance, node)?;
    if pool.shared {
        owner::tidy(&pool).map_err(|source| PoolError::Host { name: config.name.clone(), source })?;
    }
    Ok(pool)
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
