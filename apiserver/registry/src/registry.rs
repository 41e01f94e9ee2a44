//! The registry: one transaction per call, and what is told about it afterwards.

use std::{future::Future, sync::Arc};

use jiff::Timestamp;
use orlop_objects::{Key, Kind, Object, Revision, kind};
use orlop_store::{Snapshot, Store, UpdateError};
use serde_json::Value;

use crate::{DeleteOptions, Door, Error, Note, Outcome, Part, Who, events, json};

/// The wall clock, as far as timestamps need one.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// How long pods stay on a node that is not ready, as in Kubernetes.
const TOLERATION_SECONDS: u32 = 300;

/// How often a generated name is drawn again when it is taken.
const NAMES_TRIED: usize = 8;

/// The door. Cheap to clone.
#[derive(Clone)]
pub struct Registry {
    store: Store,
    clock: Clock,
    toleration_seconds: u32,
}

/// Why a transaction did not commit.
enum Abort<T> {
    Refused(Error),
    /// A dry run went through.
    Dry(T),
}

impl Registry {
    /// Opens the door of a store.
    pub fn new(store: Store) -> Self {
        Self::with_clock(store, Arc::new(Timestamp::now))
    }

    /// The same with a clock of the caller's.
    pub fn with_clock(store: Store, clock: Clock) -> Self {
        Self { store, clock, toleration_seconds: TOLERATION_SECONDS }
    }

    /// The same, with another time for which pods that say nothing of it stay on a node that is not ready.
    #[must_use]
    pub fn with_toleration_seconds(self, toleration_seconds: u32) -> Self {
        Self { toleration_seconds, ..self }
    }

    /// The newest snapshot.
    pub fn snapshot(&self) -> Snapshot {
        self.store.snapshot()
    }

    /// The store, for watching and reading.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The time that timestamps are made of.
    pub fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// Creates an object; `metadata.name` may be empty where `generateName` is given.
    pub async fn create(
        &self,
        kind: &'static Kind,
        namespace: &str,
        body: Value,
        who: &Who,
        dry_run: bool,
    ) -> Result<Outcome, Error> {
        self.create_if(kind, namespace, body, who, dry_run, |_, _| Ok(())).await
    }

    /// The same where `may`, asked within the transaction about the body, does not refuse.
    pub async fn create_if(
        &self,
        kind: &'static Kind,
        namespace: &str,
        body: Value,
        who: &Who,
        dry_run: bool,
        may: impl Fn(&mut Door<'_, '_>, &Value) -> Result<(), Error> + Send + Sync,
    ) -> Result<Outcome, Error> {
        let generated = json::text(&body, "/metadata/name").is_empty();
        let tries = if generated { NAMES_TRIED } else { 1 };
        let mut last = None;
        for _ in 0..tries {
            let create = |door: &mut Door<'_, '_>| {
                may(door, &body)?;
                door.create(kind, namespace, body.clone())
            };
            match self.write(who, dry_run, create).await {
                Err(taken @ Error::AlreadyExists(_)) => last = Some(taken),
                other => return other,
            }
        }
        Err(last.expect("the loop runs at least once and goes on only with an error"))
    }

    /// Changes an object by a pure function of its current value (with `resourceVersion` in it); a `resourceVersion` in
    /// the result that is not the current one is a conflict.
    pub fn change(
        &self,
        key: &Key,
        part: Part,
        who: &Who,
        dry_run: bool,
        f: impl Fn(Value) -> Result<Value, Error> + Send,
    ) -> impl Future<Output = Result<Outcome, Error>> + Send {
        self.write(who, dry_run, move |door| door.change(key, part, &f))
    }

    /// Asks for an object's deletion.
    pub async fn delete(&self, key: &Key, options: &DeleteOptions, who: &Who) -> Result<Outcome, Error> {
        self.write(who, options.dry_run, |door| door.delete(key, options)).await
    }

    /// Puts a pod on a node: what the `binding` subresource does.
    pub async fn bind(&self, pod: &Key, node: &str, who: &Who, dry_run: bool) -> Result<Outcome, Error> {
        self.write(who, dry_run, |door| door.bind(pod, node)).await
    }

