//! The store's directory: who may use it, which format it has, which engine directory in it is the live one.
//!
//! ```text
//! DIR/store/lock      held by the process that uses it; its pid
//! DIR/store/FORMAT    JSON; names the live engine directory. Written last, so it is the commit point of a creation
//! DIR/store/sled-<n>  engine directories; all but the live one are left-overs of a crash
//! ```
//!
//! | FORMAT | engine directories | verdict |
//! |---|---|---|
//! | of a newer format | | refuse, naming the way out |
//! | cannot be read | | refuse |
//! | names one | that one is there | open it, remove the others |
//! | names one | that one is missing | refuse: its data are lost |
//! | missing | none, and nothing foreign | create |
//! | missing | small ones, as a crash during the first creation leaves them | remove them, create |
//! | missing | one with data | refuse: FORMAT was lost |
//! | missing | none, but foreign files | refuse: this is no store |

use std::{
    fs::{self, File, TryLockError},
    io::{self, Write},
    path::{Path, PathBuf},
};

use serde_json::{Value, json};
use uuid::Uuid;

use crate::Error;

/// The format that this build writes, and the newest that it reads.
const FORMAT: u64 = 1;
const FORMAT_FILE: &str = "FORMAT";
const FORMAT_DRAFT: &str = "FORMAT.new";
const LOCK_FILE: &str = "lock";
const ENGINE_PREFIX: &str = "sled-";
/// A first creation that did not come to its end has written less than this into its engine.
const HALF_MADE: u64 = 64 << 10;

/// What FORMAT says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Format {
    /// Which schema the objects follow.
    pub(crate) schema: String,
    /// Which cluster this is: never changes, whatever is migrated.
    pub(crate) cluster: Uuid,
    /// The live engine directory.
    pub(crate) engine: String,
}

/// What to do with a directory: the table above.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is complete.
    Open(Format),
    /// There is nothing yet.
    Create,
}

/// A directory that this process alone uses.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    /// Locked as long as it is open.
    _lock: File,
}

