//! Reads typed objects for a view, all from one snapshot. An object that cannot be read spoils the keys that need it,
//! and no others.

use std::{collections::HashMap, fmt, ops::Deref, sync::Arc, time::Instant};

use orlop_objects::{DecodeError, Key, Object, Typed, index::Index};
use orlop_store::Snapshot;

use crate::Error;

/// An object with its typed view.
#[derive(Clone)]
pub(crate) struct Seen<T> {
    /// The stored object: its key, revision and metadata.
    pub(crate) object: Arc<Object>,
    typed: T,
}

impl<T: Typed> Seen<T> {
    /// Decodes `object`.
    pub(crate) fn new(object: Arc<Object>) -> Result<Self, DecodeError> {
        let typed = object.typed()?;
        Ok(Self { object, typed })
    }
}

impl<T> Seen<T> {
    /// The object's name.
    pub(crate) fn name(&self) -> &str {
        &self.object.meta.name
    }

    /// The object's uid.
    pub(crate) fn uid(&self) -> &str {
        &self.object.meta.uid
    }

    /// Where it lives.
    pub(crate) fn key(&self) -> &Key {
        &self.object.key
    }

    /// Whether its deletion has been asked for.
    pub(crate) fn is_terminating(&self) -> bool {
        self.object.meta.is_terminating()
    }
}

/// Its address and version only: what is in an object (a pod's environment, say) does not belong into logs.
impl<T> fmt::Debug for Seen<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.object.key, self.object.revision)
    }
}

impl<T> Deref for Seen<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.typed
    }
}

/// One snapshot, and what could not be read from it.
pub(crate) struct Reader {
    /// The snapshot.
    pub(crate) snapshot: Snapshot,
    /// When it was taken.
    pub(crate) now: Instant,
    failed: HashMap<Key, Error>,
}

impl Reader {
    /// Reads from `snapshot`.
    pub(crate) fn new(snapshot: Snapshot, now: Instant) -> Self {
        Self { snapshot, now, failed: HashMap::new() }
    }

    /// One object.
    pub(crate) fn get<T: Typed>(&self, key: &Key) -> Result<Option<Seen<T>>, DecodeError> {
        self.snapshot.get(key).map(Seen::new).transpose()
    }

    /// All objects of a kind, where it is known to be a small set (nodes, classes, drivers).
    pub(crate) fn all<T: Typed>(&self) -> Result<Vec<Seen<T>>, DecodeError> {
        self.snapshot.list(T::KIND, None, None).cloned().map(Seen::new).collect()
    }

    /// What an index holds under exactly this entry.
    pub(crate) fn having<T: Typed>(&self, index: Index, entry: &str) -> Result<Vec<Seen<T>>, DecodeError> {
        self.snapshot.having(index, entry).cloned().map(Seen::new).collect()
    }

    /// Gathers the facts about one key; a failure is kept for the worker, which tries that key again later.
    pub(crate) fn about<F>(
        &mut self,
        key: &Key,
        facts: impl FnOnce(&Self) -> Result<F, DecodeError>,
    ) -> Option<F> {
        match facts(self) {
            Ok(facts) => Some(facts),
            Err(source) => {
                let key = key.clone();
                self.failed.insert(key.clone(), Error::Decode { key, source });
                None
            }
        }
    }

    /// The keys that could not be looked at.
    pub(crate) fn into_failed(self) -> impl Iterator<Item = (Key, Error)> {
        self.failed.into_iter()
    }
}
