//! The embedded engine: sled 0.34.7 with its traps closed.
//!
//! - `flush` does not sync on Linux: every barrier is followed by an `fdatasync` of our own on its data file.
//! - Large pages go to files that are never synced: segments are 8 MiB, and large values come in pieces ([`chunks`]).
//! - Its background thread, which would also clean up, is off (it writes and frees segments between our barriers):
//!   space is given back by copying what lives into a new engine directory once the file has grown far beyond it.
//! - Opening a damaged file panics: the panic becomes an error.
//! - Its lock may outlive the last handle by a moment, held by one of its threads: opening waits for it. That no other
//!   process uses the directory is ensured by [`Directory`] before.

use std::{
    fs::File,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Engine, Op,
    chunks::{self, FIRST_KEY, Large, Stored},
};
use crate::{
    Error, Options, Sync,
    committer::words,
    directory::{Format, failed, sync_directory},
    files::Files,
};

/// Fixed for the life of a directory.
const SEGMENT: usize = 8 << 20;
/// Everything is read once, at the start; what is written later needs the pages it touches, and no more.
const CACHE: u64 = 2 << 20;
/// How long sled's own threads may hold its lock after the last handle is gone.
const LOCK_PATIENCE: Duration = Duration::from_secs(10);
/// The file may grow to this many times what lives in it.
const MAX_WASTE: u64 = 4;
/// What is copied in one batch.
const COPY_BYTES: usize = 1 << 20;

/// A sled database in a directory of its own.
#[derive(Debug)]
struct Database {
    tree: sled::Db,
    data: File,
    path: PathBuf,
}

/// The engine.
#[derive(Debug)]
pub(crate) struct Sled {
    database: Database,
    files: Arc<Files>,
    large: Large,
    sync: Sync,
    compact_above: u64,
    /// The file's size at which it is rewritten.
    compact_at: u64,
}

impl Sled {
    /// Opens the live engine directory.
    pub(crate) fn open(files: Arc<Files>, options: &Options) -> Result<Self, Error> {
        let database = Database::open(files.engine_path())?;
        let compact_above = options.compact_above;
        Ok(Self {
            database,
            files,
            large: Large::default(),
            sync: options.sync,
            compact_above,
            compact_at: u64::MAX,
        })
    }

    /// Makes an empty engine directory that outlives a power cut.
    pub(crate) fn create(path: &Path) -> Result<(), Error> {
        let database = Database::open(path.to_owned())?;
        database.settle()
    }

    /// Copies what lives into a new directory, once the file has outgrown it.
    fn compact_if_due(&mut self) -> Result<(), Error> {
        let size = self.database.size()?;
        if size <= self.compact_at {
            return Ok(());
        }
        match self.database.copy_to(self.files.new_engine_path()?) {
            Ok(copy) => self.switch_to(copy, size),
            Err(e) => {
                // The old one is as good as before; the next attempt waits until it has doubled.
                tracing::warn!(error = %e, "giving back space failed");
                self.compact_at = size.saturating_mul(2);
                Ok(())
            }
        }
    }

    /// The copy becomes the live one when FORMAT names it.
    fn switch_to(&mut self, copy: Database, before: u64) -> Result<(), Error> {
        let name = copy
            .path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        self.files.change(|format| Format {
            engine: name,
            ..format
        })?;
        let after = copy.size()?;
        self.compact_at = self.compact_above.max(after.saturating_mul(MAX_WASTE));
        let old = std::mem::replace(&mut self.database, copy);
        let path = old.path.clone();
        drop(old);
        tracing::info!(before, after, "rewrote the engine's file to give space back");
        std::fs::remove_dir_all(&path).map_err(|e| failed("remove", &path, e))
    }
}