    /// Sends a pod away: what the `eviction` subresource does.
    pub async fn evict(&self, pod: &Key, options: &DeleteOptions, who: &Who) -> Result<Outcome, Error> {
        let why = ("EvictionByEvictionAPI", "Eviction API: evicting");
        self.write(who, options.dry_run, |door| door.evict(pod, options, why)).await
    }

    /// Several objects, at most one of each kind, in one commit. `f` is pure and may be run again.
    pub async fn transact<T: Send>(
        &self,
        who: &Who,
        f: impl Fn(&mut Door<'_, '_>) -> Result<T, Error> + Send,
    ) -> Result<T, Error> {
        self.run(who, false, f).await.map(|(value, _)| value)
    }

    /// Records an Event about `about`; repeats count up. Never fails the caller: a failure is logged.
    pub async fn event(&self, about: &Object, event: Note<'_>) {
        let key = events::key(about, &event);
        let who = Who::new(event.source, event.source);
        let said = self.run(&who, false, |door| {
            door.lazy();
            let now = door.now();
            match door.get(&key) {
                None => door
                    .create(&kind::EVENT, &key.namespace, events::first(&key, about, &event, now))
                    .map(drop),
                Some(old) => match events::again(old.versioned(), &event, now) {
                    Some(next) => door.change(&key, Part::Main, |_| Ok(next)).map(drop),
                    None => Ok(()),
                },
            }
        });
        match said.await {
            Ok(_) => {}
            // Its namespace is going or gone, and the Event with it.
            Err(error @ (Error::Forbidden { .. } | Error::NotFound(_))) => {
                tracing::debug!(about = %about.key, reason = event.reason, %error, "event not recorded");
            }
            Err(error) => {
                tracing::warn!(about = %about.key, reason = event.reason, %error, "event not recorded");
            }
        }
    }

    /// Removes the Events that nobody has repeated for an hour; answers how many. To be called every few minutes.
    pub async fn sweep_events(&self) -> usize {
        let now = self.now();
        let snapshot = self.snapshot();
        let expired: Vec<Key> = snapshot
            .list(&kind::EVENT, None, None)
            .filter(|event| events::is_expired(event, now))
            .map(|event| event.key.clone())
            .collect();
        let who = Who::new("orlop:events", "orlop");
        let mut swept = 0;
        for key in expired {
            let gone = self.run(&who, false, |door| {
                door.lazy();
                door.delete(&key, &DeleteOptions::default())
            });
            match gone.await {
                Ok(_) => swept += 1,
                Err(Error::NotFound(_)) => {}
                Err(error) => tracing::warn!(event = %key, %error, "expired event not removed"),
            }
        }
        swept
    }

    /// One object's write, with whatever `f` makes sure of before; its outcome carries the revision that committed it.
    pub async fn write(
        &self,
        who: &Who,
        dry_run: bool,
        f: impl Fn(&mut Door<'_, '_>) -> Result<Outcome, Error> + Send,
    ) -> Result<Outcome, Error> {
        let (mut outcome, revision) = self.run(who, dry_run, f).await?;
        if let Some(revision) = revision.filter(|_| outcome.object.revision == 0) {
            outcome.object = Arc::new(outcome.object.at(revision));
        }
        Ok(outcome)
    }

    /// Runs `f` in a transaction; answers the revision of the commit, `None` for a dry run.
    async fn run<T: Send>(
        &self,
        who: &Who,
        dry_run: bool,
        f: impl Fn(&mut Door<'_, '_>) -> Result<T, Error> + Send,
    ) -> Result<(T, Option<Revision>), Error> {
        let (now, seconds) = (self.now(), self.toleration_seconds);
        let committed = self.store.update(move |tx| {
            let value = f(&mut Door::new(tx, who, now, seconds)).map_err(Abort::Refused)?;
            if dry_run { Err(Abort::Dry(value)) } else { Ok(value) }
        });
        match committed.await {
            Ok(committed) => Ok((committed.value, Some(committed.revision))),
            Err(UpdateError::Refused(Abort::Dry(value))) => Ok((value, None)),
            Err(UpdateError::Refused(Abort::Refused(error))) => Err(error),
            Err(UpdateError::Store(error)) => Err(error.into()),
        }
    }
}
