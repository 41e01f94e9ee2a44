//! What in-process consumers get: the set of keys that have changed since they last looked.
//!
//! A set can neither lag nor overflow: a key that changes a thousand times is in it once.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use orlop_objects::{Key, Kind};
use tokio::sync::Notify;

use crate::ring::Change;

#[derive(Debug)]
struct Subscriber {
    kinds: Vec<&'static Kind>,
    keys: Mutex<BTreeSet<Key>>,
    some: Notify,
}

impl Subscriber {
    fn keys(&self) -> MutexGuard<'_, BTreeSet<Key>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A set of keys that have changed.
#[derive(Debug)]
pub struct Changes(Arc<Subscriber>);

impl Changes {
    /// Waits until there are some, and takes them all. Waits for ever once the store is closed.
    pub async fn next(&mut self) -> Vec<Key> {
        loop {
            let keys = std::mem::take(&mut *self.0.keys());
            if !keys.is_empty() {
                return keys.into_iter().collect();
            }
            // A wake-up between the look and the wait is kept by `Notify` as a permit.
            self.0.some.notified().await;
        }
    }
}

/// Everybody who wants to know.
#[derive(Debug, Default)]
pub(crate) struct Subscribers(Mutex<Vec<Weak<Subscriber>>>);

impl Subscribers {
    /// Adds one, for some kinds.
    pub(crate) fn add(&self, kinds: &[&'static Kind]) -> Changes {
        let subscriber =
            Arc::new(Subscriber { kinds: kinds.to_vec(), keys: Mutex::default(), some: Notify::new() });
        self.list().push(Arc::downgrade(&subscriber));
        Changes(subscriber)
    }

    /// Tells all whom these changes concern.
    pub(crate) fn tell(&self, changes: &[Arc<Change>]) {
        self.list().retain(|subscriber| {
            let Some(subscriber) = subscriber.upgrade() else {
                return false;
            };
            let keys = changes.iter().map(|change| &change.key);
            let mut concerned = keys.filter(|key| subscriber.kinds.contains(&key.kind)).peekable();
            if concerned.peek().is_some() {
                subscriber.keys().extend(concerned.cloned());
                subscriber.some.notify_one();
            }
            true
        });
    }

    fn list(&self) -> MutexGuard<'_, Vec<Weak<Subscriber>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
