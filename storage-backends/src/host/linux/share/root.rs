//! A share's root by descriptor: every path is walked beneath it, through directories only, and its last part is used
//! by descriptor and name. Whoever swaps directories for links meanwhile changes what is found, never where it is.

use std::{
    fs::File,
    io::{self, Read, Write},
    os::fd::{AsFd, OwnedFd},
};

use rustix::{
    fs::{AtFlags, FileType, Gid, Mode, OFlags, Uid},
    io::Errno,
};

use super::{super::remove, place::BENEATH};
use crate::host::share::{Kind, Root};

/// The longest file that is read: markers are far shorter.
const LONGEST: u64 = 64 * 1024;

/// The root of a share.
pub(in super::super) struct Opened {
    root: OwnedFd,
}

impl Opened {
    /// The root of a mount.
    pub(super) fn new(mount: &OwnedFd) -> io::Result<Self> {
        // Of a mount that is nowhere yet, only the descriptor is a way in.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self { root: rustix::fs::openat(mount, ".", flags, Mode::empty())? })
    }

    /// The directory that holds the last part of `path`, and that part.
    fn parent<'a>(&self, path: &[&'a str]) -> io::Result<(OwnedFd, &'a str)> {
        let Some((last, above)) = path.split_last() else { return Err(Errno::INVAL.into()) };
        if path.iter().any(|part| part.is_empty() || part.contains('/') || matches!(*part, "." | "..")) {
            return Err(Errno::INVAL.into());
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let above = if above.is_empty() { ".".to_owned() } else { above.join("/") };
        let parent = rustix::fs::openat2(&self.root, above, flags, Mode::empty(), BENEATH)?;
        Ok((parent, last))
    }

    fn open(&self, path: &[&str], flags: OFlags) -> io::Result<OwnedFd> {
        let (parent, name) = self.parent(path)?;
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(rustix::fs::openat2(&parent, name, flags, Mode::empty(), BENEATH)?)
    }
}

impl Root for Opened {
    fn kind(&self, path: &[&str]) -> io::Result<Option<Kind>> {
        let found = self
            .parent(path)
            .and_then(|(parent, name)| Ok(rustix::fs::statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW)?));
        match found {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {
                Ok(Some(Kind::Directory))
            }
            Ok(_) => Ok(Some(Kind::Other)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn make_dir(&self, path: &[&str], mode: u32) -> io::Result<()> {
        let (parent, name) = self.parent(path)?;
        rustix::fs::mkdirat(&parent, name, Mode::from_raw_mode(mode))?;
        Ok(rustix::fs::fsync(&parent)?)
    }

    fn give(&self, path: &[&str], uid: Option<u32>, gid: Option<u32>, mode: u32) -> io::Result<()> {
        let directory = self.open(path, OFlags::RDONLY | OFlags::DIRECTORY)?;
        if uid.is_some() || gid.is_some() {
            rustix::fs::fchown(&directory, uid.map(Uid::from_raw), gid.map(Gid::from_raw))?;
        }
        rustix::fs::fchmod(&directory, Mode::from_raw_mode(mode))?;
        Ok(rustix::fs::fsync(&directory)?)
    }

    fn names(&self, path: &[&str]) -> io::Result<Vec<String>> {
        let directory = self.open(path, OFlags::RDONLY | OFlags::DIRECTORY)?;
        let names = remove::names(&directory)?.into_iter();
        // What is no text is no name of ours.
        Ok(names.filter_map(|(name, _)| name.into_string().ok()).collect())
    }

    fn read(&self, path: &[&str]) -> io::Result<Option<Vec<u8>>> {
        // A pipe of that name must not be waited on.
        let file = match self.open(path, OFlags::RDONLY | OFlags::NONBLOCK) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut content = Vec::new();
        File::from(file).take(LONGEST).read_to_end(&mut content)?;
        Ok(Some(content))
    }

    fn write_new(&self, path: &[&str], content: &[u8]) -> io::Result<()> {
        let (parent, name) = self.parent(path)?;
        let making = format!(".making-{}", uuid::Uuid::new_v4());
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&parent, making.as_str(), flags, Mode::RUSR | Mode::WUSR)?;
        let mut file = File::from(file);
        let written = file.write_all(content).and_then(|()| file.sync_all()).and_then(|()| {
            // Unlike a rename, a link fails when the name is taken.
            Ok(rustix::fs::linkat(&parent, making.as_str(), &parent, name, AtFlags::empty())?)
        });
        rustix::fs::unlinkat(&parent, making.as_str(), AtFlags::empty())?;
        written?;
        Ok(rustix::fs::fsync(&parent)?)
    }

    fn remove_file(&self, path: &[&str]) -> io::Result<()> {
        let (parent, name) = self.parent(path)?;
        rustix::fs::unlinkat(&parent, name, AtFlags::empty())?;
        Ok(rustix::fs::fsync(&parent)?)
    }

    fn rename(&self, from: &[&str], to: &[&str]) -> io::Result<()> {
        let ((old, from), (new, to)) = (self.parent(from)?, self.parent(to)?);
        rustix::fs::renameat(&old, from, &new, to)?;
        rustix::fs::fsync(new.as_fd())?;
        Ok(rustix::fs::fsync(old.as_fd())?)
    }

    fn remove_tree(&self, path: &[&str]) -> io::Result<()> {
        let (parent, name) = self.parent(path)?;
        remove::tree_at(&parent, name)?;
        Ok(rustix::fs::fsync(&parent)?)
    }
}