impl Directory {
    /// Takes the directory for this process; makes it where there is none.
    pub(crate) fn take(path: &Path) -> Result<Self, Error> {
        create_durably(path)?;
        let lock_path = path.join(LOCK_FILE);
        let options = File::options().read(true).write(true).create(true).truncate(false).open(&lock_path);
        let mut lock = options.map_err(failed("open", &lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(held(path, &lock_path)),
            Err(TryLockError::Error(e)) => return Err(failed("lock", &lock_path)(e)),
        }
        let pid = format!("{}\n", std::process::id());
        lock.set_len(0).and_then(|()| lock.write_all(pid.as_bytes())).map_err(failed("write", &lock_path))?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// What to do with it. Removes what a crash has left.
    pub(crate) fn examine(&self) -> Result<Verdict, Error> {
        let engines = self.engines()?;
        let verdict = match self.read_format()? {
            Some(format) if engines.contains(&format.engine) => Verdict::Open(format),
            Some(format) => return Err(self.refuse(&format!(
                "its engine directory {} is missing: restore it from a copy, or name another data directory",
                format.engine
            ))),
            None => {
                self.refuse_foreign(&engines)?;
                Verdict::Create
            }
        };
        let live = match &verdict {
            Verdict::Open(format) => Some(&format.engine),
            Verdict::Create => None,
        };
        for left_over in engines.iter().filter(|engine| Some(*engine) != live) {
            let path = self.path.join(left_over);
            tracing::info!(path = %path.display(), "removing what a crash has left");
            remove_engine(&path).map_err(failed("remove", &path))?;
        }
        Ok(verdict)
    }

    /// The path of an engine directory.
    pub(crate) fn engine_path(&self, engine: &str) -> PathBuf {
        self.path.join(engine)
    }

    /// A name for an engine directory that is not taken.
    pub(crate) fn new_engine(&self) -> Result<String, Error> {
        let numbers =
            self.engines()?.iter().filter_map(|e| e[ENGINE_PREFIX.len()..].parse::<u64>().ok()).max();
        Ok(format!("{ENGINE_PREFIX}{}", numbers.unwrap_or(0) + 1))
    }

    /// Writes FORMAT so that after a power cut it is the old one or the new one.
    pub(crate) fn write_format(&self, format: &Format) -> Result<(), Error> {
        let Format { schema, cluster, engine } = format;
        let text =
            json!({"format": FORMAT, "schema": schema, "cluster": cluster.to_string(), "engine": engine});
        let (draft, path) = (self.path.join(FORMAT_DRAFT), self.path.join(FORMAT_FILE));
        let written = File::create(&draft).and_then(|mut file| {
            file.write_all(format!("{text:#}\n").as_bytes())?;
            file.sync_all()
        });
        written.map_err(failed("write", &draft))?;
        // The engine directory's name must be on disk before the file that names it.
        sync_directory(&self.path)?;
        fs::rename(&draft, &path).map_err(failed("rename", &draft))?;
        sync_directory(&self.path)
    }

    fn read_format(&self) -> Result<Option<Format>, Error> {
        let path = self.path.join(FORMAT_FILE);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(failed("read", &path)(e)),
        };
        let unreadable = || self.refuse("its FORMAT file cannot be read: restore that file from a copy");
        let value: Value = serde_json::from_slice(&text).map_err(|_| unreadable())?;
        match value["format"].as_u64() {
            Some(newer) if newer > FORMAT => Err(self.refuse(&format!(
                "it was written by a newer Orlop (format {newer}; this one reads up to {FORMAT}): start that newer \
                 Orlop, or name another data directory"
            ))),
            Some(FORMAT) => parse_format(&value).map(Some).ok_or_else(unreadable),
            _ => Err(unreadable()),
        }
    }

    fn refuse_foreign(&self, engines: &[String]) -> Result<(), Error> {
        for engine in engines {
            let data = self.path.join(engine).join("db");
            if fs::metadata(&data).is_ok_and(|data| data.len() > HALF_MADE) {
                return Err(self.refuse(&format!(
                    "{engine} holds data, but the FORMAT file beside it is missing: restore that file from a copy"
                )));
            }
        }
        let known =
            |name: &str| [LOCK_FILE, FORMAT_DRAFT].contains(&name) || engines.iter().any(|e| e == name);
        match self.entries()?.into_iter().find(|name| !known(name)) {
            Some(foreign) => Err(self.refuse(&format!(
                "it is not empty and not a store ({foreign} is in it): name an empty or a new directory"
            ))),
            None => Ok(()),
        }
    }

    fn engines(&self) -> Result<Vec<String>, Error> {
        Ok(self.entries()?.into_iter().filter(|name| name.starts_with(ENGINE_PREFIX)).collect())
    }

    fn entries(&self) -> Result<Vec<String>, Error> {
        let entries = fs::read_dir(&self.path).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        let entries = entries.map_err(failed("read", &self.path))?;
        // ext4 and xfs put lost+found at the root of a file system.
        let names = entries.iter().map(|entry| entry.file_name().to_string_lossy().into_owned());
        Ok(names.filter(|name| name != "lost+found").collect())
    }

    fn refuse(&self, why: &str) -> Error {
        Error::engine("open", format!("{}: {why}", self.path.display()))
    }
}

fn parse_format(value: &Value) -> Option<Format> {
    let text = |name: &str| value[name].as_str().map(str::to_owned);
    let engine =
        text("engine").filter(|engine| engine.starts_with(ENGINE_PREFIX) && !engine.contains('/'))?;
    Some(Format { schema: text("schema")?, cluster: text("cluster")?.parse().ok()?, engine })
}

fn held(path: &Path, lock: &Path) -> Error {
    let pid = fs::read_to_string(lock).unwrap_or_default();
    let holder = if pid.trim().is_empty() { String::new() } else { format!(" (pid {})", pid.trim()) };
    Error::engine(
        "open",
        format!(
            "{}: another process{holder} is using it: stop that one, or name another data directory",
            path.display()
        ),
    )
}

/// Makes a directory and those above it, so that their names outlive a power cut.
fn create_durably(path: &Path) -> Result<(), Error> {
    if path.is_dir() {
        return Ok(());
    }
    let above = path.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    create_durably(above)?;
    fs::create_dir(path).map_err(failed("create", path))?;
    sync_directory(above)
}

/// Removes an engine directory: files, and one level of directories that hold nothing but files.
fn remove_engine(path: &Path) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            for inner in fs::read_dir(entry.path())? {
                fs::remove_file(inner?.path())?;
            }
            fs::remove_dir(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    fs::remove_dir(path)
}

/// Makes the names in a directory outlive a power cut.
pub(crate) fn sync_directory(path: &Path) -> Result<(), Error> {
    File::open(path).and_then(|directory| directory.sync_all()).map_err(failed("sync", path))
}

/// Turns an I/O error into one that names the path it happened at.
pub(crate) fn failed(what: &str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    move |source| {
        let words = format!("{what} {}: {source}", path.display());
        Error::engine("open", io::Error::new(source.kind(), words))
    }
}

#[cfg(test)]
mod tests;
