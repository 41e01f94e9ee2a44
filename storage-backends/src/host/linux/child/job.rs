//! The jobs, and how the child does them.

use std::path::PathBuf;

use rustix::{
    fs::{CWD, OFlags},
    mount::UnmountFlags,
};
use serde::{Deserialize, Serialize};

use super::{
    super::{host_path, loop_files, mounts, share},
    Failure,
};
use crate::host::{
    PathBind,
    share::{Outcome, Share, Visit, carry_out},
};

/// Where a share comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in super::super) enum Source {
    /// From a server.
    Server(Share),
    /// From a directory of this machine, which stands in for one.
    Directory(PathBuf),
}

/// What of a share is mounted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in super::super) struct Directory {
    /// Part by part from the share's root; empty for the share itself.
    pub(in super::super) beneath: Vec<String>,
    /// The volume whose it must be.
    pub(in super::super) volume: Option<String>,
}

/// What a child does.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) enum Job {
    /// Mount a share, or a directory of it, on `target`.
    Mount { source: Source, directory: Directory, target: PathBuf, read_only: bool, options: Vec<String> },
    /// Do something on a share.
    Visit { source: Source, visit: Visit },
    /// Show a directory of a mounted share at a second place.
    Bind { source: PathBuf, target: PathBuf, read_only: bool },
    /// Unmount the topmost mount at `target`, giving up what is under way when `force` says so.
    Unmount { target: PathBuf, force: bool },
    /// Ask what serves a mount whether it answers.
    Ask { place: PathBuf },
    /// Show a path of the machine, which may lie anywhere.
    Show(PathBind),
    /// Take away what is shown of one.
    Hide { target: PathBuf },
    /// Ask loop devices which file each holds; tells each answer when it comes.
    HeldFiles { devices: Vec<PathBuf> },
    /// Sleep for ever: what a dead server does, for tests.
    #[cfg(test)]
    Hang,
    /// Die without a word, for tests.
    #[cfg(test)]
    Die,
}

/// What a job came to.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in super::super) enum Answer {
    /// It is done.
    Done,
    /// How a visit went; of a mount, why it was refused.
    Visited(Outcome),
}

impl Job {
    pub(super) fn run(self) -> Result<Answer, Failure> {
        match self {
            Self::Mount { source, directory, target, read_only, options } => {
                if let Some(why) = share::mount(&source, directory, &target, read_only, &options)? {
                    return Ok(Answer::Visited(Outcome::Refused(why)));
                }
            }
            Self::Visit { source, visit } => {
                let root = share::open(&source)?;
                return Ok(Answer::Visited(carry_out(&root, &visit)?));
            }
            Self::Bind { source, target, read_only } => mounts::bind(&source, &target, read_only)?,
            Self::Unmount { target, force } => {
                let how = if force { UnmountFlags::FORCE } else { UnmountFlags::empty() };
                rustix::mount::unmount(&target, UnmountFlags::NOFOLLOW | how)?;
            }
            Self::Ask { place } => {
                // Opened as a name only: it may be a device or a socket. The question about its space is never answered
                // from what this kernel remembers.
                let flags = OFlags::PATH | OFlags::CLOEXEC;
                rustix::fs::openat(CWD, &place, flags, rustix::fs::Mode::empty())
                    .and_then(|root| rustix::fs::fstatvfs(&root).map(drop))?;
            }
            Self::Show(request) => host_path::bind(&request)?,
            Self::Hide { target } => host_path::unbind(&target)?,
            Self::HeldFiles { devices } => loop_files::look(&devices, &super::tell),
            #[cfg(test)]
            Self::Hang => loop {
                std::thread::park();
            },
            #[cfg(test)]
            Self::Die => {
                nix::sys::signal::raise(nix::sys::signal::Signal::SIGKILL).map_err(std::io::Error::from)?;
            }
        }
        Ok(Answer::Done)
    }
}
