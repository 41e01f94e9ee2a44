//! Namespaces that outlive every process: made on a thread of their own, which ends, and held by a bind mount each.

use std::{
    fs::{self, File},
    io,
    os::fd::{AsRawFd, OwnedFd},
    path::{Path, PathBuf},
};

use nix::{
    libc,
    mount::{MntFlags, MsFlags},
    sched::CloneFlags,
};

use super::super::failed;
use crate::host::{Namespace, Result};

/// NSFS_MAGIC (linux/magic.h).
const NSFS: rustix::fs::FsWord = 0x6e73_6673;

impl Namespace {
    /// Its name in `/proc/PID/ns` and below a pod's directory.
    fn file(self) -> &'static str {
        match self {
            Self::Net => "net",
            Self::Ipc => "ipc",
            Self::Uts => "uts",
        }
    }

    fn flag(self) -> CloneFlags {
        match self {
            Self::Net => CloneFlags::CLONE_NEWNET,
            Self::Ipc => CloneFlags::CLONE_NEWIPC,
            Self::Uts => CloneFlags::CLONE_NEWUTS,
        }
    }
}

/// Makes and pins namespaces in `dir`, which exists. All or none are new: half a set from a crash is thrown away, since
/// nothing can have been started in it.
pub(super) fn pin(dir: &Path, namespaces: &[Namespace], hostname: &str) -> Result<()> {
    if namespaces.iter().all(|n| is_pinned(&dir.join(n.file()))) {
        return Ok(());
    }
    namespaces.iter().try_for_each(|n| release(&dir.join(n.file())))?;
    let made = std::thread::scope(|scope| {
        let thread = scope.spawn(|| make(dir, namespaces, hostname));
        thread
            .join()
            .unwrap_or_else(|_| Err(failed("make namespaces in", dir)(io::Error::other("thread panicked"))))
    });
    if made.is_err() {
        // What was pinned before the error is of no use; the first error is the one to tell.
        let _ = namespaces.iter().try_for_each(|n| release(&dir.join(n.file())));
    }
    made
}

/// Lets go of what is pinned in `dir` and removes it; fine when it is gone.
pub(super) fn unpin(dir: &Path) -> Result<()> {
    for namespace in [Namespace::Net, Namespace::Ipc, Namespace::Uts] {
        release(&dir.join(namespace.file()))?;
    }
    match fs::remove_dir(dir) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(failed("remove directory", dir)(e)),
        _ => Ok(()),
    }
}

/// Runs on a thread that ends afterwards: its namespaces change, nobody else's.
fn make(dir: &Path, namespaces: &[Namespace], hostname: &str) -> Result<()> {
    let flags = namespaces.iter().fold(CloneFlags::empty(), |all, n| all | n.flag());
    nix::sched::unshare(flags).map_err(|e| failed("make namespaces in", dir)(e.into()))?;
    for namespace in namespaces {
        match namespace {
            Namespace::Net => loopback_up().map_err(failed("set up loopback in", dir))?,
            Namespace::Uts => {
                nix::unistd::sethostname(hostname).map_err(|e| failed("set host name in", dir)(e.into()))?;
            }
            Namespace::Ipc => {}
        }
    }
    namespaces.iter().try_for_each(|n| hold(&dir.join(n.file()), n.file()))
}

#[expect(clippy::disallowed_methods, reason = "this is host::linux; sys-mount cannot bind a file of /proc")]
fn hold(target: &Path, name: &str) -> Result<()> {
    let context = failed("pin namespace", target);
    File::create(target).map_err(&context)?;
    let source = PathBuf::from("/proc/thread-self/ns").join(name);
    let none = None::<&str>;
    nix::mount::mount(Some(&source), target, none, MsFlags::MS_BIND, none).map_err(|e| context(e.into()))
}

/// Unmounts until nothing is pinned, and removes the file. Detached: a container that still has it keeps it by itself.
#[expect(clippy::disallowed_methods, reason = "this is host::linux; the kind of mount is known to be nsfs")]
fn release(target: &Path) -> Result<()> {
    let context = failed("unpin namespace", target);
    while is_pinned(target) {
        let flags = MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW;
        nix::mount::umount2(target, flags).map_err(|e| context(e.into()))?;
    }
    match fs::remove_file(target) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(context(e)),
        _ => Ok(()),
    }
}

fn is_pinned(path: &Path) -> bool {
    rustix::fs::statfs(path).is_ok_and(|fs| fs.f_type == NSFS)
}

/// Brings `lo` of this thread's network namespace up; the kernel gives it 127.0.0.1 and ::1 then.
#[expect(unsafe_code, reason = "an ioctl on an interface has no safe form here")]
fn loopback_up() -> io::Result<()> {
    let socket: OwnedFd = std::net::UdpSocket::bind("0.0.0.0:0")?.into();
    // SAFETY: ifreq is plain data for which all zeros is a valid value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = libc::c_char::from_ne_bytes([*from]);
    }
    request.ifr_ifru.ifru_flags = i16::try_from(libc::IFF_UP).map_err(io::Error::other)?;
    // SAFETY: the request is an ifreq, as SIOCSIFFLAGS wants (netdevice(7)), and outlives the call.
    match unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
