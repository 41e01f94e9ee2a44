//! The record of what was acknowledged: a line per commit, `put|delete|lazy NAME VERSION REVISION`, and one
//! before each attempt to delete, `trying …`: what is gone unacknowledged may have been deleted or lost.
//!
//! It lies on a disk whose power is never cut.

use std::{
    fs::{self, File},
    io::Write,
    path::Path,
    sync::Mutex,
};

/// What a commit did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Did {
    /// Wrote this version.
    Put,
    /// Is about to delete.
    Trying,
    /// Deleted; versions go on counting.
    Delete,
    /// Wrote this version, without a promise that it is on disk. Its revision counts all the same.
    Lazy,
}

/// One line.
#[derive(Clone, Debug)]
pub(crate) struct Ack {
    pub(crate) did: Did,
    pub(crate) name: String,
    pub(crate) version: u64,
    pub(crate) revision: u64,
}

/// Where acknowledgements are written down, by all tasks.
#[derive(Debug)]
pub(crate) struct Log(Mutex<File>);

impl Log {
    pub(crate) fn create(path: &Path) -> Self {
        Self(Mutex::new(File::options().create(true).append(true).open(path).unwrap()))
    }

    pub(crate) fn write(&self, ack: &Ack) {
        let Ack { did, name, version, revision } = ack;
        let word = match did {
            Did::Put => "put",
            Did::Trying => "trying",
            Did::Delete => "delete",
            Did::Lazy => "lazy",
        };
        let line = format!("{word} {name} {version} {revision}\n");
        self.0.lock().unwrap().write_all(line.as_bytes()).unwrap();
    }
}

/// Reads the complete lines.
pub(crate) fn read(path: &Path) -> Vec<Ack> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let complete = text.rfind('\n').map_or("", |end| &text[..end]);
    complete.lines().map(parse).collect()
}

fn parse(line: &str) -> Ack {
    let mut words = line.split(' ');
    let mut word = || words.next().unwrap();
    let did = match word() {
        "put" => Did::Put,
        "trying" => Did::Trying,
        "delete" => Did::Delete,
        _ => Did::Lazy,
    };
    Ack { did, name: word().to_owned(), version: word().parse().unwrap(), revision: word().parse().unwrap() }
}
