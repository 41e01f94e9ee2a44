//! Waiting for a log file to grow: the kernel says when (inotify), nothing is polled.
//!
//! Its directory is watched, since a log that has become too large begins anew in another file, which takes its name:
//!
//! | what the kernel says of the name | then |
//! |---|---|
//! | written to | it has grown |
//! | moved there | another file has taken its place |
//! | closed by its writer, or removed | nobody writes to it any more: for good, or until another takes its place |

use std::{
    ffi::OsStr,
    mem::MaybeUninit,
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
    path::{Path, PathBuf},
};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use tokio::io::unix::AsyncFd;

/// What has happened to a file; with nothing of this, it has grown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Change {
    /// Another file has taken its place.
    pub(super) replaced: bool,
    /// Nobody writes to the one that is there now.
    pub(super) closed: bool,
}

/// A watch on one file.
pub(super) struct Watch {
    fd: AsyncFd<OwnedFd>,
    path: PathBuf,
}

impl Watch {
    /// Begins to watch.
    #[expect(
        deprecated,
        reason = "its safe successor does not exist; an `OwnedFd` keeps the promise that it asks for"
    )]
    pub(super) fn new(path: &Path) -> std::io::Result<Self> {
        let fd = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        let what = WatchFlags::MODIFY
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::MOVED_TO
            | WatchFlags::DELETE
            | WatchFlags::DELETE_SELF;
        inotify::add_watch(&fd, path.parent().unwrap_or(Path::new("/")), what)?;
        Ok(Self { fd: AsyncFd::new(fd)?, path: path.to_owned() })
    }

    /// Waits for the next change.
    pub(super) async fn changed(&mut self) -> std::io::Result<Change> {
        let name = self.path.file_name().unwrap_or_default();
        loop {
            let mut ready = self.fd.readable().await?;
            let outcome = ready.try_io(|fd| drain(fd.get_ref(), name));
            match outcome {
                Ok(Ok(Some(change))) => return Ok(change),
                Ok(Err(error)) => return Err(error),
                // All of that was about other files.
                Ok(Ok(None)) | Err(_) => {}
            }
        }
    }
}

/// Reads all that is there; `None` when nothing of it is about `name`.
fn drain(fd: &OwnedFd, name: &OsStr) -> std::io::Result<Option<Change>> {
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut reader = inotify::Reader::new(fd, &mut buffer);
    let (mut seen, mut any) = (None, false);
    loop {
        match reader.next() {
            Ok(event) => {
                any = true;
                let gone = event.events().intersects(ReadFlags::DELETE_SELF | ReadFlags::IGNORED);
                if gone || event.file_name().is_some_and(|of| OsStr::from_bytes(of.to_bytes()) == name) {
                    note(seen.get_or_insert_default(), event.events());
                }
            }
            Err(error) => match std::io::Error::from(error) {
                e if e.kind() == std::io::ErrorKind::WouldBlock && any => return Ok(seen),
                e => return Err(e),
            },
        }
    }
}

/// What comes later is of the file that has taken the place.
fn note(seen: &mut Change, events: ReadFlags) {
    if events.contains(ReadFlags::MOVED_TO) {
        *seen = Change { replaced: true, closed: false };
    } else if !events.contains(ReadFlags::MODIFY) {
        seen.closed = true;
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, File},
        io::Write,
    };

    use super::*;

    /// The rows of the table.
    #[tokio::test]
    async fn growth_another_file_and_the_end_of_writing_are_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0.log");
        let mut file = File::create(&path).unwrap();
        let mut watch = Watch::new(&path).unwrap();
        fs::write(dir.path().join("1.log"), b"another's").unwrap();
        file.write_all(b"x").unwrap();
        assert_eq!(watch.changed().await.unwrap(), Change::default());
        drop(file);
        assert_eq!(watch.changed().await.unwrap(), Change { replaced: false, closed: true });
        let fresh = dir.path().join("0.log.tmp");
        let mut file = File::create(&fresh).unwrap();
        fs::rename(&fresh, &path).unwrap();
        file.write_all(b"y").unwrap();
        assert_eq!(watch.changed().await.unwrap(), Change { replaced: true, closed: false });
        drop(file);
        assert_eq!(watch.changed().await.unwrap(), Change { replaced: false, closed: true });
        fs::remove_file(&path).unwrap();
        assert_eq!(watch.changed().await.unwrap(), Change { replaced: false, closed: true });
    }
}
