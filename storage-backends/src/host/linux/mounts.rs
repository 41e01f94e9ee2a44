//! Making mounts by `sys-mount`, and unmaking them. Sources and targets are Orlop's own paths.
//!
//! The file system type is always said; `sys-mount` would try all that the kernel knows. A read-only bind mount is two
//! steps, since the kernel ignores `ro` in the first; when the second fails, the first is taken back.

use std::{
    ffi::OsStr,
    io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use rustix::mount::UnmountFlags;
use sys_mount::{Mount, MountFlags};

use super::{
    super::{Cause, Error, FsType, MountRequest, Result, options, options::Flag},
    failed,
};

pub(super) fn mount(request: &MountRequest) -> Result<()> {
    match request {
        MountRequest::Device { source, target, fs_type, read_only, options } => {
            mount_device(source, target, *fs_type, *read_only, options)
        }
        MountRequest::Bind { source, target, read_only } => {
            bind(source, target, *read_only).map_err(failed("bind mount on", target))
        }
        MountRequest::Overlay { lower, upper, work, target } => overlay(lower, upper, work, target),
        MountRequest::Nfs { share, target, .. } => Err(Error {
            operation: "mount on",
            object: target.display().to_string(),
            source: Cause::Refused(format!("{share} is mounted by a child, never here")),
        }),
        MountRequest::Tmpfs { target, bytes, mode } => {
            let size = bytes.map(|bytes| format!(",size={bytes}")).unwrap_or_default();
            let data = format!("mode={mode:o}{size}");
            Mount::builder()
                .fstype("tmpfs")
                .flags(MountFlags::NOSUID | MountFlags::NODEV)
                .data(&data)
                .mount("tmpfs", target)
                .map(drop)
                .map_err(failed("mount tmpfs on", target))
        }
    }
}

fn mount_device(
    source: &Path,
    target: &Path,
    fs_type: FsType,
    read_only: bool,
    options: &[String],
) -> Result<()> {
    let parsed = options::parse(fs_type, options).map_err(|reason| Error {
        operation: "mount",
        object: target.display().to_string(),
        source: Cause::Refused(reason),
    })?;
    let mut flags = parsed.flags.iter().fold(MountFlags::empty(), |flags, flag| flags | bit(*flag));
    flags.set(MountFlags::RDONLY, read_only || flags.contains(MountFlags::RDONLY));
    let name = fs_type.to_string();
    Mount::builder()
        .fstype(name.as_str())
        .flags(flags)
        .data(&parsed.data)
        .mount(source, target)
        .map(drop)
        .map_err(|error| failed("mount on", target)(explain(error, source, fs_type)))
}

fn bit(flag: Flag) -> MountFlags {
    match flag {
        Flag::ReadOnly => MountFlags::RDONLY,
        Flag::NoAtime => MountFlags::NOATIME,
        Flag::NoDirAtime => MountFlags::NODIRATIME,
        Flag::RelAtime => MountFlags::RELATIME,
        Flag::StrictAtime => MountFlags::STRICTATIME,
        Flag::NoDev => MountFlags::NODEV,
        Flag::NoSuid => MountFlags::NOSUID,
        Flag::NoExec => MountFlags::NOEXEC,
        Flag::Sync => MountFlags::SYNCHRONOUS,
        Flag::DirSync => MountFlags::DIRSYNC,
    }
}

/// mount(2) has few words: these are the ones that need a hint.
fn explain(error: io::Error, source: &Path, fs_type: FsType) -> io::Error {
    let hint = match error.raw_os_error() {
        Some(nix::libc::ENODEV) => format!("the kernel cannot mount {fs_type}; load the module {fs_type}"),
        Some(nix::libc::EINVAL) => format!(
            "the kernel refuses {} as {fs_type}: an option, or a UUID that is mounted already; `dmesg` says which",
            source.display()
        ),
        Some(nix::libc::EUCLEAN | nix::libc::EIO) => {
            format!("the file system on {} is damaged; run fsck on it", source.display())
        }
        _ => return error,
    };
    io::Error::new(error.kind(), format!("{error}: {hint}"))
}

pub(super) fn bind(source: &Path, target: &Path, read_only: bool) -> io::Result<()> {
    Mount::builder().flags(MountFlags::BIND).mount(source, target)?;
    if !read_only {
        return Ok(());
    }
    // A remount names all flags of the mount anew: those it has must be said again, or they are lost.
    let kept = flags_of(target)?;
    Mount::builder()
        .flags(MountFlags::BIND | MountFlags::REMOUNT | MountFlags::RDONLY | kept)
        .mount(source, target)
        .map(drop)
        .inspect_err(|_| {
            // The first error is the one that tells; a pod must not get a writable mount instead.
            let _ = drop_top(target);
        })
}

fn flags_of(target: &Path) -> io::Result<MountFlags> {
    use rustix::fs::StatVfsMountFlags as Found;
    let found = rustix::fs::statvfs(target)?.f_flag;
    let pairs = [
        (Found::NODEV, MountFlags::NODEV),
        (Found::NOSUID, MountFlags::NOSUID),
        (Found::NOEXEC, MountFlags::NOEXEC),
        (Found::NOATIME, MountFlags::NOATIME),
        (Found::NODIRATIME, MountFlags::NODIRATIME),
    ];
    Ok(pairs
        .into_iter()
        .filter(|(has, _)| found.contains(*has))
        .fold(MountFlags::empty(), |flags, (_, flag)| flags | flag))
}

/// Overlayfs takes its layers as one string, in which `:`, `,` and `\` separate; our paths come from digests and UIDs.
fn overlay(lower: &[PathBuf], upper: &Path, work: &Path, target: &Path) -> Result<()> {
    let context = failed("mount overlay on", target);
    for path in lower.iter().map(PathBuf::as_path).chain([upper, work]) {
        if path.as_os_str().as_bytes().iter().any(|byte| b":,\\".contains(byte)) {
            return Err(Error {
                operation: "mount overlay on",
                object: target.display().to_string(),
                source: Cause::Refused(format!(
                    "{} has a colon, comma or backslash in it; choose another data directory",
                    path.display()
                )),
            });
        }
    }
    let lower = lower.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(":");
    let data = format!("lowerdir={lower},upperdir={},workdir={}", upper.display(), work.display());
    // The kernel takes one page of options and would cut the rest silently.
    if data.len() >= 4096 {
        return Err(context(io::Error::new(
            io::ErrorKind::InvalidInput,
            "the paths of the layers are too long together for one overlay mount; use a shorter data directory",
        )));
    }
    Mount::builder().fstype("overlay").data(&data).mount("overlay", target).map(drop).map_err(context)
}

/// Not lazy, not forced: what is in use stays. Does not follow a link at the end.
pub(super) fn unmount(target: &Path) -> Result<()> {
    let context = failed("unmount", target);
    if target.as_os_str() == OsStr::new("/") {
        return Err(context(io::Error::new(io::ErrorKind::InvalidInput, "the root is not ours")));
    }
    drop_top(target).map_err(context)
}

/// Not by `sys-mount`: its NOFOLLOW is `O_NOFOLLOW`, another number than `UMOUNT_NOFOLLOW`, and the kernel refuses it.
fn drop_top(target: &Path) -> io::Result<()> {
    rustix::mount::unmount(target, UnmountFlags::NOFOLLOW).map_err(io::Error::from)
}
