//! Shares of file servers: what is done on one in one visit, and how a visit is written down there.
//!
//! A share is not this machine's: a server may be slow, gone, read-only, or full of other people's files. So all that is
//! to be done there for a volume is one request ([`Visit`]), carried out by whoever has the share's root in his hand
//! ([`Root`]), and answered in one word: the machine does it in a process of its own with a deadline, the fake in memory.
//!
//! **The marker.** What makes a directory a volume's is a file beside it, not in it:
//! `.orlop/volumes/<directory, its parts joined by +>` at the share's root, for root alone. A pod sees its volume's
//! directory and nothing above it, so that no pod can remove its own marker, or write another's. It is made with its
//! content by one `link`, whole or not at all, and only one volume can have the name. A directory whose marker is
//! missing, or names another volume, is left alone, whatever is asked for, and shown to no pod of a volume that was made. Who may mount the share's root itself, as a pod
//! that names server and path does, is trusted with all that is on it, markers included: the server's exports say who.
//!
//! A directory that goes is first renamed to `.orlop/removing/<volume>`: what was asked for is gone at once, a death in
//! the middle of removing leaves nothing half, and what is removed has a name that no manifest can give.

mod visit;
mod whose;

use std::{borrow::Borrow, fmt, io};

use serde::{Deserialize, Serialize};

pub use orlop_objects::nfs::OWN;
pub use visit::carry_out;
pub use whose::check;

/// Where a directory's marker lies, from the share's root.
pub fn marker_path<S: Borrow<str>>(directory: &[S]) -> String {
    format!("{OWN}/volumes/{}", visit::marker_name(directory))
}

/// A share of a file server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// The server's name or address.
    pub server: String,
    /// The path that it exports.
    pub path: String,
    /// Mount options, as a manifest has them.
    pub options: Vec<String>,
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.server, self.path)
    }
}

/// Whose a directory is, as its marker says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marker {
    /// The volume: `pvc-<claim uid>`.
    pub volume: String,
    /// The claim's namespace and name, for people.
    pub claim: String,
    /// The directory, its parts joined by slashes.
    pub directory: String,
    /// It was there before, and stays when the volume goes.
    #[serde(default)]
    pub adopted: bool,
}

/// A directory to be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Make {
    /// Where, part by part from the share's root.
    pub directory: Vec<String>,
    /// Whose it is.
    pub marker: Marker,
    /// Its owner, where one is asked for.
    pub uid: Option<u32>,
    /// Its group, where one is asked for.
    pub gid: Option<u32>,
    /// Its mode.
    pub mode: u32,
    /// Take one that is there already, as it is.
    pub adopt: bool,
}

/// A directory of a volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Where, part by part from the share's root.
    pub directory: Vec<String>,
    /// The volume whose it must be.
    pub volume: String,
}

/// What is done on a share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Visit {
    /// Make a volume's directory and its marker.
    Make(Make),
    /// Remove a volume's directory with all that is in it, and its marker.
    Remove(Kept),
    /// Rename a volume's directory to `archived-…`, over nothing, and remove its marker.
    Archive(Kept),
    /// Leave a volume's directory where it is, and remove its marker.
    Release(Kept),
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// It was so, or is so now.
    Done,
    /// It is so now; the directory has this name.
    Archived(String),
    /// Nothing was changed, and why.
    Refused(Refusal),
}

/// Why nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// The directory is there and has no marker.
    Unmarked,
    /// The directory's marker names another volume.
    Foreign(Marker),
    /// The directory would lie in another volume's.
    Within(Marker),
    /// Another volume's directory lies in it, or is about to.
    Above(Marker),
    /// A part of the directory's path is something else: a file, or a link.
    NotADirectory(String),
    /// The marker cannot be read.
    Damaged(String),
    /// There are such archives already.
    ArchivesTaken(Vec<String>),
}

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Directory,
    /// Anything else: a file, a link, a device.
    Other,
}

/// The root of a share. Paths are parts below it: every part but the last is walked beneath the root, through
/// directories only; the last is never followed.
pub trait Root {
    /// What is there.
    fn kind(&self, path: &[&str]) -> io::Result<Option<Kind>>;
    /// Makes a directory; fails when the name is taken.
    fn make_dir(&self, path: &[&str], mode: u32) -> io::Result<()>;
    /// Gives a directory its mode and, where they are said, its owner and group.
    fn give(&self, path: &[&str], uid: Option<u32>, gid: Option<u32>, mode: u32) -> io::Result<()>;
    /// Names in a directory.
    fn names(&self, path: &[&str]) -> io::Result<Vec<String>>;
    /// What a file holds.
    fn read(&self, path: &[&str]) -> io::Result<Option<Vec<u8>>>;
    /// Makes a durable file with this content, whole or not at all; fails when the name is taken.
    fn write_new(&self, path: &[&str], content: &[u8]) -> io::Result<()>;
    /// Removes a file.
    fn remove_file(&self, path: &[&str]) -> io::Result<()>;
    /// Renames a directory; the new name may be an empty directory, which it replaces.
    fn rename(&self, from: &[&str], to: &[&str]) -> io::Result<()>;
    /// Removes a directory with all that is in it, by the one remover.
    fn remove_tree(&self, path: &[&str]) -> io::Result<()>;
}
