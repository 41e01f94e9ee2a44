//! What one batch of transactions comes to: pure, so that its table can be tested without a thread or a disk.
//!
//! | the transaction | verdict |
//! |---|---|
//! | a key it read has another revision now, in the published state | conflict |
//! | a key it read was written by an earlier transaction of the same batch | conflict |
//! | deletes only what is gone by now | unchanged |
//! | anything else | the next revision, all its writes |
//! | all committed ones are lazy | no flush |

use std::sync::Arc;

use orlop_objects::{Key, Revision};

use crate::{
    engine::Op,
    layout,
    ring::Change,
    state::{Row, State},
    tx::Intent,
};

/// What became of one transaction of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Written at this revision.
    Committed(Revision),
    /// Nothing was left to write.
    Unchanged(Revision),
    /// Something it read has changed since.
    Conflict,
}

/// The outcome of a batch, before any of it is on disk.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The state to publish.
    pub(crate) state: State,
    /// What the engine has to write, all or nothing.
    pub(crate) ops: Vec<Op>,
    /// What watchers are told, in revision order.
    pub(crate) changes: Vec<Arc<Change>>,
    /// Whether a transaction that is not lazy is among them.
    pub(crate) must_flush: bool,
}

impl Plan {
    /// An empty plan on top of the published state.
    pub(crate) fn new(published: &State) -> Self {
        Self { state: published.clone(), ops: Vec::new(), changes: Vec::new(), must_flush: false }
    }

    /// Adds one transaction, if it still holds.
    pub(crate) fn admit(&mut self, intent: Intent) -> Verdict {
        if intent.reads.iter().any(|(key, revision)| self.state.revision_of(key) != *revision) {
            return Verdict::Conflict;
        }
        let revision = self.state.revision + 1;
        let before = self.changes.len();
        for (key, row) in intent.writes {
            match row {
                Some(row) => self.put(row, revision),
                None => self.delete(key, revision),
            }
        }
        if self.changes.len() == before {
            return Verdict::Unchanged(self.state.revision);
        }
        self.state.revision = revision;
        self.must_flush |= !intent.lazy;
        Verdict::Committed(revision)
    }

    fn put(&mut self, mut row: Row, revision: Revision) {
        Arc::make_mut(&mut row.object).revision = revision;
        let new = row.object.clone();
        let old = self.state.put(&row);
        self.ops.push(Op { key: layout::key(&new.key), value: Some(layout::encode(&new)) });
        self.changes.push(Arc::new(Change { key: new.key.clone(), revision, old, new: Some(new) }));
    }

    fn delete(&mut self, key: Key, revision: Revision) {
        let Some(old) = self.state.delete(&key) else {
            return;
        };
        self.ops.push(Op { key: layout::key(&key), value: None });
        self.changes.push(Arc::new(Change { key, revision, old: Some(old), new: None }));
    }
}

#[cfg(test)]
mod tests;
