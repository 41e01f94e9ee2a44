//! sled behind a log: a commit waits for the log alone, and sled takes over what the log holds when it is full.
//!
//! ```text
//!  apply ─► unsynced ──sync──► log (one write, one fdatasync) ─► waiting ──log full──► sled (flush, fdatasync)
//! ```
//!
//! sled keeps the epoch of the log whose records it does not have yet. Taking over is a series of small batches, each
//! behind a barrier, the last of which moves the epoch on. A crash between them is harmless: the log still holds
//! everything, and writes are absolute, so that they may be repeated.

use std::{collections::BTreeMap, path::Path};

use super::{
    Engine, Op, Visit,
    sled::Sled,
    wal::{self, Wal},
};
use crate::{Error, Sync, directory::sync_directory};

const WAL_FILE: &str = "wal";
/// Behind NUL: among sled's own keys, which `load` does not hand over.
const EPOCH: &str = "\0epoch";
/// What sled takes over behind one barrier.
const TAKE_BYTES: usize = 1 << 20;
/// What may wait for a barrier: together with the largest batch it fits into the log.
const MAX_UNSYNCED: usize = 2 << 20;
const _: () = assert!(MAX_UNSYNCED + (5 << 20) < wal::SIZE);

/// The engine.
#[derive(Debug)]
pub(crate) struct Logged {
    sled: Sled,
    wal: Wal,
    /// Applied, and not on disk.
    unsynced: Vec<Op>,
    /// In the log, and not in sled.
    waiting: BTreeMap<String, Option<Vec<u8>>>,
}

impl Logged {
    /// Makes an empty engine that outlives a power cut.
    pub(crate) fn create(path: &Path) -> Result<(), Error> {
        Sled::create(path)?;
        Wal::create(&path.join(WAL_FILE))?;
        sync_directory(path)
    }

    /// Opens the engine, and lets sled take over what the log holds.
    pub(crate) fn open(path: &Path, sync: Sync) -> Result<Self, Error> {
        let mut sled = Sled::open(path, sync)?;
        let epoch = sled.number(EPOCH)?;
        let (wal, records) = Wal::open(&path.join(WAL_FILE), epoch, sync)?;
        let waiting: BTreeMap<_, _> = records.into_iter().flatten().map(|op| (op.key, op.value)).collect();
        for key in waiting.keys() {
            sled.learn(key)?;
        }
        let mut engine = Self { sled, wal, unsynced: Vec::new(), waiting };
        if !engine.waiting.is_empty() {
            engine.take_over()?;
        }
        Ok(engine)
    }

    /// Lets sled take over what waits, and empties the log.
    fn take_over(&mut self) -> Result<(), Error> {
        let next = self.wal.epoch() + 1;
        let (mut batch, mut bytes) = (Vec::new(), 0);
        for (key, value) in std::mem::take(&mut self.waiting) {
            bytes += size(&key, value.as_deref());
            batch.push(Op { key, value });
            if bytes >= TAKE_BYTES {
                self.sled.apply(std::mem::take(&mut batch))?;
                self.sled.sync()?;
                bytes = 0;
            }
        }
        batch.push(Op { key: EPOCH.to_owned(), value: Some(next.to_be_bytes().to_vec()) });
        self.sled.apply(batch)?;
        self.sled.sync()?;
        self.wal.restart(next);
        Ok(())
    }
}

impl Engine for Logged {
    fn load(&mut self, each: &mut Visit<'_>) -> Result<(), Error> {
        self.sled.load(each)
    }

    fn apply(&mut self, ops: Vec<Op>) -> Result<(), Error> {
        self.unsynced.extend(ops);
        let bytes: usize = self.unsynced.iter().map(|op| size(&op.key, op.value.as_deref())).sum();
        if bytes > MAX_UNSYNCED { self.sync() } else { Ok(()) }
    }

    fn sync(&mut self) -> Result<(), Error> {
        if self.unsynced.is_empty() {
            return Ok(());
        }
        if !self.wal.append(&self.unsynced)? {
            self.take_over()?;
            if !self.wal.append(&self.unsynced)? {
                return Err(Error::engine("write", "a batch is larger than the log"));
            }
        }
        self.waiting.extend(self.unsynced.drain(..).map(|op| (op.key, op.value)));
        Ok(())
    }
}

/// Bytes that a write takes.
fn size(key: &str, value: Option<&[u8]>) -> usize {
    key.len() + value.map_or(0, <[u8]>::len) + 16
}

#[cfg(test)]
mod tests;
