//! sled behind a log: a commit waits for the log alone, and sled takes over what the log holds when it is full.
//!
//! ```text
//!  apply ─► unsynced ──sync──► log (one write, one fdatasync) ─► waiting ──log full──► sled (flush, fdatasync)
//! ```
//!
//! What waits is laid over what sled has when everything is read, so that opening takes nothing over. A log that is full
//! while the disk is full takes nothing more, and says so before anything is written: sled would stop half-way.
//!
//! sled keeps the epoch of the log whose records it does not have yet. Taking over is a series of small batches, each
//! behind a barrier, the last of which moves the epoch on. A crash between them is harmless: the log still holds
//! everything, and writes are absolute, so that they may be repeated.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use super::{
    Engine, Op, Visit,
    sled::Sled,
    wal::{self, Wal},
};
use crate::{Error, Sync, directory::sync_directory, space};

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
    path: PathBuf,
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

    /// Opens the engine. What the log holds goes on waiting in it.
    pub(crate) fn open(path: &Path, sync: Sync) -> Result<Self, Error> {
        let sled = Sled::open(path, sync)?;
        let epoch = sled.number(EPOCH)?;
        let (wal, records) = Wal::open(&path.join(WAL_FILE), epoch, sync)?;
        let waiting = records.into_iter().flatten().map(|op| (op.key, op.value)).collect();
        Ok(Self { path: path.to_owned(), sled, wal, unsynced: Vec::new(), waiting })
    }

    /// Lets sled take over what waits, and empties the log.
    fn take_over(&mut self) -> Result<(), Error> {
        let next = self.wal.epoch() + 1;
        let (mut batch, mut bytes) = (Vec::new(), 0);
        for (key, value) in std::mem::take(&mut self.waiting) {
            let op = Op { key, value };
            bytes += op.size();
            batch.push(op);
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
        let mut newer = self.waiting.iter().peekable();
        self.sled.load(&mut |key, value| {
            while let Some((new, written)) = newer.next_if(|(new, _)| new.as_str() < key) {
                visit(new, written.as_deref(), each)?;
            }
            match newer.next_if(|(new, _)| *new == key) {
                Some((_, written)) => visit(key, written.as_deref(), each),
                None => each(key, value),
            }
        })?;
        newer.try_for_each(|(key, written)| visit(key, written.as_deref(), each))
    }

    fn room(&self, bytes: usize) -> Result<(), Error> {
        let unsynced: usize = self.unsynced.iter().map(Op::size).sum();
        if self.wal.has_room(unsynced + bytes) { Ok(()) } else { space::ensure(&self.path) }
    }

    fn apply(&mut self, ops: Vec<Op>) -> Result<(), Error> {
        self.unsynced.extend(ops);
        let bytes: usize = self.unsynced.iter().map(Op::size).sum();
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

/// Hands over what is there.
fn visit(key: &str, written: Option<&[u8]>, each: &mut Visit<'_>) -> Result<(), Error> {
    written.map_or(Ok(()), |value| each(key, value))
}

#[cfg(test)]
mod tests;
