//! The one loop that runs every controller.
//!
//! ```text
//!  store.changes ──► related keys ──► queue ──► view ──► decide ──► apply ──► registry
//!                                       ▲      (one snapshot) (pure)  │
//!                                       └── again: at a time, after a failure, when a rival was faster
//! ```
//!
//! - **Keys only.** A run reads the current world; what woke it does not matter.
//! - **One run per key at a time**: a pass ends before the next begins, so the next snapshot shows all that it did.
//!   What changes meanwhile gathers in the queue and shares the next pass, and with it a disk flush.
//! - **A change wakes what the object is related to now, and what it was related to before** (a deleted pod frees the
//!   volumes that it used): the relations seen last are kept per key.
//! - **Nothing before the first full list**: the changes are subscribed to before all keys are put into the queue.
//! - Every key is looked at again after [`RESYNC`]: a safety net, not a mechanism.

mod queue;
mod reader;
#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, HashSet},
    fmt::Debug,
    future::Future,
    time::{Duration, Instant},
};

use futures::future::join_all;
use orlop_objects::{Key, Kind, Object};
use orlop_registry::Registry;
use orlop_store::Snapshot;
use queue::Queue;
pub(crate) use reader::{Reader, Seen};
use tokio::sync::watch;

use crate::Error;

/// Keys handed over at once, at most.
const PASS: usize = 256;
/// How often everything is looked at again.
const RESYNC: Duration = Duration::from_secs(600);

/// One controller: what concerns it, and the three steps from a key to a fact.
pub(crate) trait Controller: Send + Sync + 'static {
    /// All facts about a set of keys.
    type View: Send;
    /// What is to be done about one key, or why nothing is.
    type Verdict: Debug + Send;

    /// For logs and for `orlop:NAME`, the user that writes.
    const NAME: &'static str;
    /// Kinds of its keys: all objects of them are looked at after a start.
    const KEYS: &'static [&'static Kind];
    /// Kinds whose changes may concern it, its own among them.
    const WATCHES: &'static [&'static Kind];

    /// The table of relations: which keys an object concerns.
    fn related(&self, object: &Object, snapshot: &Snapshot) -> Related;
    /// The same for an object that is gone: only its key is left. What it was related to when it was last seen is
    /// looked at anyway.
    fn gone(&self, _key: &Key) -> Related {
        Related::default()
    }
    /// Reads everything that `decide` needs, from one snapshot.
    fn view(&self, keys: &[Due], reader: &mut Reader) -> Self::View;
    /// Pure: same view, same verdicts.
    fn decide(view: &Self::View) -> Vec<(Key, Self::Verdict)>;
    /// Carries out one verdict. Safe to repeat, without policy.
    fn apply(&self, key: &Key, verdict: Self::Verdict) -> impl Future<Output = Result<Next, Error>> + Send;
}

/// What a changed object concerns.
#[derive(Debug, Default)]
pub(crate) struct Related {
    /// These keys.
    pub(crate) keys: Vec<Key>,
    /// And every key that waits for something.
    pub(crate) waiting: bool,
}

impl Related {
    /// These keys alone.
    pub(crate) fn keys(keys: impl IntoIterator<Item = Key>) -> Self {
        Self { keys: keys.into_iter().collect(), waiting: false }
    }

    /// Whatever waits.
    pub(crate) fn waiting() -> Self {
        Self { keys: Vec::new(), waiting: true }
    }

    /// The object itself.
    pub(crate) fn itself(object: &Object) -> Self {
        Self::keys([object.key.clone()])
    }

    /// Also whatever waits.
    pub(crate) fn and_waiting(self) -> Self {
        Self { waiting: true, ..self }
    }

    /// Also these.
    pub(crate) fn and(mut self, keys: impl IntoIterator<Item = Key>) -> Self {
        self.keys.extend(keys);
        self
    }
}

/// A key that is due, with what the worker knows of its past.
#[derive(Clone, Debug)]
pub(crate) struct Due {
    /// The key.
    pub(crate) key: Key,
    /// Since when it has been waiting without a break; `None` when its last verdict was not to wait.
    pub(crate) waiting_since: Option<Instant>,
}

/// When a key is to be looked at again, beside changes that concern it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Nothing is left to do.
    Settled,
    /// Something must happen first; at the latest then.
    Waiting(Option<Instant>),
}

/// A controller with its queue.
pub(crate) struct Worker<C> {
    controller: C,
    registry: Registry,
    queue: Queue,
    /// What each object was related to when it was last seen.
    links: HashMap<Key, Related>,
    /// Keys whose last verdict was to wait, and since when.
    waiting: HashMap<Key, Instant>,
}

