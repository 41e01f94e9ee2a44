//! What the store needs of an engine: ordered keys, atomic batches, and a real barrier.
//!
//! Engines know bytes only. All of them pass the same conformance suite (`conformance.rs`).
//!
//! | engine | used | what a commit waits for |
//! |---|---|---|
//! | [`memory`] | in tests, and as their model | nothing |
//! | [`sled`] | behind the log | a write, `sync_file_range` and `fdatasync`, by way of sled's threads |
//! | [`logged`] | on disk: a log ([`wal`]) with sled behind it | one write in place and one `fdatasync` |

use crate::Error;

pub(crate) mod chunks;
pub(crate) mod logged;
pub(crate) mod memory;
pub(crate) mod sled;
pub(crate) mod wal;

/// One write of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Op {
    /// UTF-8, parts joined by `/`.
    pub(crate) key: String,
    /// What to put there; `None` deletes.
    pub(crate) value: Option<Vec<u8>>,
}

impl Op {
    /// Bytes that it takes, at most.
    pub(crate) fn size(&self) -> usize {
        self.key.len() + self.value.as_ref().map_or(0, Vec::len) + 16
    }
}

/// What is called with every key and its value.
pub(crate) type Visit<'a> = dyn FnMut(&str, &[u8]) -> Result<(), Error> + 'a;

/// A place for bytes. Only one thread uses it.
pub(crate) trait Engine: Send {
    /// Hands over every key with its value, in key order. Called once, before any write.
    fn load(&mut self, each: &mut Visit<'_>) -> Result<(), Error>;

    /// Whether a batch of `bytes` more can be written. A refusal changes nothing: what is asked again later, when the
    /// machine has room again, is asked as if for the first time.
    fn room(&self, _bytes: usize) -> Result<(), Error> {
        Ok(())
    }

    /// Writes all of `ops` or none. After a crash an unsynced batch is there as a whole or not at all.
    fn apply(&mut self, ops: Vec<Op>) -> Result<(), Error>;

    /// Returns once every batch applied so far outlives a power cut.
    fn sync(&mut self) -> Result<(), Error>;
}

#[cfg(test)]
mod conformance;
