//! A set of objects kept current: list, then watch with bookmarks, for ever.
//!
//! | what happens | what follows |
//! |---|---|
//! | the watch ends or breaks | watch again from the last version seen |
//! | 410 or 504 as an answer, any ERROR event | list again |
//! | the server refuses or cannot be reached | the same again after 50 ms, doubling up to 10 s |
//!
//! A list replaces the set as a whole, so that what vanished meanwhile is gone; every key of the old and of the new set
//! counts as changed.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http_body_util::BodyExt;
use orlop_objects::{Key, Kind, Object};
use serde_json::Value;
use tokio::{sync::watch, task::AbortHandle};

use crate::{Client, Error, client::object, lines::Lines};

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

type Set = BTreeMap<Key, Arc<Object>>;

/// A set of objects kept current by list and watch in a task of its own; the task ends with the last handle.
pub struct Mirror {
    shared: Arc<Shared>,
    /// Ends the task when the last handle goes.
    task: Arc<Task>,
    /// This handle's entry in the pending sets.
    handle: u64,
    /// Woken on every change.
    woken: watch::Receiver<u64>,
}

struct Shared {
    state: Mutex<State>,
    wake: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    set: Option<Arc<Set>>,
    /// What each handle has not been told yet.
    pending: HashMap<u64, Pending>,
    handles: u64,
}

#[derive(Default)]
struct Pending {
    keys: BTreeSet<Key>,
    /// A list came: worth telling even when there was nothing.
    listed: bool,
}

struct Task(AbortHandle);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Mirror {
    pub(crate) fn spawn(client: Client, kind: &'static Kind, query: &[(&str, &str)]) -> Self {
        let query = query.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let (wake, woken) = watch::channel(0);
        let shared = Arc::new(Shared { state: Mutex::new(State::default()), wake });
        let handle = shared.open();
        let follower = Follower { client, kind, query, shared: shared.clone(), version: None };
        let task = Arc::new(Task(tokio::spawn(follower.run()).abort_handle()));
        Self { shared, task, handle, woken }
    }

    /// The current set, or `None` before the first full list.
    pub fn all(&self) -> Option<Arc<Set>> {
        self.shared.lock().set.clone()
    }

    /// One object of the current set.
    pub fn get(&self, key: &Key) -> Option<Arc<Object>> {
        self.shared.lock().set.as_ref()?.get(key).cloned()
    }

    /// Waits for the first full list.
    pub async fn ready(&mut self) -> Arc<Set> {
        loop {
            self.woken.borrow_and_update();
            if let Some(set) = self.all() {
                return set;
            }
            // The sender lives as long as `shared`, which this handle holds.
            let _ = self.woken.changed().await;
        }
    }

    /// Keys that changed since the last call (all of them after each list); an empty answer means that a list came and
    /// there was nothing. Nothing is lost when the future is dropped.
    pub async fn changed(&mut self) -> Vec<Key> {
        loop {
            self.woken.borrow_and_update();
            let pending = self.shared.take(self.handle);
            if pending.listed || !pending.keys.is_empty() {
                return pending.keys.into_iter().collect();
            }
            let _ = self.woken.changed().await;
        }
    }
}

/// A clone has everything before it that there is.
impl Clone for Mirror {
    fn clone(&self) -> Self {
        Self {
            shared: self.shared.clone(),
            task: self.task.clone(),
            handle: self.shared.open(),
            woken: self.woken.clone(),
        }
    }
}

impl Drop for Mirror {
    fn drop(&mut self) {
        self.shared.lock().pending.remove(&self.handle);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // No code that can panic runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self) -> u64 {
        let mut state = self.lock();
        state.handles += 1;
        let handle = state.handles;
        let keys = state.set.iter().flat_map(|set| set.keys().cloned()).collect();
        let listed = state.set.is_some();
        state.pending.insert(handle, Pending { keys, listed });
        handle
    }

    fn take(&self, handle: u64) -> Pending {
        self.lock().pending.get_mut(&handle).map(std::mem::take).unwrap_or_default()
    }

    fn replace(&self, set: Set) {
        let mut state = self.lock();
        let old = state.set.replace(Arc::new(set));
        let new = state.set.clone();
        for pending in state.pending.values_mut() {
            pending.keys.extend(old.iter().chain(&new).flat_map(|set| set.keys().cloned()));
            pending.listed = true;
        }
        drop(state);
        self.wake.send_modify(|n| *n += 1);
    }