impl<C: Controller> Worker<C> {
    /// A worker that has not looked at anything yet.
    pub(crate) fn new(controller: C, registry: Registry) -> Self {
        Self { controller, registry, queue: Queue::default(), links: HashMap::new(), waiting: HashMap::new() }
    }

    /// Runs until `stop` says so; a pass that has begun is ended.
    pub(crate) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut changes = self.registry.store().changes(C::WATCHES);
        self.learn_all();
        let mut resync = now() + RESYNC;
        while !*stop.borrow() {
            let wake = self.queue.next().map_or(resync, |at| at.min(resync));
            tokio::select! {
                biased;
                _ = stop.changed() => continue,
                keys = changes.next() => self.relate(&keys),
                () = tokio::time::sleep_until(wake.into()) => {}
            }
            if now() >= resync {
                resync = now() + RESYNC;
                self.enqueue_all();
            }
            self.pass().await;
        }
    }

    /// The first full list: the relations of everything, and all keys due.
    fn learn_all(&mut self) {
        let snapshot = self.registry.snapshot();
        for kind in C::WATCHES {
            for object in snapshot.list(kind, None, None) {
                let related = self.controller.related(object, &snapshot);
                self.link(object.key.clone(), related);
            }
        }
        self.enqueue_all();
    }

    fn enqueue_all(&mut self) {
        let (snapshot, now) = (self.registry.snapshot(), now());
        for kind in C::KEYS {
            for object in snapshot.list(kind, None, None) {
                self.queue.add(object.key.clone(), now);
            }
        }
    }

    /// Puts into the queue what the changed objects concern and what they concerned before.
    fn relate(&mut self, changed: &[Key]) {
        let (snapshot, now) = (self.registry.snapshot(), now());
        let mut wake = false;
        for key in changed {
            let old = self.links.remove(key).unwrap_or_default();
            let found = snapshot.get(key);
            let new = match &found {
                Some(object) => self.controller.related(object, &snapshot),
                None => self.controller.gone(key),
            };
            for related in old.keys.iter().chain(&new.keys) {
                self.queue.add(related.clone(), now);
            }
            wake |= old.waiting || new.waiting;
            if found.is_some() {
                self.link(key.clone(), new);
            }
        }
        if wake {
            self.waiting.keys().for_each(|key| self.queue.add(key.clone(), now));
        }
    }

    fn link(&mut self, key: Key, related: Related) {
        if related.waiting || !related.keys.is_empty() {
            self.links.insert(key, related);
        }
    }

    /// One look at what is due, and all that follows from it.
    async fn pass(&mut self) {
        let due: Vec<Due> = self.queue.take(now(), PASS).into_iter().map(|key| self.due(key)).collect();
        if due.is_empty() {
            return;
        }
        let mut reader = Reader::new(self.registry.snapshot(), now());
        let view = self.controller.view(&due, &mut reader);
        let verdicts = C::decide(&view);
        drop(view);
        let controller = &self.controller;
        // All are polled once, which submits their transactions, before any is waited for.
        let runs = verdicts.into_iter().map(|(key, verdict)| async move {
            tracing::debug!(controller = C::NAME, %key, ?verdict, "decided");
            let done = controller.apply(&key, verdict).await;
            (key, done)
        });
        let mut unmentioned: HashSet<Key> = due.into_iter().map(|d| d.key).collect();
        for (key, done) in join_all(runs).await {
            unmentioned.remove(&key);
            self.conclude(key, done);
        }
        for (key, error) in reader.into_failed() {
            unmentioned.remove(&key);
            self.conclude(key, Err(error));
        }
        for key in unmentioned {
            self.conclude(key, Ok(Next::Settled));
        }
    }

    fn due(&self, key: Key) -> Due {
        let waiting_since = self.waiting.get(&key).copied();
        Due { key, waiting_since }
    }

    fn conclude(&mut self, key: Key, done: Result<Next, Error>) {
        let now = now();
        match done {
            Ok(Next::Settled) => {
                self.queue.succeeded(&key);
                self.waiting.remove(&key);
            }
            Ok(Next::Waiting(until)) => {
                self.queue.succeeded(&key);
                self.waiting.entry(key.clone()).or_insert(now);
                if let Some(at) = until {
                    self.queue.add(key, at);
                }
            }
            Err(error) if error.is_stale() => {
                tracing::debug!(controller = C::NAME, %key, error = &error as &dyn std::error::Error, "look again");
                self.queue.raced(key, now);
            }
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(controller = C::NAME, %key, error, "try again later");
                self.queue.failed(key, now);
            }
        }
    }
}

/// The monotonic time, which tests can stop.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
