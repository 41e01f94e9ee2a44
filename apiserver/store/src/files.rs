//! An opened directory with what its FORMAT file says.

use std::{
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use uuid::Uuid;

use crate::{
    Error, Options,
    directory::{Directory, Format, Verdict},
    engine::logged::Logged,
};

/// The directory and its FORMAT.
#[derive(Debug)]
pub(crate) struct Files {
    directory: Directory,
    format: Mutex<Format>,
}

impl Files {
    /// Takes a directory; creates a store in it where there is none.
    pub(crate) fn open(path: &Path, options: &Options) -> Result<Self, Error> {
        let directory = Directory::take(path)?;
        let format = match directory.examine()? {
            Verdict::Open(format) => format,
            Verdict::Create => create(&directory, options)?,
        };
        Ok(Self { directory, format: Mutex::new(format) })
    }

    /// What FORMAT says.
    pub(crate) fn format(&self) -> Format {
        self.lock().clone()
    }

    /// Replaces FORMAT durably.
    pub(crate) fn change(&self, change: impl FnOnce(Format) -> Format) -> Result<(), Error> {
        let mut format = self.lock();
        let changed = change(format.clone());
        self.directory.write_format(&changed)?;
        *format = changed;
        Ok(())
    }

    /// Where the engine is.
    pub(crate) fn engine_path(&self) -> PathBuf {
        self.directory.engine_path(&self.lock().engine)
    }

    fn lock(&self) -> MutexGuard<'_, Format> {
        self.format.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// First the engine's files, then FORMAT: a crash between leaves what [`Directory::examine`] removes.
fn create(directory: &Directory, options: &Options) -> Result<Format, Error> {
    let engine = directory.new_engine()?;
    Logged::create(&directory.engine_path(&engine))?;
    let format = Format { schema: options.schema.clone(), cluster: Uuid::new_v4(), engine };
    directory.write_format(&format)?;
    Ok(format)
}
