//! The only recursive remover there is.
//!
//! Walks by directory handle: no path is looked up twice, no link is followed, no mount is crossed (`openat2` with
//! `RESOLVE_NO_XDEV`, and unlink itself refuses a mount point), and it does not begin when anything is mounted below.
//! Trees made by containers may be deeper than a process has descriptors: what lies deep is moved up first.

use std::{
    ffi::CString,
    fs,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, ResolveFlags},
    io::Errno,
};

use super::{
    super::{Cause, Error, Result},
    failed, mountinfo,
};

/// How deep the walk goes before it moves a directory up.
const DEPTH: usize = 64;

pub(super) fn tree(path: &Path) -> Result<()> {
    let context = failed("remove tree", path);
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let root = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(root) => root,
        Err(Errno::NOENT) => return Ok(()),
        Err(error) => return Err(context(error.into())),
    };
    refuse_mounts(path, &root)?;
    Walk { root: &root, moved: 0 }.empty(&root, 0).map_err(|error| context(error.into()))?;
    rustix::fs::unlinkat(CWD, path, AtFlags::REMOVEDIR).map_err(|error| context(error.into()))
}

/// A directory of an opened one, with all that is in it. Nothing can be mounted in it: the walk would stop there.
pub(super) fn tree_at(parent: &OwnedFd, name: &str) -> std::io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let root = rustix::fs::openat(parent, name, flags, Mode::empty())?;
    Walk { root: &root, moved: 0 }.empty(&root, 0)?;
    Ok(rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR)?)
}

/// The handle's own path is asked for, so that a link in the middle of `path` deceives nobody.
fn refuse_mounts(path: &Path, root: &OwnedFd) -> Result<()> {
    let link = PathBuf::from(format!("/proc/self/fd/{}", root.as_raw_fd()));
    let real = fs::read_link(link).map_err(failed("remove tree", path))?;
    let below = mountinfo::read()?.into_iter().find(|mount| mount.target.starts_with(&real));
    match below {
        None => Ok(()),
        Some(mount) => Err(Error {
            operation: "remove tree",
            object: path.display().to_string(),
            source: Cause::Refused(format!("{} is mounted in it", mount.target.display())),
        }),
    }
}

struct Walk<'a> {
    root: &'a OwnedFd,
    moved: u64,
}

impl Walk<'_> {
    /// Empties a directory. Reads it again until nothing is left: names may come while others go.
    fn empty(&mut self, directory: &OwnedFd, depth: usize) -> rustix::io::Result<()> {
        loop {
            let entries = names(directory)?;
            if entries.is_empty() {
                return Ok(());
            }
            for (name, kind) in entries {
                self.remove(directory, &name, kind, depth)?;
            }
        }
    }

    fn remove(
        &mut self,
        at: &OwnedFd,
        name: &CString,
        kind: FileType,
        depth: usize,
    ) -> rustix::io::Result<()> {
        if !matches!(kind, FileType::Directory | FileType::Unknown) {
            return gone(rustix::fs::unlinkat(at, name, AtFlags::empty()));
        }
        if depth >= DEPTH {
            return self.move_up(at, name);
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
        match rustix::fs::openat2(at, name, flags, Mode::empty(), resolve) {
            Ok(inner) => {
                self.empty(&inner, depth + 1)?;
                gone(rustix::fs::unlinkat(at, name, AtFlags::REMOVEDIR))
            }
            // A file after all, or a link that took the directory's place.
            Err(Errno::NOTDIR | Errno::LOOP) => gone(rustix::fs::unlinkat(at, name, AtFlags::empty())),
            Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The root is read again until it is empty, so what is moved there is removed in its turn.
    fn move_up(&mut self, at: &OwnedFd, name: &CString) -> rustix::io::Result<()> {
        loop {
            self.moved += 1;
            let place = format!(".removing-{}", self.moved);
            let flags = rustix::fs::RenameFlags::NOREPLACE;
            match rustix::fs::renameat_with(at, name, self.root, place.as_str(), flags) {
                Err(Errno::EXIST) => {}
                other => return gone(other),
            }
        }
    }
}

/// What is in a directory.
pub(super) fn names(directory: impl AsFd) -> rustix::io::Result<Vec<(CString, FileType)>> {
    let mut found = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if name.to_bytes() != b"." && name.to_bytes() != b".." {
            found.push((name.to_owned(), entry.file_type()));
        }
    }
    Ok(found)
}

fn gone(result: rustix::io::Result<()>) -> rustix::io::Result<()> {
    match result {
        Err(Errno::NOENT) => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removes_files_links_and_directories_but_nothing_that_links_point_to() {
        let dir = tempfile::tempdir().unwrap();
        let outside = dir.path().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("kept"), b"x").unwrap();
        let tree_path = dir.path().join("tree");
        fs::create_dir_all(tree_path.join("a/b/c")).unwrap();
        fs::write(tree_path.join("a/b/file"), b"x").unwrap();
        std::os::unix::fs::symlink(&outside, tree_path.join("a/link")).unwrap();
        tree(&tree_path).unwrap();
        assert!(!tree_path.exists());
        assert!(outside.join("kept").exists());
        tree(&tree_path).unwrap();
    }

    #[test]
    fn a_link_in_place_of_the_tree_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("real")).unwrap();
        fs::write(dir.path().join("real/kept"), b"x").unwrap();
        std::os::unix::fs::symlink(dir.path().join("real"), dir.path().join("link")).unwrap();
        tree(&dir.path().join("link")).unwrap_err();
        assert!(dir.path().join("real/kept").exists());
    }

    #[test]
    fn a_tree_deeper_than_descriptors_and_path_lengths_allow() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep");
        fs::create_dir(&path).unwrap();
        let mut at = OwnedFd::from(fs::File::open(&path).unwrap());
        for _ in 0..3000 {
            rustix::fs::mkdirat(&at, "d", Mode::RWXU).unwrap();
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            at = rustix::fs::openat(&at, "d", flags, Mode::empty()).unwrap();
        }
        drop(at);
        tree(&path).unwrap();
        assert!(!path.exists());
    }

    /// Also when a mount appears after the look at the mount table: the walk itself stops there.
    #[test]
    fn root_the_walk_crosses_no_mount() {
        use super::super::{
            super::{Host, MountRequest},
            Linux,
            scratch::{Scratch, can_run},
        };
        if !can_run("root_the_walk_crosses_no_mount") {
            return;
        }
        let scratch = Scratch::new();
        let place = scratch.path().join("a/mounted");
        Linux.create_dir(&place).unwrap();
        Linux.mount(&MountRequest::Tmpfs { target: place.clone(), bytes: None, mode: 0o700 }).unwrap();
        fs::write(place.join("kept"), b"data").unwrap();
        let root = OwnedFd::from(fs::File::open(scratch.path()).unwrap());
        let refused = Walk { root: &root, moved: 0 }.empty(&root, 0).unwrap_err();
        assert_eq!(refused, Errno::XDEV);
        assert_eq!(fs::read(place.join("kept")).unwrap(), b"data");
    }
}
