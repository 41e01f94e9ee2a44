//! The server's process: found by the file that it was told to read, whoever started it, and started to outlive us.
//!
//! No pid file is trusted: `/proc` names every process with its arguments, and the configuration's path is this
//! instance's alone. A file could be missing, when Orlop died right after the start, or name a later process.

use std::{
    ffi::OsString,
    fs::{self, OpenOptions},
    io,
    os::unix::{ffi::OsStrExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use nix::libc;

use super::super::{failed, runtime::process};
use crate::host::{Cause, Error, Process, Result};

/// The program.
const PROGRAM: &str = "ganesha.nfsd";
/// Where programs are looked for.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// What it loads to export directories, in a package of its own.
const MODULE: &str = "libfsalvfs.so";
/// Where its modules may be; below the first one in a directory per architecture.
const LIBRARIES: [&str; 4] = ["/usr/lib", "/usr/lib64", "/usr/local/lib", "/usr/local/lib64"];
/// What Debian calls the two.
const PACKAGES: &str = "nfs-ganesha and nfs-ganesha-vfs";

/// The program, when all that it needs is there.
pub(super) fn program() -> Result<PathBuf> {
    let found = PATH.split(':').map(|dir| Path::new(dir).join(PROGRAM)).find(|path| path.is_file());
    found.filter(|_| has_module()).ok_or_else(|| Error {
        operation: "start the NFS server",
        object: PROGRAM.into(),
        source: Cause::Missing {
            program: "nfs-ganesha with its VFS module".into(),
            package: PACKAGES.into(),
        },
    })
}

fn has_module() -> bool {
    let below = |root: &str| {
        let entries = fs::read_dir(root).into_iter().flatten().flatten().map(|entry| entry.path());
        entries.chain([root.into()]).collect::<Vec<_>>()
    };
    LIBRARIES.iter().flat_map(|root| below(root)).any(|dir| dir.join("ganesha").join(MODULE).is_file())
}

/// The process that reads this configuration; it may be on its way up or down.
pub(super) fn find(config: &Path) -> Result<Option<Process>> {
    let entries = fs::read_dir("/proc").map_err(failed("list", Path::new("/proc")))?;
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    for pid in pids {
        // Seen before the arguments are read, and again after: else they could be a later process's.
        let Some(process) = process::now(pid) else { continue };
        if is_ours(pid, config) && process::lives(process) {
            return Ok(Some(process));
        }
    }
    Ok(None)
}

fn is_ours(pid: i32, config: &Path) -> bool {
    // One that ends meanwhile has no arguments.
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let mut words = line.split(|byte| *byte == 0);
    let program = words.next().unwrap_or_default();
    program.ends_with(PROGRAM.as_bytes()) && words.any(|word| word == config.as_os_str().as_bytes())
}

/// Starts it in a session of its own, with no descriptor of ours.
#[expect(clippy::disallowed_methods, reason = "it outlives us, which the runner of programs does not do")]
pub(super) fn spawn(program: &Path, config: &Path, log: &Path, pid_file: &Path) -> io::Result<Child> {
    let words = OpenOptions::new().create(true).append(true).open(log)?;
    let option = |name: &str, path: &Path| [OsString::from(name), path.into()];
    let mut command = Command::new(program);
    command
        .arg("-F")
        .args(option("-f", config))
        .args(option("-L", log))
        .args(option("-p", pid_file))
        .args(["-N", "NIV_EVENT"])
        .env_clear()
        .env("PATH", PATH)
        // It neither needs the machine's message bus nor may it take another server's name there.
        .env("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent")
        // What other processes have seen on a loop device a moment ago may be another volume's by now: the server would
        // take two file systems for one, and export the second never.
        .env("BLKID_FILE", "/dev/null")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(words.try_clone()?)
        .stderr(words);
    detach(&mut command);
    command.spawn()
}

#[expect(unsafe_code, reason = "session and descriptors can only be changed between fork and exec")]
fn detach(command: &mut Command) {
    let prepare = || {
        // SAFETY: bare system calls without pointers.
        unsafe {
            libc::setsid();
            libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC);
        }
        Ok(())
    };
    // SAFETY: the closure only makes system calls; it neither allocates nor takes a lock.
    unsafe { command.pre_exec(prepare) };
}
