//! One run of a transaction: what it read by key, what it wrote, and whether that keeps the limits.

use std::{collections::BTreeMap, sync::Arc};

use orlop_objects::{Key, Object, Revision};

use crate::{Error, Snapshot, state::Row};

/// Objects that one transaction may write.
const MAX_OBJECTS: usize = 64;
/// Bytes that one transaction may write.
const MAX_BYTES: usize = 1 << 20;

/// A transaction under way: reads its own writes.
pub struct Tx<'a> {
    snapshot: &'a Snapshot,
    reads: BTreeMap<Key, Revision>,
    writes: BTreeMap<Key, Option<Arc<Object>>>,
    lazy: bool,
}

/// What the committer is asked to do: all of `writes`, if everything in `reads` still has its revision.
#[derive(Debug)]
pub(crate) struct Intent {
    /// Keys with the revision that was read; 0 where there was no object.
    pub(crate) reads: Vec<(Key, Revision)>,
    /// Keys with what to put there; `None` deletes.
    pub(crate) writes: Vec<(Key, Option<Row>)>,
    /// Whether it may stay unflushed until the next transaction that is not lazy.
    pub(crate) lazy: bool,
}

impl Intent {
    /// Bytes that it writes.
    pub(crate) fn bytes(&self) -> usize {
        self.writes.iter().filter_map(|(_, row)| row.as_ref()).map(|row| row.object.bytes.len()).sum()
    }
}

impl<'a> Tx<'a> {
    pub(crate) fn new(snapshot: &'a Snapshot) -> Self {
        Self { snapshot, reads: BTreeMap::new(), writes: BTreeMap::new(), lazy: false }
    }

    /// Reads one object; the commit will check that it has not changed.
    pub fn get(&mut self, key: &Key) -> Option<Arc<Object>> {
        if let Some(written) = self.writes.get(key) {
            return written.clone();
        }
        let found = self.snapshot.get(key);
        self.reads.insert(key.clone(), found.as_ref().map_or(0, |object| object.revision));
        found
    }

    /// The snapshot beneath: ranges and indexes, not protected, without this transaction's own writes.
    pub fn snapshot(&self) -> &Snapshot {
        self.snapshot
    }

    /// Writes an object. Writing equal bytes writes nothing.
    pub fn put(&mut self, object: Object) {
        self.writes.insert(object.key.clone(), Some(Arc::new(object)));
    }

    /// Deletes an object. Deleting one that is not there writes nothing.
    pub fn delete(&mut self, key: &Key) {
        self.writes.insert(key.clone(), None);
    }

    /// This transaction need not cause a flush of its own (events).
    pub fn lazy(&mut self) {
        self.lazy = true;
    }

    /// What is left to commit; `None` when nothing changes. A write that changes nothing becomes a read: that nothing
    /// changes is true only as long as what was read is.
    pub(crate) fn finish(self) -> Result<Option<Intent>, Error> {
        let Self { snapshot, mut reads, writes, lazy } = self;
        let mut kept = Vec::with_capacity(writes.len());
        for (key, object) in writes {
            let old = snapshot.0.get(&key);
            if old.map(|old| &old.bytes) == object.as_ref().map(|new| &new.bytes) {
                let revision = old.map_or(0, |old| old.revision);
                reads.entry(key).or_insert(revision);
            } else {
                kept.push((key, object));
            }
        }
        if kept.is_empty() {
            return Ok(None);
        }
        check_limits(&kept)?;
        let writes = kept.into_iter().map(|(key, object)| (key, object.map(Row::new))).collect();
        Ok(Some(Intent { reads: reads.into_iter().collect(), writes, lazy }))
    }
}

fn check_limits(writes: &[(Key, Option<Arc<Object>>)]) -> Result<(), Error> {
    let refuse = |reason| Err(Error::Limits { reason });
    if writes.len() > MAX_OBJECTS {
        return refuse(format!(
            "it writes {} objects, and {MAX_OBJECTS} is the most; split it",
            writes.len()
        ));
    }
    let bytes: usize = writes.iter().filter_map(|(_, object)| object.as_ref()).map(|o| o.bytes.len()).sum();
    if bytes > MAX_BYTES {
        return refuse(format!(
            "it writes {bytes} bytes, and {MAX_BYTES} is the most; make the object smaller"
        ));
    }
    // Keys are sorted by kind first, so two of a kind are neighbours.
    if let Some(pair) = writes.windows(2).find(|pair| pair[0].0.kind == pair[1].0.kind) {
        let (one, two) = (&pair[0].0, &pair[1].0);
        return refuse(format!(
            "it writes {one} and {two}: one transaction writes at most one object of each kind, since a watch that is \
             resumed between two changes of one version would lose the second; use two transactions"
        ));
    }
    Ok(())
}
