//! What readers and the committer share: the published state, the rings, the subscribers, the reason for a stop.
//!
//! Only the committer publishes; a reader that holds the rings' lock sees state and rings of the same revision.

use std::{
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Instant,
};

use arc_swap::ArcSwap;

use crate::{
    Error,
    changes::Subscribers,
    history::History,
    ring::{Change, Rings},
    state::State,
};

/// Everything but the way to write.
#[derive(Debug)]
pub(crate) struct Shared {
    state: ArcSwap<State>,
    rings: Mutex<Rings>,
    history: Mutex<History>,
    pub(crate) subscribers: Subscribers,
    stopped: OnceLock<Arc<str>>,
}

impl Shared {
    /// Starts with what the engine held.
    pub(crate) fn new(state: State) -> Self {
        Self {
            rings: Mutex::new(Rings::new(state.revision)),
            state: ArcSwap::from_pointee(state),
            history: Mutex::default(),
            subscribers: Subscribers::default(),
            stopped: OnceLock::new(),
        }
    }

    /// The published state.
    pub(crate) fn state(&self) -> Arc<State> {
        self.state.load_full()
    }

    /// The rings, locked. Held for a few comparisons and pointer copies only.
    pub(crate) fn rings(&self) -> MutexGuard<'_, Rings> {
        self.rings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The past, locked.
    pub(crate) fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets everybody see what is on disk now.
    pub(crate) fn publish(&self, state: State, changes: &[Arc<Change>]) {
        let now = Instant::now();
        let revision = state.revision;
        let freed = changes.iter().filter_map(|c| c.old.as_ref()).map(|old| old.bytes.len()).sum();
        {
            let mut rings = self.rings();
            let before = self.state.swap(Arc::new(state));
            self.history().replaced(before, freed, now);
            rings.publish(changes, revision, now);
        }
        self.subscribers.tell(changes);
    }

    /// Writes have stopped for good, for this reason. The first reason stays.
    pub(crate) fn stop(&self, reason: &str) {
        let _ = self.stopped.set(reason.into());
    }

    /// `Err` with the reason once writes have stopped.
    pub(crate) fn health(&self) -> Result<(), Error> {
        self.stopped.get().map_or(Ok(()), |reason| Err(Error::Unavailable { reason: reason.clone() }))
    }
}
