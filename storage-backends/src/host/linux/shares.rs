//! The parent's side of what can hang, shares and paths of the machine: which calls go to a child, how long each may
//! take, and what it waits on.

use std::{
    fs,
    path::{Component, Path, PathBuf},
    time::Duration,
};

use super::{
    super::{Cause, Error, MountEntry, Outcome, PathBind, Result, Share, Visit},
    child::{Answer, Call, Directory, Job, Source, call},
    host_path, mountinfo, share,
};

/// Connecting takes a few round trips, and a server that was restarted keeps new clients waiting for its grace period.
const MOUNT: Duration = Duration::from_secs(30);
/// A visit may remove many files.
const VISIT: Duration = Duration::from_secs(90);
/// What a pod's end waits for.
const SHORT: Duration = Duration::from_secs(3);

/// A share of a server. Answers at once when this kernel cannot mount it.
pub(super) fn server(share: &Share) -> Result<Source> {
    share::require_client().map_err(|failure| Error {
        operation: "mount",
        object: share.to_string(),
        source: failure.into(),
    })?;
    Ok(Source::Server(share.clone()))
}

/// Whether a path lies on a mount of a file server, where any look may hang. The path itself is not touched: only where
/// its parent is, and what the mount table says.
pub(super) fn is_on_one(path: &Path) -> Result<bool> {
    let path = named(path);
    let mounts = mountinfo::read()?;
    Ok(holder(&mounts, &path).is_some_and(is_server))
}

/// Whether what is mounted is a file server's.
pub(super) fn is_server(mount: &MountEntry) -> bool {
    mount.fs_type.starts_with("nfs")
}

/// A path as the mount table would name it.
fn named(path: &Path) -> PathBuf {
    let parent = path.parent().and_then(|parent| fs::canonicalize(parent).ok());
    match (parent, path.file_name()) {
        (Some(parent), Some(name)) => parent.join(name),
        _ => path.to_owned(),
    }
}

/// The mount that a path is on: the last one at the longest target.
pub(super) fn holder<'a>(mounts: &'a [MountEntry], path: &Path) -> Option<&'a MountEntry> {
    let holds = mounts.iter().filter(|mount| path.starts_with(&mount.target));
    holds.max_by_key(|mount| mount.target.components().count())
}

pub(super) fn mount(
    source: &Source,
    share: &Share,
    directory: Directory,
    target: &Path,
    read_only: bool,
) -> Result<()> {
    let job = Job::Mount {
        source: source.clone(),
        directory,
        target: target.to_owned(),
        read_only,
        options: share.options.clone(),
    };
    let object = format!("{share} on {}", target.display());
    let (operation, waits_on) = ("mount", share.server.clone());
    match call(&Call { operation, object: object.clone(), waits_on, deadline: MOUNT, job: &job })? {
        Answer::Visited(Outcome::Refused(why)) => {
            Err(Error { operation, object, source: Cause::NotIts(why) })
        }
        Answer::Visited(_) | Answer::Done => Ok(()),
    }
}

pub(super) fn visit(source: &Source, share: &Share, visit: &Visit) -> Result<Outcome> {
    let job = Job::Visit { source: source.clone(), visit: visit.clone() };
    let operation = match visit {
        Visit::Make(_) => "make a directory on",
        Visit::Remove(_) => "remove a directory on",
        Visit::Archive(_) => "archive a directory on",
        Visit::Release(_) => "release a directory on",
    };
    let object = share.to_string();
    match call(&Call {
        operation,
        object: object.clone(),
        waits_on: share.server.clone(),
        deadline: VISIT,
        job: &job,
    })? {
        Answer::Visited(outcome) => Ok(outcome),
        Answer::Done => {
            Err(Error { operation, object, source: Cause::Refused("the child did another job".to_owned()) })
        }
    }
}

fn short(operation: &'static str, place: &Path, job: &Job) -> Result<()> {
    let object = place.display().to_string();
    call(&Call { operation, waits_on: object.clone(), object, deadline: SHORT, job }).map(drop)
}

pub(super) fn bind(source: &Path, target: &Path, read_only: bool) -> Result<()> {
    let job = Job::Bind { source: source.to_owned(), target: target.to_owned(), read_only };
    short("bind mount on", target, &job)
}

