//! Waiting for a log file to grow: the kernel says when (inotify), nothing is polled.

use std::{mem::MaybeUninit, os::fd::OwnedFd, path::Path};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use tokio::io::unix::AsyncFd;

/// What happened to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// It may have grown.
    Grown,
    /// Nobody writes to it any more.
    Closed,
}

/// A watch on one file.
pub(super) struct Watch(AsyncFd<OwnedFd>);

impl Watch {
    /// Begins to watch.
    #[expect(
        deprecated,
        reason = "its safe successor does not exist; an `OwnedFd` keeps the promise that it asks for"
    )]
    pub(super) fn new(path: &Path) -> std::io::Result<Self> {
        let fd = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        let what = WatchFlags::MODIFY | WatchFlags::CLOSE_WRITE | WatchFlags::DELETE_SELF;
        inotify::add_watch(&fd, path, what)?;
        Ok(Self(AsyncFd::new(fd)?))
    }

    /// Waits for the next change.
    pub(super) async fn changed(&mut self) -> std::io::Result<Change> {
        loop {
            let mut ready = self.0.readable().await?;
            let outcome = ready.try_io(|fd| drain(fd.get_ref()));
            match outcome {
                Ok(change) => return change,
                Err(_would_block) => {}
            }
        }
    }
}

/// Reads all that is there; closing outweighs growing.
fn drain(fd: &OwnedFd) -> std::io::Result<Change> {
    let mut buffer = [MaybeUninit::uninit(); 1024];
    let mut reader = inotify::Reader::new(fd, &mut buffer);
    let mut seen = None;
    loop {
        match reader.next() {
            Ok(event)
                if event
                    .events()
                    .intersects(ReadFlags::CLOSE_WRITE | ReadFlags::DELETE_SELF | ReadFlags::IGNORED) =>
            {
                seen = Some(Change::Closed);
            }
            Ok(_) => {
                seen.get_or_insert(Change::Grown);
            }
            Err(error) => match (seen, std::io::Error::from(error)) {
                (Some(change), e) if e.kind() == std::io::ErrorKind::WouldBlock => return Ok(change),
                (_, e) => return Err(e),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[tokio::test]
    async fn growth_and_the_end_of_writing_are_noticed() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let mut watch = Watch::new(file.path()).unwrap();
        file.write_all(b"x").unwrap();
        assert_eq!(watch.changed().await.unwrap(), Change::Grown);
        file.write_all(b"y").unwrap();
        let path = file.into_temp_path();
        assert_eq!(watch.changed().await.unwrap(), Change::Closed);
        drop(path);
    }
}