    fn apply(&self, change: Change) {
        let mut state = self.lock();
        let Some(set) = state.set.as_mut() else { return };
        let key = match change {
            Change::Put(object) => {
                let key = object.key.clone();
                Arc::make_mut(set).insert(key.clone(), object);
                key
            }
            Change::Gone(key) => {
                Arc::make_mut(set).remove(&key);
                key
            }
        };
        for pending in state.pending.values_mut() {
            pending.keys.insert(key.clone());
        }
        drop(state);
        self.wake.send_modify(|n| *n += 1);
    }
}

enum Change {
    Put(Arc<Object>),
    Gone(Key),
}

/// The task's own state.
struct Follower {
    client: Client,
    kind: &'static Kind,
    query: Vec<(String, String)>,
    shared: Arc<Shared>,
    /// The version seen last; `None` when a list is due.
    version: Option<String>,
}

impl Follower {
    async fn run(mut self) {
        let mut pause = FIRST_PAUSE;
        loop {
            match self.step().await {
                Ok(()) => pause = FIRST_PAUSE,
                Err(error) => {
                    // 410: the version is too old. 504: it has not happened, as after a restore of the store.
                    if matches!(error.code(), Some(410 | 504)) {
                        self.version = None;
                    }
                    tracing::debug!(
                        kind = self.kind.plural,
                        error = &error as &dyn std::error::Error,
                        ?pause,
                        "mirror: trying again"
                    );
                    tokio::time::sleep(pause).await;
                    pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    /// One list, or one watch to its end.
    async fn step(&mut self) -> Result<(), Error> {
        let query: Vec<_> = self.query.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        let Some(version) = self.version.clone() else {
            let (objects, version) = self.client.list_at(self.kind, None, &query).await?;
            self.shared.replace(objects.into_iter().map(|o| (o.key.clone(), Arc::new(o))).collect());
            self.version = Some(version);
            return Ok(());
        };
        let more =
            [("watch", "true"), ("allowWatchBookmarks", "true"), ("resourceVersion", version.as_str())];
        let query: Vec<_> = query.into_iter().chain(more).collect();
        let mut body = self.client.watch(self.kind, &query).await?;
        let (mut lines, mut heard) = (Lines::default(), false);
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else { break };
            let within = frame.data_ref().is_none_or(|piece| lines.push(piece));
            while let Some(line) = lines.next() {
                self.line(&line)?;
                heard = true;
            }
            if !within {
                self.version = None;
                break;
            }
        }
        if heard { Ok(()) } else { Err(silent(self.kind)) }
    }

    /// One event. Whatever cannot be read ends in a new list.
    fn line(&mut self, line: &[u8]) -> Result<(), Error> {
        let mut event: Value = serde_json::from_slice(line).unwrap_or_default();
        let value = event["object"].take();
        let version = value["metadata"]["resourceVersion"].as_str().map(str::to_owned);
        let read = || {
            object(self.kind, &value).map_err(|source| Error::Unreachable {
                operation: "watch",
                path: self.kind.plural.to_owned(),
                source,
            })
        };
        let change = match event["type"].as_str() {
            Some("ADDED" | "MODIFIED") => read().map(|object| Some(Change::Put(Arc::new(object)))),
            Some("DELETED") => read().map(|object| Some(Change::Gone(object.key))),
            Some("BOOKMARK") => Ok(None),
            _ => {
                let code = value["code"].as_u64().and_then(|code| u16::try_from(code).ok()).unwrap_or(410);
                Err(Error::refused(code, value.to_string().as_bytes()))
            }
        };
        match change {
            Ok(change) => {
                change.into_iter().for_each(|change| self.shared.apply(change));
                // An object that only now comes into view may be older than what was seen.
                self.version = newest(version, self.version.take());
                Ok(())
            }
            Err(error) => {
                self.version = None;
                Err(error)
            }
        }
    }
}

/// The newer of two versions; the server gives numbers.
fn newest(a: Option<String>, b: Option<String>) -> Option<String> {
    let number = |version: &Option<String>| version.as_ref().and_then(|text| text.parse::<u64>().ok());
    if number(&a) >= number(&b) { a } else { b }
}

/// A watch that ends without a word counts as a failure, so that a broken server is not asked in a busy loop.
fn silent(kind: &Kind) -> Error {
    Error::Unreachable {
        operation: "watch",
        path: kind.plural.to_owned(),
        source: "the watch ended without an event".into(),
    }
}
