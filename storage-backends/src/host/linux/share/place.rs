//! A directory of a share as a mount of its own: found beneath the share's root, through no link.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::{
    libc,
    sched::{CloneFlags, setns, unshare},
};
use rustix::{
    fs::{CWD, Mode, OFlags, ResolveFlags},
    mount::{
        MountPropagationFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, mount_change, move_mount,
        open_tree, unmount,
    },
};

use super::super::child::Failure;

/// What no path may do on a share.
pub(super) const BENEATH: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS)
    .union(ResolveFlags::NO_XDEV);

/// The directory `beneath` the root of a mount that is nowhere, as a mount that is nowhere.
///
/// Kernels before 6.15 copy no part of a mount that is nowhere, so it is put somewhere first: into a mount namespace of
/// this process, of which it becomes the root. What else was mounted is let go of there at once: a copy of it that hangs
/// with this process would keep the node's devices busy.
pub(super) fn beneath(share: &OwnedFd, beneath: &[String]) -> Result<OwnedFd, Failure> {
    let outside = rustix::fs::open("/proc/self/ns/mnt", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    unshare(CloneFlags::CLONE_NEWNS).map_err(std::io::Error::from)?;
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    move_mount(share, "", CWD, "/", MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
    rustix::process::fchdir(share)?;
    // A root that is the kernel's first one cannot be changed; then all of it stays until this process ends.
    if rustix::process::pivot_root(".", ".").is_ok() {
        unmount(".", UnmountFlags::DETACH)?;
        rustix::process::fchdir(share)?;
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let found = rustix::fs::openat2(share, beneath.join("/"), flags, Mode::empty(), BENEATH)
        .map_err(|errno| explain(errno, beneath))?;
    let how =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    let shown = open_tree(&found, "", how)?;
    setns(outside, CloneFlags::CLONE_NEWNS).map_err(std::io::Error::from)?;
    Ok(shown)
}

fn explain(errno: rustix::io::Errno, beneath: &[String]) -> Failure {
    use rustix::io::Errno;
    match errno {
        Errno::LOOP | Errno::NOTDIR | Errno::XDEV => Failure::Refused(format!(
            "{} on the share is not a directory all the way: a part of it is a file, a link or another file system",
            beneath.join("/")
        )),
        errno => errno.into(),
    }
}

/// Gives a mount its own flags.
pub(super) fn set_flags(mount: &OwnedFd, read_only: bool, flags: &[&'static str]) -> Result<(), Failure> {
    let mut set = if read_only { libc::MOUNT_ATTR_RDONLY } else { 0 };
    let mut clear = 0;
    for flag in flags {
        match *flag {
            "ro" => set |= libc::MOUNT_ATTR_RDONLY,
            "nosuid" => set |= libc::MOUNT_ATTR_NOSUID,
            "nodev" => set |= libc::MOUNT_ATTR_NODEV,
            "noexec" => set |= libc::MOUNT_ATTR_NOEXEC,
            "nodiratime" => set |= libc::MOUNT_ATTR_NODIRATIME,
            "noatime" => (set, clear) = (set | libc::MOUNT_ATTR_NOATIME, libc::MOUNT_ATTR__ATIME),
            "strictatime" => (set, clear) = (set | libc::MOUNT_ATTR_STRICTATIME, libc::MOUNT_ATTR__ATIME),
            // `relatime` is so anyway; `sync` and `dirsync` are the file system's.
            _ => {}
        }
    }
    if set == 0 && clear == 0 { Ok(()) } else { Ok(set_attributes(mount.as_fd(), set, clear)?) }
}

#[expect(unsafe_code, reason = "no crate in the graph has mount_setattr(2)")]
fn set_attributes(mount: BorrowedFd<'_>, set: u64, clear: u64) -> std::io::Result<()> {
    let attributes = libc::mount_attr { attr_set: set, attr_clr: clear, propagation: 0, userns_fd: 0 };
    // SAFETY: the path is an empty C string, and the kernel reads as many bytes of the attributes as it is told.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    if answer == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}
