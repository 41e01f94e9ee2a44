//! Paths of the machine that a pod is shown (`hostPath`): what may be asked for, and the words of refusal.

use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

/// What a path must be to be shown, in the words of `hostPath.type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PathKind {
    /// Anything; made as a directory where there is nothing.
    Any,
    /// A directory that is there.
    Directory,
    /// A directory, made where there is nothing.
    DirectoryOrCreate,
    /// A file that is there.
    File,
    /// A file, made where there is nothing; its directory must be there.
    FileOrCreate,
    /// A socket that is there.
    Socket,
    /// A character device that is there.
    CharDevice,
    /// A block device that is there.
    BlockDevice,
}

/// A path of the machine that is to be shown at a place of Orlop's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathBind {
    /// What is to be shown, as the pod or the volume names it.
    pub source: PathBuf,
    /// What it must be.
    pub kind: PathKind,
    /// Where; made as a directory or an empty file, like the source.
    pub target: PathBuf,
    /// Directories of Orlop's own: nothing of them is shown, and nothing that holds one of them.
    pub own: Vec<PathBuf>,
}

impl PathKind {
    /// The kind of that name; empty is any.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "" => Self::Any,
            "Directory" => Self::Directory,
            "DirectoryOrCreate" => Self::DirectoryOrCreate,
            "File" => Self::File,
            "FileOrCreate" => Self::FileOrCreate,
            "Socket" => Self::Socket,
            "CharDevice" => Self::CharDevice,
            "BlockDevice" => Self::BlockDevice,
            _ => return None,
        })
    }

    /// What it is called in sentences; empty for anything.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Any => "",
            Self::Directory | Self::DirectoryOrCreate => "directory",
            Self::File | Self::FileOrCreate => "file",
            Self::Socket => "socket",
            Self::CharDevice => "character device",
            Self::BlockDevice => "block device",
        }
    }
}

/// Why a path is refused before anything is looked at.
pub(super) fn check(source: &Path) -> Result<(), String> {
    if !source.is_absolute() || source.components().any(|part| part == Component::ParentDir) {
        return Err("must be absolute and without ..".to_owned());
    }
    Ok(())
}

/// Whether one lies in the other, or is it.
pub(super) fn are_entwined(one: &Path, other: &Path) -> bool {
    one.starts_with(other) || other.starts_with(one)
}

/// Nothing is there, and nothing may be made.
pub(super) fn missing(kind: PathKind) -> String {
    let or_create = match kind {
        PathKind::File => ", or set type: FileOrCreate",
        PathKind::Directory => ", or set type: DirectoryOrCreate",
        _ => "",
    };
    format!("does not exist on this node; create it{or_create}")
}

/// Another kind of file is there.
pub(super) fn mismatch(kind: PathKind) -> String {
    format!("hostPath type check failed: is not a {}; correct the path or hostPath.type", kind.words())
}

/// It would show what Orlop keeps.
pub(super) fn entwined(own: &Path) -> String {
    format!("holds or lies in Orlop's own directory {}; choose another path", own.display())
}

/// A file is to be made where there is no directory.
pub(super) const NO_PARENT: &str =
    "its directory does not exist on this node, and FileOrCreate makes none; create it first";
