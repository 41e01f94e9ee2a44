//! Keys that are due: deduplicated, the earliest deadline wins, and a key is worked on by at most one task at a time.
//!
//! A key that is woken during its run is run again after it. Must not know: what the keys mean.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

/// The queue.
#[derive(Debug)]
pub(crate) struct Queue<K> {
    state: Mutex<State<K>>,
    changed: Notify,
}

#[derive(Debug)]
struct State<K> {
    due: BTreeMap<K, Instant>,
    running: BTreeSet<K>,
}

impl<K: Ord + Clone> Queue<K> {
    pub(crate) fn new() -> Self {
        Self {
            state: Mutex::new(State { due: BTreeMap::new(), running: BTreeSet::new() }),
            changed: Notify::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<K>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes `key` due now.
    pub(crate) fn wake(&self, key: K) {
        self.wake_at(key, Instant::now());
    }

    /// Makes `key` due at `at`, or earlier where it already was.
    pub(crate) fn wake_at(&self, key: K, at: Instant) {
        let mut state = self.lock();
        let due = state.due.entry(key).or_insert(at);
        *due = at.min(*due);
        drop(state);
        self.changed.notify_one();
    }

    /// Waits for a key that is due and not being worked on, and marks it as being worked on.
    pub(crate) async fn next(&self) -> K {
        loop {
            let changed = self.changed.notified();
            match self.take() {
                Ok(key) => return key,
                Err(None) => changed.await,
                Err(Some(at)) => {
                    tokio::select! {
                        () = changed => {}
                        () = sleep_until(at) => {}
                    }
                }
            }
        }
    }

    /// The next key, or when there will be one.
    fn take(&self) -> Result<K, Option<Instant>> {
        let mut state = self.lock();
        let next = state.due.iter().filter(|(k, _)| !state.running.contains(*k)).min_by_key(|(_, at)| **at);
        match next.map(|(k, at)| (k.clone(), *at)) {
            Some((key, at)) if at <= Instant::now() => {
                state.due.remove(&key);
                state.running.insert(key.clone());
                Ok(key)
            }
            Some((_, at)) => Err(Some(at)),
            None => Err(None),
        }
    }

    /// What is being worked on.
    pub(crate) fn running(&self) -> Vec<K> {
        self.lock().running.iter().cloned().collect()
    }

    /// Ends the work on `key`; `again` says when it is due next.
    pub(crate) fn done(&self, key: K, again: Option<Instant>) {
        self.lock().running.remove(&key);
        match again {
            Some(at) => self.wake_at(key, at),
            None => self.changed.notify_one(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_earliest_deadline_wins() {
        let queue = Queue::new();
        let now = Instant::now();
        queue.wake_at("late", now + Duration::from_secs(9));
        queue.wake_at("late", now + Duration::from_secs(2));
        queue.wake_at("early", now + Duration::from_secs(1));
        assert_eq!(queue.next().await, "early");
        assert_eq!(queue.next().await, "late");
        assert_eq!(Instant::now() - now, Duration::from_secs(2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_runs_once_at_a_time_and_again_when_woken_meanwhile() {
        let queue = Queue::new();
        queue.wake("a");
        assert_eq!(queue.next().await, "a");
        queue.wake("a");
        queue.wake("b");
        assert_eq!(queue.next().await, "b");
        assert_eq!(queue.running(), ["a", "b"]);
        assert!(tokio::time::timeout(Duration::from_secs(1), queue.next()).await.is_err());
        queue.done("a", None);
        assert_eq!(queue.next().await, "a");
    }
}
