//! What a watcher holds: a cursor into the ring of one kind.

use std::{collections::VecDeque, sync::Arc};

use orlop_objects::{Kind, Revision};
use tokio::sync::watch;

use crate::{
    Error,
    ring::{Change, Found, WatcherId},
    shared::Shared,
};

/// A stream of changes.
pub struct Watch {
    shared: Arc<Shared>,
    kind: &'static Kind,
    id: WatcherId,
    wake: watch::Receiver<()>,
    /// Everything up to here is in `taken` or was returned.
    cursor: Revision,
    taken: VecDeque<Arc<Change>>,
}

impl Watch {
    pub(crate) fn new(shared: Arc<Shared>, kind: &'static Kind, from: Revision) -> Result<Self, Error> {
        let (id, wake) = shared.rings().join(kind, from)?;
        Ok(Self { shared, kind, id, wake, cursor: from, taken: VecDeque::new() })
    }

    /// The next change, in revision order. `None` when the watcher was too slow (1 MiB of backlog) or the store closed.
    pub async fn next(&mut self) -> Option<Change> {
        loop {
            if let Some(change) = self.taken.pop_front() {
                return Some(Change::clone(&change));
            }
            self.wake.mark_unchanged();
            let found = self.shared.rings().take(self.kind, self.id, self.cursor);
            match found {
                Found::Some(changes) => self.taken = changes.into(),
                Found::NothingUpTo(revision) => {
                    self.cursor = revision;
                    // An error says that the ring is gone, and then `take` answers `End`.
                    let _ = self.wake.changed().await;
                }
                Found::End => return None,
            }
            self.cursor = self.taken.back().map_or(self.cursor, |change| change.revision);
        }
    }

    /// The newest revision all of whose changes `next` has returned: what a bookmark may carry.
    pub fn seen(&self) -> Revision {
        match self.taken.front() {
            Some(change) => change.revision - 1,
            None => self.shared.rings().clear_up_to(self.kind, self.cursor),
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.shared.rings().leave(self.kind, self.id);
    }
}
