//! One transactional store: revisions, snapshots and watch over an exchangeable engine.
//!
//! Owns: the order of commits, durability, what a snapshot sees, what a watcher is told.
//! Must not know: HTTP, what the kinds mean, who writes.

use std::{future::Future, sync::Arc};

use orlop_objects::{Key, Kind, Object, Revision, index::Index};

/// A store failure. A transaction's own failure is [`UpdateError::Refused`].
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The revision is older than what is kept: list again.
    #[error("revision {asked} is no longer kept (oldest: {oldest})")]
    Expired { asked: Revision, oldest: Revision },
    /// The revision has not happened yet.
    #[error("revision {asked} is in the future (newest: {newest})")]
    Future { asked: Revision, newest: Revision },
    /// An earlier I/O error stopped all writes; reads go on.
    #[error("the store takes no writes since an I/O error: {reason}")]
    Unavailable { reason: Arc<str> },
    /// The transaction lost against others five times.
    #[error("the transaction conflicted with others 5 times")]
    Conflict,
    /// The transaction breaks a limit: 64 objects, 1 MiB, one object of a kind.
    #[error("the transaction is refused: {reason}")]
    Limits { reason: String },
    /// Opening or reading the engine failed.
    #[error("{operation} the store")]
    Engine { operation: &'static str, source: Arc<dyn std::error::Error + Send + Sync> },
}

/// What `Store::update` answers when it does not commit.
#[derive(Debug, thiserror::Error)]
pub enum UpdateError<E> {
    /// The closure refused.
    #[error("refused")]
    Refused(E),
    /// The store could not.
    #[error(transparent)]
    Store(#[from] Error),
}

/// A handle to the store. Cheap to clone.
#[derive(Clone)]
pub struct Store;

/// All objects as of one revision. Cheap to clone; taking one is a pointer load.
#[derive(Clone)]
pub struct Snapshot;

/// A transaction under way: reads its own writes.
pub struct Tx<'a>(&'a ());

/// What `update` answers after the commit is on disk.
#[derive(Clone, Debug)]
pub struct Committed<T> {
    /// The revision of the commit; of the snapshot read when nothing changed.
    pub revision: Revision,
    /// Whether anything was written.
    pub changed: bool,
    /// The closure's answer.
    pub value: T,
}

/// One change as watchers get it.
#[derive(Clone, Debug)]
pub struct Change {
    /// The object's key.
    pub key: Key,
    /// The commit.
    pub revision: Revision,
    /// The version before; `None` when created.
    pub old: Option<Arc<Object>>,
    /// The version after; `None` when deleted.
    pub new: Option<Arc<Object>>,
}

impl Store {
    /// An empty store in memory, for tests.
    pub fn in_memory() -> Self { todo!() }
    /// The newest snapshot. Contains only what is on disk.
    pub fn snapshot(&self) -> Snapshot { todo!() }
    /// The snapshot at exactly `revision`, for continued lists.
    pub fn snapshot_at(&self, _revision: Revision) -> Result<Snapshot, Error> { todo!() }
    /// Runs `f` on a snapshot, commits what it wrote if nothing it read by key has changed, reruns it otherwise.
    /// Returns once the commit is on disk and visible.
    pub fn update<T: Send, E: Send>(
        &self,
        _f: impl Fn(&mut Tx<'_>) -> Result<T, E> + Send,
    ) -> impl Future<Output = Result<Committed<T>, UpdateError<E>>> + Send {
        async { todo!() }
    }
    /// All changes of `kind` after `from`, then on. `Expired` when `from` is older than the ring.
    pub fn watch(&self, _kind: &'static Kind, _from: Revision) -> Result<Watch, Error> { todo!() }
    /// Keys that change from now on, for in-process consumers; can neither lag nor overflow.
    pub fn changes(&self, _kinds: &[&'static Kind]) -> Changes { todo!() }
    /// `Err` with the reason once writes have stopped.
    pub fn health(&self) -> Result<(), Error> { todo!() }
}

impl Snapshot {
    /// The revision it shows.
    pub fn revision(&self) -> Revision { todo!() }
    /// One object.
    pub fn get(&self, _key: &Key) -> Option<Arc<Object>> { todo!() }
    /// All objects of `kind` in key order, of one namespace where given, after `after` (namespace, name) where given.
    pub fn list<'a>(&'a self, _kind: &'static Kind, _namespace: Option<&'a str>, _after: Option<(&str, &str)>)
        -> impl Iterator<Item = &'a Arc<Object>> + 'a { std::iter::empty() }
    /// Objects whose index entry begins with `prefix`, in the order of the entries.
    pub fn indexed<'a>(&'a self, _index: Index, _prefix: &str) -> impl Iterator<Item = &'a Arc<Object>> + 'a { std::iter::empty() }
}

impl Tx<'_> {
    /// Reads one object; the commit will check that it has not changed.
    pub fn get(&mut self, _key: &Key) -> Option<Arc<Object>> { todo!() }
    /// The snapshot beneath: ranges and indexes, not protected, without this transaction's own writes.
    pub fn snapshot(&self) -> &Snapshot { todo!() }
    /// Writes an object. Writing equal bytes writes nothing.
    pub fn put(&mut self, _object: Object) { todo!() }
    /// Deletes an object.
    pub fn delete(&mut self, _key: &Key) { todo!() }
    /// This transaction need not cause a flush of its own (events).
    pub fn lazy(&mut self) { todo!() }
}

/// A stream of changes.
pub struct Watch;

impl Watch {
    /// The next change, in revision order. `None` when the watcher was too slow (1 MiB of backlog) or the store closed.
    pub async fn next(&mut self) -> Option<Change> { todo!() }
    /// The newest revision all of whose changes `next` has returned: what a bookmark may carry.
    pub fn seen(&self) -> Revision { todo!() }
}

/// A set of keys that have changed.
pub struct Changes;

impl Changes {
    /// Waits until there are some, and takes them all.
    pub async fn next(&mut self) -> Vec<Key> { todo!() }
}
