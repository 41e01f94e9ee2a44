//! Snapshots of the past, for lists that are continued.
//!
//! | a snapshot is kept | for | at most |
//! |---|---|---|
//! | because it was published | 5 minutes | 64 of them, and 8 MiB of objects that only they still hold |
//! | because a continue token names it | 5 minutes | 64 of them |

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use orlop_objects::Revision;

use crate::state::State;

const KEEP_FOR: Duration = Duration::from_secs(5 * 60);
const KEEP_COUNT: usize = 64;
const KEEP_BYTES: usize = 8 << 20;

#[derive(Debug)]
struct Kept {
    state: Arc<State>,
    at: Instant,
    /// Bytes that the next commit replaced or deleted.
    bytes: usize,
}

/// Past states, oldest first.
#[derive(Debug, Default)]
pub(crate) struct History {
    published: VecDeque<Kept>,
    named: VecDeque<Kept>,
}

impl History {
    /// Keeps the state that is being replaced by one that frees `bytes`.
    pub(crate) fn replaced(&mut self, state: Arc<State>, bytes: usize, now: Instant) {
        self.published.push_back(Kept { state, at: now, bytes });
        self.trim(now);
    }

    /// Keeps a state because a continue token names it.
    pub(crate) fn name(&mut self, state: Arc<State>, now: Instant) {
        self.named.retain(|kept| kept.state.revision != state.revision);
        self.named.push_back(Kept { state, at: now, bytes: 0 });
        self.trim(now);
    }

    /// The state at exactly `revision`, if it is still kept.
    pub(crate) fn at(&self, revision: Revision, now: Instant) -> Option<Arc<State>> {
        let fresh = |kept: &&Kept| now.duration_since(kept.at) <= KEEP_FOR;
        let mut all = self.named.iter().chain(&self.published).filter(fresh);
        all.find(|kept| kept.state.revision == revision).map(|kept| kept.state.clone())
    }

    /// The oldest revision that is kept.
    pub(crate) fn oldest(&self) -> Option<Revision> {
        self.named.iter().chain(&self.published).map(|kept| kept.state.revision).min()
    }

    fn trim(&mut self, now: Instant) {
        for list in [&mut self.published, &mut self.named] {
            let mut bytes: usize = list.iter().map(|kept| kept.bytes).sum();
            while list.front().is_some_and(|kept| {
                list.len() > KEEP_COUNT || bytes > KEEP_BYTES || now.duration_since(kept.at) > KEEP_FOR
            }) {
                bytes -= list.pop_front().map_or(0, |kept| kept.bytes);
            }
        }
    }
}