/// File systems that this kernel serves itself, from a disk of this machine or from nothing: there is nobody to ask.
const SERVED_HERE: [&str; 13] = [
    "bpf", "btrfs", "devpts", "devtmpfs", "ext2", "ext3", "ext4", "overlay", "proc", "ramfs", "sysfs",
    "tmpfs", "xfs",
];

pub(super) fn ask(place: &Path) -> Result<()> {
    if is_served_here(&mountinfo::read()?, place) {
        return Ok(());
    }
    short("ask the server of", place, &Job::Ask { place: place.to_owned() })
}

/// Whether a walk to that place meets file systems that are served here alone. Each part is looked at only after the mount
/// that it is on, so that no server is waited for; a link may lead to any, and is not followed. Nor is `..`: where it leads is
/// not what the names before it say.
fn is_served_here(mounts: &[MountEntry], place: &Path) -> bool {
    if place.components().any(|part| part == Component::ParentDir) {
        return false;
    }
    let mut parts: Vec<&Path> = place.ancestors().collect();
    parts.reverse();
    parts.into_iter().all(|part| {
        let here = holder(mounts, part).is_some_and(|mount| SERVED_HERE.contains(&mount.fs_type.as_str()));
        here && !fs::symlink_metadata(part).is_ok_and(|found| found.is_symlink())
    })
}

/// Where a path of the machine leads, only a walk along it shows: by links it may be on any mount, and hang there.
pub(super) fn show(request: &PathBind) -> Result<()> {
    let object = request.source.display().to_string();
    let call_ = Call {
        operation: "show host path",
        waits_on: object.clone(),
        object,
        deadline: SHORT,
        job: &Job::Show(request.clone()),
    };
    call(&call_).map(drop)
}

/// Taken away at once; what the kernel has to settle with a server after that waits behind.
pub(super) fn hide(target: &Path) -> Result<()> {
    match short("take away host path", target, &Job::Hide { target: target.to_owned() }) {
        Err(Error { source: Cause::Timeout(_), .. })
            if !mountinfo::read()?.iter().any(|mount| mount.target == target) =>
        {
            host_path::remove_target(target)
        }
        other => other,
    }
}

/// The kernel takes a mount out of the table first and waits for its server then: the child that waits is left behind,
/// with what has to be written, and ends when the server is back.
pub(super) fn unmount(target: &Path, force: bool) -> Result<()> {
    let target = named(target);
    let stacked = || Ok(mountinfo::read()?.iter().filter(|mount| mount.target == target).count());
    let before = stacked()?;
    match short("unmount", &target, &Job::Unmount { target: target.clone(), force }) {
        Err(Error { source: Cause::Timeout(_), .. }) if stacked()? < before => {
            tracing::warn!(target_ = %target.display(), "unmounted; its server does not answer, so the rest of it waits behind");
            Ok(())
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(target: &str, fs_type: &str) -> MountEntry {
        MountEntry {
            id: 0,
            parent: 0,
            number: (0, 0),
            root: "/".into(),
            target: target.into(),
            options: "rw".into(),
            fs_type: fs_type.into(),
            source: String::new(),
            super_options: String::new(),
        }
    }

    #[test]
    fn a_path_is_on_the_last_mount_at_its_longest_prefix() {
        let mounts = [entry("/", "ext4"), entry("/a", "nfs4"), entry("/a/b", "ext4"), entry("/a/b", "nfs")];
        let on = |path: &str| holder(&mounts, Path::new(path)).map(|mount| mount.fs_type.as_str());
        assert_eq!(on("/x"), Some("ext4"));
        assert_eq!(on("/a"), Some("nfs4"));
        assert_eq!(on("/ab"), Some("ext4"), "a name that only begins alike");
        assert_eq!(on("/a/b/c"), Some("nfs"));
    }

    #[test]
    fn what_a_link_or_a_server_may_hold_is_asked() {
        let dir = tempfile::tempdir().unwrap();
        let real = fs::canonicalize(dir.path()).unwrap();
        std::os::unix::fs::symlink("/", real.join("link")).unwrap();
        let far = real.join("far");
        let mounts = [entry("/", "ext4"), entry(&far.to_string_lossy(), "fuse.bindfs")];
        for (place, here) in [
            ("", true),
            ("not-there", true),
            ("link", false),
            ("link/etc", false),
            ("far", false),
            ("far/a", false),
            ("far/../a", false),
            ("..", false),
        ] {
            assert_eq!(is_served_here(&mounts, &real.join(place)), here, "{place}");
        }
    }
}
