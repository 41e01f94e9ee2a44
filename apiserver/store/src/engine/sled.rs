//! The embedded engine: sled 0.34.7 with its traps closed.
//!
//! - `flush` does not sync on Linux: every barrier is followed by an `fdatasync` of our own on its data file.
//! - Large pages go to files that are never synced: segments are 8 MiB, and large values come in pieces ([`chunks`]).
//! - Its background thread is off: it would write and free segments between our barriers. Space is still given back,
//!   since every page that sled rewrites makes it rewrite one out of a sparse segment too.
//! - Opening a damaged file panics: the panic becomes an error.
//! - Its lock may outlive the last handle by a moment, held by one of its threads: opening waits for it. That no other
//!   process uses the directory is ensured by `Directory` before.

use std::{
    fs::File,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    time::{Duration, Instant},
};

use super::{
    Engine, Op, Visit,
    chunks::{self, FIRST_KEY, Large, Stored},
};
use crate::{
    Error, Sync,
    committer::words,
    directory::{failed, sync_directory},
    space,
};

/// Fixed for the life of a directory.
const SEGMENT: usize = 8 << 20;
/// Everything is read once, at the start; what is written later needs the pages it touches, and no more.
const CACHE: u64 = 2 << 20;
/// How long sled's own threads may hold its lock after the last handle is gone.
const LOCK_PATIENCE: Duration = Duration::from_secs(10);
/// A sled database in a directory of its own.
#[derive(Debug)]
pub(crate) struct Sled {
    tree: sled::Db,
    data: File,
    large: Large,
    sync: Sync,
}

impl Sled {
    /// Opens the engine in `path`, or makes one.
    pub(crate) fn open(path: &Path, sync: Sync) -> Result<Self, Error> {
        remove_drafts(path)?;
        let config = sled::Config::new()
            .path(path)
            .segment_size(SEGMENT)
            .cache_capacity(CACHE)
            .flush_every_ms(None)
            .mode(sled::Mode::HighThroughput);
        let tree = open_patiently(&config, path)?;
        let data_path = path.join("db");
        let data = File::open(&data_path).map_err(failed("open", &data_path))?;
        Ok(Self { tree, data, large: Large::default(), sync })
    }

    /// Makes an empty engine that outlives a power cut, the names of its files included.
    pub(crate) fn create(path: &Path) -> Result<(), Error> {
        let made = Self::open(path, Sync::Data)?;
        made.flush()?;
        for entry in std::fs::read_dir(path).map_err(failed("read", path))? {
            let path = entry.map_err(failed("read", path))?.path();
            File::open(&path).and_then(|file| file.sync_all()).map_err(failed("sync", &path))?;
        }
        sync_directory(path)
    }

    /// The number under `key`; 0 where there is none.
    pub(crate) fn number(&self, key: &str) -> Result<u64, Error> {
        let stored = self.tree.get(key).map_err(|e| Error::engine("read", e))?;
        match stored.as_deref().map(chunks::parse) {
            None => Ok(0),
            Some(Some(Stored::Whole(number))) if number.len() == 8 => {
                Ok(number.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)))
            }
            Some(_) => Err(Error::engine("read", format!("the record {key:?} is damaged"))),
        }
    }

    fn flush(&self) -> Result<(), Error> {
        self.tree.flush().map(drop).map_err(|e| Error::engine("flush", e))
    }
}

impl Engine for Sled {
    fn load(&mut self, each: &mut Visit<'_>) -> Result<(), Error> {
        let (tree, large) = (&self.tree, &mut self.large);
        let read = AssertUnwindSafe(|| {
            for entry in tree.range(FIRST_KEY..) {
                let (key, stored) = entry.map_err(|e| Error::engine("read", e))?;
                let key = std::str::from_utf8(&key).map_err(|e| Error::engine("read", e))?;
                let damaged = || Error::engine("read", format!("the record {key} is damaged"));
                match chunks::parse(&stored).ok_or_else(damaged)? {
                    Stored::Whole(value) => each(key, value)?,
                    Stored::Pieces(count) => {
                        let value = join_pieces(tree, key, count)?.ok_or_else(damaged)?;
                        large.found(key, count);
                        each(key, &value)?;
                    }
                }
            }
            Ok(())
        });
        catch_unwind(read).unwrap_or_else(|panic| Err(Error::engine("read", words(&*panic))))
    }

    fn apply(&mut self, ops: Vec<Op>) -> Result<(), Error> {
        let mut raw = Vec::with_capacity(ops.len());
        for op in ops {
            self.large.write(op, &mut raw);
        }
        let mut batch = sled::Batch::default();
        for (key, value) in raw {
            match value {
                Some(value) => batch.insert(key, value),
                None => batch.remove(key),
            }
        }
        self.tree.apply_batch(batch).map_err(|e| Error::engine("write", e))
    }

    fn sync(&mut self) -> Result<(), Error> {
        self.flush()?;
        match self.sync {
            Sync::Data => self.data.sync_data().map_err(|e| Error::engine("sync", e)),
            Sync::None => Ok(()),
        }
    }
}

fn join_pieces(tree: &sled::Db, key: &str, count: u32) -> Result<Option<Vec<u8>>, Error> {
    let mut value = Vec::with_capacity(count as usize * chunks::PIECE);
    for n in 0..count {
        match tree.get(chunks::piece_key(key, n)).map_err(|e| Error::engine("read", e))? {
            Some(piece) => value.extend_from_slice(&piece),
            None => return Ok(None),
        }
    }
    Ok(Some(value))
}

/// sled overwrites a draft of its snapshot without emptying it first: one that a crash has left may be longer.
fn remove_drafts(path: &Path) -> Result<(), Error> {
    let Ok(entries) = std::fs::read_dir(path) else {
        return Ok(());
    };
    for entry in entries {
        let path = entry.map_err(failed("read", path))?.path();
        if path.extension().is_some_and(|extension| extension == "generating") {
            std::fs::remove_file(&path).map_err(failed("remove", &path))?;
        }
    }
    Ok(())
}

fn open_patiently(config: &sled::Config, path: &Path) -> Result<sled::Db, Error> {
    let started = Instant::now();
    loop {
        let opened = catch_unwind(AssertUnwindSafe(|| config.open()));
        let error = match opened {
            Ok(Ok(tree)) => return Ok(tree),
            Ok(Err(e)) => e,
            Err(panic) => return Err(damaged(path, &words(&*panic))),
        };
        let locked = matches!(&error, sled::Error::Io(e) if e.to_string().contains("could not acquire lock"));
        if !locked || started.elapsed() > LOCK_PATIENCE {
            return Err(damaged(path, &error.to_string()));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn damaged(path: &Path, why: &str) -> Error {
    let advice = match space::ensure(path) {
        Ok(()) => "if the disk is sound, restore the store's directory from a copy".to_owned(),
        Err(full) => full.to_string(),
    };
    Error::engine("open", format!("{}: {why}: {advice}", path.display()))
}

#[cfg(test)]
mod tests;
