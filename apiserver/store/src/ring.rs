//! The recent changes of each kind, and the watchers that follow them.
//!
//! One ring per kind. A watcher is a cursor into it, not a queue: publishing costs the same however many watch, and a
//! slow watcher costs no memory. At most one change per revision is in a ring (a transaction writes at most one object
//! of each kind), so a revision names a position.
//!
//! | a change leaves its ring when | because |
//! |---|---|
//! | more than 1,000 newer ones are in it, and it is older than 5 minutes | nobody needs it to resume |
//! | all rings together hold more than 32 MiB, and it is the oldest of all | memory |
//!
//! | a watcher ends when | because |
//! |---|---|
//! | more than 1 MiB was waiting for it before the newest flush | it is too slow; what it joined with does not count |
//! | its next change has left the ring | it would have a gap |
//! | the store is closed, and it has had everything | there will be no more |

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use orlop_objects::{Key, Kind, Object, Revision};
use tokio::sync::watch;

use crate::Error;

const KEEP_CHANGES: usize = 1000;
const KEEP_FOR: Duration = Duration::from_secs(5 * 60);
const KEEP_BYTES: usize = 32 << 20;
const MAX_BACKLOG: u64 = 1 << 20;
/// What one change costs beside its objects.
const OVERHEAD: usize = 256;
/// How many changes a watcher takes out under one lock.
const TAKE_CHANGES: usize = 64;

/// One change as watchers get it.
#[derive(Clone, Debug)]
pub struct Change {
    /// The object's key.
    pub key: Key,
    /// The commit.
    pub revision: Revision,
    /// The version before; `None` when created.
    pub old: Option<Arc<Object>>,
    /// The version after; `None` when deleted.
    pub new: Option<Arc<Object>>,
}

impl Change {
    fn bytes(&self) -> usize {
        let sides = [&self.old, &self.new];
        OVERHEAD + sides.into_iter().flatten().map(|object| object.bytes.len()).sum::<usize>()
    }
}

/// Names one watcher of a ring.
pub(crate) type WatcherId = u64;

#[derive(Debug)]
struct Entry {
    change: Arc<Change>,
    at: Instant,
    bytes: usize,
    /// Bytes that had ever been appended to the ring, this change included.
    end: u64,
}

/// How far one watcher has got.
#[derive(Debug)]
struct Progress {
    /// The ring's `appended` up to which nothing counts as backlog: what was there on joining, then what was taken.
    had: u64,
    closed: bool,
}

#[derive(Debug)]
struct Ring {
    entries: VecDeque<Entry>,
    /// The newest revision that has left the ring; before any has, where the store was opened.
    dropped: Revision,
    appended: u64,
    watchers: BTreeMap<WatcherId, Progress>,
    wake: watch::Sender<()>,
}

/// What a watcher finds when it looks.
#[derive(Debug)]
pub(crate) enum Found {
    /// The next changes, in order.
    Some(Vec<Arc<Change>>),
    /// Nothing up to this revision.
    NothingUpTo(Revision),
    /// There will be no more.
    End,
}

/// All rings.
#[derive(Debug)]
pub(crate) struct Rings {
    rings: BTreeMap<&'static Kind, Ring>,
    bytes: usize,
    opened_at: Revision,
    published: Revision,
    next_watcher: WatcherId,
    closed: bool,
}

impl Rings {
    /// Empty rings of a store that was opened at `revision`: what happened before is not known.
    pub(crate) fn new(revision: Revision) -> Self {
        Self {
            rings: BTreeMap::new(),
            bytes: 0,
            opened_at: revision,
            published: revision,
            next_watcher: 0,
            closed: false,
        }
    }

    /// Appends what one flush brought, and wakes those who wait for it.
    pub(crate) fn publish(&mut self, changes: &[Arc<Change>], revision: Revision, now: Instant) {
        self.rings.values_mut().for_each(Ring::close_slow);
        self.published = revision;
        for change in changes {
            let bytes = change.bytes();
            self.ring(change.key.kind).append(change.clone(), bytes, now);
            self.bytes += bytes;
        }
        self.trim(now);
        let kinds: BTreeSet<_> = changes.iter().map(|change| change.key.kind).collect();
        for kind in kinds {
            self.ring(kind).wake.send_replace(());
        }
    }

