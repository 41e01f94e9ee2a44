//! The exit directory: one file per ended container, named by its id, holding the exit code, written whole by conmon.

use std::{fs, io, os::fd::OwnedFd, os::unix::fs::MetadataExt, path::Path, time::Duration};

use rustix::{
    fs::inotify::{self, CreateFlags, WatchFlags},
    io::Errno,
};

use super::{super::failed, process::readable};
use crate::host::Result;

/// An exit on record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Exit {
    /// The code; `None` when the file cannot be understood.
    pub(super) code: Option<i32>,
    /// Seconds since 1970.
    pub(super) at: i64,
}

/// The exit of a container, when it is on record.
pub(super) fn read(dir: &Path, id: &str) -> Result<Option<Exit>> {
    let path = dir.join(id);
    let content = fs::metadata(&path).and_then(|meta| Ok((meta.mtime(), fs::read_to_string(&path)?)));
    match content {
        Ok((at, text)) => Ok(Some(Exit { code: text.trim().parse().ok(), at })),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(failed("read", &path)(e)),
    }
}

/// Removes a record; fine when there is none.
pub(super) fn forget(dir: &Path, id: &str) -> Result<()> {
    let path = dir.join(id);
    match fs::remove_file(&path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(failed("remove", &path)(e)),
        _ => Ok(()),
    }
}

/// Whether this is a file in the making: glib, which conmon writes with, appends a dot and six letters until it renames.
pub(super) fn is_temporary(name: &str) -> bool {
    let suffix = name.rsplit_once('.').map_or("", |(_, suffix)| suffix);
    suffix.len() == 6 && suffix.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
}

/// Wakes when an exit is recorded.
#[derive(Debug)]
pub(super) struct Watch(OwnedFd);

impl Watch {
    /// Watches a directory from now on.
    pub(super) fn new(dir: &Path) -> Result<Self> {
        let make = || {
            let fd = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
            inotify::add_watch(&fd, dir, WatchFlags::MOVED_TO)?;
            Ok::<_, Errno>(Self(fd))
        };
        make().map_err(|e| failed("watch", dir)(e.into()))
    }

    /// Waits for a record made since the last call, or for `timeout`.
    pub(super) fn wait(&self, timeout: Duration) -> Result<()> {
        let context = || failed("wait for exits in", Path::new("the exit directory"));
        if !readable(&self.0, timeout).map_err(context())? {
            return Ok(());
        }
        let mut events = [0; 4096];
        loop {
            match rustix::io::read(&self.0, &mut events) {
                Ok(n) if n > 0 => {}
                Ok(_) | Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(e) => return Err(context()(e.into())),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_made_before_the_wait_is_not_missed() {
        let dir = tempfile::tempdir().unwrap();
        let (exits, other) = (dir.path().join("exits"), dir.path().join("new"));
        fs::create_dir(&exits).unwrap();
        let watch = Watch::new(&exits).unwrap();
        fs::write(&other, "137").unwrap();
        fs::rename(&other, exits.join("a")).unwrap();
        watch.wait(Duration::from_secs(60)).unwrap();
        assert_eq!(read(&exits, "a").unwrap().unwrap().code, Some(137));
        watch.wait(Duration::ZERO).unwrap();
        forget(&exits, "a").unwrap();
        forget(&exits, "a").unwrap();
        assert_eq!(read(&exits, "a").unwrap(), None);
    }

    #[test]
    fn files_in_the_making_are_told_from_ids() {
        assert!(is_temporary("c1.Z9QX0A"));
        assert!(!is_temporary("c1") && !is_temporary("web.1") && !is_temporary("a.abcdef"));
    }
}
