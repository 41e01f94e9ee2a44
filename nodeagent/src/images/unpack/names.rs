//! Names of entries: taken apart into parts that are safe to hand to the kernel one by one. Pure.

use std::{
    ffi::{CString, OsStr, OsString},
    fmt, io,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::PathBuf,
};

use super::{Fault, Result};

/// A name beneath the layer's root: parts without `/`, `.`, `..` and NUL. No parts is the root itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name {
    parts: Vec<OsString>,
}

/// What a `.wh.` entry hides of the layers below.
pub(super) enum Hidden {
    /// All that is in the directory.
    All,
    /// One name.
    One(OsString),
    /// Nothing: bookkeeping of the aufs driver that some old images carry.
    Nothing,
}

impl Name {
    /// Takes a name of the tar apart.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self> {
        let mut name = Self { parts: Vec::new() };
        for part in bytes.split(|b| *b == b'/') {
            match part {
                b"" | b"." => {}
                b".." => return Err(refuse(bytes, "a name must not lead upwards")),
                part if part.contains(&0) => return Err(refuse(bytes, "a name must not hold a NUL")),
                part => name.parts.push(OsString::from_vec(part.to_vec())),
            }
        }
        Ok(name)
    }

    /// The directory and the name in it; `None` for the root.
    pub(super) fn split(&self) -> Option<(Self, Self)> {
        let (last, parent) = self.parts.split_last()?;
        Some((Self { parts: parent.to_vec() }, Self { parts: vec![last.clone()] }))
    }

    /// The name of an entry in this directory.
    pub(super) fn join(&self, last: OsString) -> Self {
        let mut parts = self.parts.clone();
        parts.push(last);
        Self { parts }
    }

    /// Its last part; `.` for the root.
    pub(super) fn last(&self) -> &OsStr {
        self.parts.last().map_or(OsStr::new("."), OsString::as_os_str)
    }

    /// Its last part for calls that want a C string.
    pub(super) fn last_c(&self) -> CString {
        CString::new(self.last().as_bytes()).unwrap_or_default()
    }

    /// All of it, beneath the root.
    pub(super) fn path(&self) -> PathBuf {
        self.parts.iter().collect()
    }

    /// All of it as the kernel wants it: `.` for the root.
    pub(super) fn relative(&self) -> PathBuf {
        if self.parts.is_empty() { PathBuf::from(".") } else { self.path() }
    }

    /// What the last part hides, when it is a whiteout.
    pub(super) fn whiteout(&self) -> Result<Option<Hidden>> {
        let Some(hidden) = self.last().as_bytes().strip_prefix(b".wh.") else {
            return Ok(None);
        };
        match hidden {
            b".wh..opq" => Ok(Some(Hidden::All)),
            other if other.starts_with(b".wh.") => Ok(Some(Hidden::Nothing)),
            b"" | b"." | b".." => Err(self.refuse("a whiteout must name what it hides")),
            name => Ok(Some(Hidden::One(OsString::from_vec(name.to_vec())))),
        }
    }

    /// An error about this entry.
    pub(super) fn refuse(&self, reason: &str) -> Fault {
        Fault::Refused { entry: self.to_string(), reason: reason.to_owned() }
    }

    /// An error of the kernel about this entry.
    pub(super) fn fault(&self, operation: &'static str, source: impl Into<io::Error>) -> Fault {
        Fault::Write { operation, entry: self.to_string(), source: source.into() }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}", self.path().display())
    }
}

fn refuse(name: &[u8], reason: &str) -> Fault {
    Fault::Refused { entry: String::from_utf8_lossy(name).into_owned(), reason: reason.to_owned() }
}