impl Engine for Sled {
    fn load(&mut self, each: &mut dyn FnMut(&str, &[u8]) -> Result<(), Error>) -> Result<(), Error> {
        let (tree, large) = (&self.database.tree, &mut self.large);
        let mut live = 0;
        let read = AssertUnwindSafe(|| {
            for entry in tree.range(FIRST_KEY..) {
                let (key, stored) = entry.map_err(|e| Error::engine("read", e))?;
                let key = std::str::from_utf8(&key).map_err(|e| Error::engine("read", e))?;
                let damaged = || Error::engine("read", format!("the record {key} is damaged"));
                match chunks::parse(&stored).ok_or_else(damaged)? {
                    Stored::Whole(value) => {
                        live += value.len();
                        each(key, value)?;
                    }
                    Stored::Pieces(count) => {
                        let value = join_pieces(tree, key, count)?.ok_or_else(damaged)?;
                        live += value.len();
                        large.found(key, count);
                        each(key, &value)?;
                    }
                }
            }
            Ok(())
        });
        catch_unwind(read).unwrap_or_else(|panic| Err(Error::engine("read", words(&*panic))))?;
        self.compact_at = self.compact_above.max((live as u64).saturating_mul(MAX_WASTE));
        Ok(())
    }

    fn apply(&mut self, ops: Vec<Op>) -> Result<(), Error> {
        let mut raw = Vec::with_capacity(ops.len());
        for op in ops {
            self.large.write(op, &mut raw);
        }
        self.database.apply(raw)
    }

    fn sync(&mut self) -> Result<(), Error> {
        self.database.flush()?;
        if self.sync == Sync::Data {
            self.database
                .data
                .sync_data()
                .map_err(|e| Error::engine("sync", e))?;
        }
        self.compact_if_due()
    }
}

impl Database {
    /// Opens or makes one.
    fn open(path: PathBuf) -> Result<Self, Error> {
        remove_drafts(&path)?;
        let config = sled::Config::new()
            .path(&path)
            .segment_size(SEGMENT)
            .cache_capacity(CACHE)
            .flush_every_ms(None)
            .mode(sled::Mode::HighThroughput);
        let tree = open_patiently(&config, &path)?;
        let data_path = path.join("db");
        let data = File::open(&data_path).map_err(|e| failed("open", &data_path, e))?;
        Ok(Self { tree, data, path })
    }

    fn apply(&self, ops: Vec<chunks::RawOp>) -> Result<(), Error> {
        let mut batch = sled::Batch::default();
        for (key, value) in ops {
            match value {
                Some(value) => batch.insert(key, value),
                None => batch.remove(key),
            }
        }
        self.tree
            .apply_batch(batch)
            .map_err(|e| Error::engine("write", e))
    }

    fn flush(&self) -> Result<(), Error> {
        self.tree.flush().map(drop).map_err(|e| Error::engine("flush", e))
    }

    fn size(&self) -> Result<u64, Error> {
        self.data
            .metadata()
            .map(|data| data.len())
            .map_err(|e| failed("read", &self.path, e))
    }

    /// Makes everything, names of files included, outlive a power cut.
    fn settle(&self) -> Result<(), Error> {
        self.flush()?;
        for entry in std::fs::read_dir(&self.path).map_err(|e| failed("read", &self.path, e))? {
            let path = entry.map_err(|e| failed("read", &self.path, e))?.path();
            File::open(&path)
                .and_then(|file| file.sync_all())
                .map_err(|e| failed("sync", &path, e))?;
        }
        sync_directory(&self.path)
    }

    /// A new directory with the same content, which outlives a power cut.
    fn copy_to(&self, path: PathBuf) -> Result<Self, Error> {
        let copy = Self::open(path)?;
        let (mut batch, mut bytes) = (Vec::new(), 0);
        for entry in self.tree.iter() {
            let (key, value) = entry.map_err(|e| Error::engine("read", e))?;
            bytes += key.len() + value.len();
            batch.push((key.to_vec(), Some(value.to_vec())));
            if bytes >= COPY_BYTES {
                copy.apply(std::mem::take(&mut batch))?;
                bytes = 0;
            }
        }
        copy.apply(batch)?;
        copy.settle()?;
        Ok(copy)
    }
}

fn join_pieces(tree: &sled::Db, key: &str, count: u32) -> Result<Option<Vec<u8>>, Error> {
    let mut value = Vec::with_capacity(count as usize * chunks::PIECE);
    for n in 0..count {
        match tree
            .get(chunks::piece_key(key, n))
            .map_err(|e| Error::engine("read", e))?
        {
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
        let path = entry.map_err(|e| failed("read", path, e))?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "generating")
        {
            std::fs::remove_file(&path).map_err(|e| failed("remove", &path, e))?;
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
    let why = format!(
        "{}: {why}: if the disk is sound, restore the store's directory from a copy",
        path.display()
    );
    Error::engine("open", why)
}

#[cfg(test)]
mod tests;
