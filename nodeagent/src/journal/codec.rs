//! The file's form: one record a line, `<16 hex digits of the SHA-256 of the JSON> <JSON>\n`; and reading it at start.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Write,
    path::Path,
};

use sha2::{Digest, Sha256};

use super::{Intent, Record, Subject};
use crate::{error::Error, paths::hex};

const DIGITS: usize = 16;

/// One record as a line.
pub(super) fn line(record: &Record) -> Vec<u8> {
    // Writing to memory cannot fail: no key of these types is anything but a string.
    let json = serde_json::to_string(record).unwrap_or_default();
    format!("{} {json}\n", checksum(json.as_bytes())).into_bytes()
}

/// A line's record; `None` when it is torn or damaged.
fn parse(line: &[u8]) -> Option<Record> {
    let (sum, rest) = line.split_at_checked(DIGITS)?;
    let json = rest.strip_prefix(b" ")?;
    if sum != checksum(json).as_bytes() {
        return None;
    }
    serde_json::from_slice(json).ok()
}

fn checksum(json: &[u8]) -> String {
    let mut digits = hex(&Sha256::digest(json));
    digits.truncate(DIGITS);
    digits
}

/// Reads what stands in the file at `path` and rewrites the file with just that.
pub(super) fn load(path: &Path) -> Result<BTreeMap<Subject, Intent>, Error> {
    let failed = |operation| move |source| Error::Journal { operation, path: path.to_owned(), source };
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(failed("read")(error)),
    };
    let standing = replay(&bytes);
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(failed("make the directory of"))?;
    }
    rewrite(path, &standing).map_err(failed("rewrite"))?;
    Ok(standing)
}

/// What stands after all whole lines. A damaged line is left out: a missing end only repeats steps that may be
/// repeated, and what a missing begin announced had not happened when the line was torn.
fn replay(bytes: &[u8]) -> BTreeMap<Subject, Intent> {
    let mut standing = BTreeMap::new();
    let mut damaged = 0;
    for line in bytes.split(|b| *b == b'\n').filter(|l| !l.is_empty()) {
        match parse(line) {
            Some(Record::Begin(intent)) => {
                standing.insert(intent.subject(), intent);
            }
            Some(Record::End(subject)) => {
                standing.remove(&subject);
            }
            None => damaged += 1,
        }
    }
    if damaged > 0 {
        tracing::warn!(lines = damaged, "left out damaged lines of the agent's journal");
    }
    standing
}

fn rewrite(path: &Path, standing: &BTreeMap<Subject, Intent>) -> std::io::Result<()> {
    let fresh = path.with_extension("new");
    let mut file = File::create(&fresh)?;
    for intent in standing.values() {
        file.write_all(&line(&Record::Begin(intent.clone())))?;
    }
    file.sync_all()?;
    fs::rename(&fresh, path)?;
    path.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())
}