    /// Ends all watchers once they have had everything.
    pub(crate) fn close(&mut self) {
        self.closed = true;
        self.rings.values().for_each(|ring| {
            ring.wake.send_replace(());
        });
    }

    /// Lets a watcher in behind `from`.
    pub(crate) fn join(
        &mut self,
        kind: &'static Kind,
        from: Revision,
    ) -> Result<(WatcherId, watch::Receiver<()>), Error> {
        let newest = self.published;
        self.next_watcher += 1;
        let id = self.next_watcher;
        let ring = self.ring(kind);
        if from > newest {
            return Err(Error::Future { asked: from, newest });
        }
        if from < ring.dropped {
            return Err(Error::Expired { asked: from, oldest: ring.dropped });
        }
        ring.watchers.insert(id, Progress { had: ring.appended, closed: false });
        Ok((id, ring.wake.subscribe()))
    }

    /// Lets a watcher out.
    pub(crate) fn leave(&mut self, kind: &'static Kind, id: WatcherId) {
        self.ring(kind).watchers.remove(&id);
    }

    /// The next changes behind `cursor`.
    pub(crate) fn take(&mut self, kind: &'static Kind, id: WatcherId, cursor: Revision) -> Found {
        let (published, closed) = (self.published, self.closed);
        let ring = self.ring(kind);
        let Some(progress) = ring.watchers.get_mut(&id).filter(|p| !p.closed) else {
            return Found::End;
        };
        if cursor < ring.dropped {
            return Found::End;
        }
        let first = ring.entries.partition_point(|entry| entry.change.revision <= cursor);
        let taken: Vec<&Entry> = ring.entries.range(first..).take(TAKE_CHANGES).collect();
        match taken.last() {
            Some(last) => {
                progress.had = progress.had.max(last.end);
                Found::Some(taken.into_iter().map(|entry| entry.change.clone()).collect())
            }
            None if closed => Found::End,
            None => Found::NothingUpTo(published),
        }
    }

    /// The newest revision up to which nothing is waiting behind `cursor`.
    pub(crate) fn clear_up_to(&self, kind: &'static Kind, cursor: Revision) -> Revision {
        let Some(ring) = self.rings.get(kind) else {
            return self.published.max(cursor);
        };
        if cursor < ring.dropped {
            return cursor;
        }
        let first = ring.entries.partition_point(|entry| entry.change.revision <= cursor);
        ring.entries.get(first).map_or(self.published.max(cursor), |entry| entry.change.revision - 1)
    }

    fn ring(&mut self, kind: &'static Kind) -> &mut Ring {
        let opened_at = self.opened_at;
        self.rings.entry(kind).or_insert_with(|| Ring {
            entries: VecDeque::new(),
            dropped: opened_at,
            appended: 0,
            watchers: BTreeMap::new(),
            wake: watch::Sender::new(()),
        })
    }

    fn trim(&mut self, now: Instant) {
        for ring in self.rings.values_mut() {
            self.bytes -= ring.drop_old(now);
        }
        while self.bytes > KEEP_BYTES {
            let fullest = self.rings.values_mut().filter(|ring| !ring.entries.is_empty());
            let Some(ring) = fullest.min_by_key(|ring| ring.entries[0].change.revision) else {
                return;
            };
            self.bytes -= ring.drop_first();
        }
    }
}

impl Ring {
    fn append(&mut self, change: Arc<Change>, bytes: usize, now: Instant) {
        self.appended += bytes as u64;
        self.entries.push_back(Entry { change, at: now, bytes, end: self.appended });
    }

    fn close_slow(&mut self) {
        for progress in self.watchers.values_mut() {
            progress.closed |= self.appended - progress.had > MAX_BACKLOG;
        }
    }

    fn drop_old(&mut self, now: Instant) -> usize {
        let mut bytes = 0;
        while self.entries.len() > KEEP_CHANGES && now.duration_since(self.entries[0].at) > KEEP_FOR {
            bytes += self.drop_first();
        }
        bytes
    }

    fn drop_first(&mut self) -> usize {
        let Some(entry) = self.entries.pop_front() else {
            return 0;
        };
        self.dropped = entry.change.revision;
        entry.bytes
    }
}

#[cfg(test)]
mod tests;
