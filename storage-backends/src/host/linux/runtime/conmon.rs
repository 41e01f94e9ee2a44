//! Creating: conmon is started with two pipes, put into its cgroup, let go, and says how `runc create` went.
//!
//! Protocol (conmon 2.0 to 2.1): it waits for a byte on `_OCI_STARTPIPE` before it forks, and writes one line of JSON to
//! `_OCI_SYNCPIPE`: `{"data": PID}`, or `{"data": -1, "message": "what runc said"}`. It keeps the second pipe open, so
//! the line is read and no more. It is given the reading end as well: when Orlop dies before the line is written, conmon
//! would die of a broken pipe, and with it the log and the exit code of a container that was created all the same. And it
//! is given the file that it complains to once more, since it replaces its standard error: that file is locked, and tells
//! the next life that it is still at work ([`making`]). What conmon holds does not reach the container: runc marks
//! everything but the standard descriptors close-on-exec.
//! The container's standard input is /dev/null.
//!
//! A log that would grow beyond [`LOG_BYTES`] begins anew: conmon syncs and closes the file, opens `<log>.tmp`, and renames
//! it to `<log>`. What was in the old file is gone for everybody who does not have it open. conmon does that by itself, so it
//! holds also while no agent runs.

use std::{
    ffi::OsString,
    fs::File,
    io::{self, Read, Write},
    os::{
        fd::{AsRawFd, OwnedFd, RawFd},
        unix::process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use nix::libc;
use serde::Deserialize;

use super::{super::failed, RuntimeConfig, about, cgroup, making, process::readable};
use crate::host::{Cause, ContainerRequest, LOG_BYTES, Result};

/// Where programs are looked for.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// How long creating may take: all of it is work on this machine.
pub(super) const DEADLINE: Duration = Duration::from_secs(60);
const OPERATION: &str = "create container";

/// What conmon says about `runc create`.
#[derive(Deserialize)]
struct Answer {
    data: i64,
    #[serde(default)]
    message: String,
}

/// The path of a program, or an error that names its package.
pub(super) fn find(program: &str, package: &str) -> Result<PathBuf> {
    let found = PATH.split(':').map(|dir| Path::new(dir).join(program)).find(|path| path.is_file());
    found.ok_or_else(|| {
        let missing = Cause::Missing { program: program.to_owned(), package: package.to_owned() };
        about(OPERATION, program, missing)
    })
}

/// Creates a container under a monitor.
pub(super) fn create(config: &RuntimeConfig, request: &ContainerRequest) -> Result<()> {
    let context = failed(OPERATION, Path::new(&request.id));
    let (conmon, runc) = (find("conmon", "conmon")?, find("runc", "runc")?);
    let (answer, sync) = io::pipe().map_err(&context)?;
    let (start, mut go) = io::pipe().map_err(&context)?;
    let words = making::begin(config, &request.id).map_err(&context)?;
    let handed = [sync.as_raw_fd(), start.as_raw_fd(), answer.as_raw_fd(), words.as_raw_fd()];
    let spawned = spawn(&conmon, request, &arguments(config, request, &runc), handed, &words);
    // What the child holds is closed here, so that its death is seen as an end of file, and of the lock.
    drop((sync, start, words));
    let mut child = spawned.map_err(&context)?;
    let line = cgroup::join(&config.instance, "monitors", child.id()).and_then(|()| {
        go.write_all(b"x").map_err(&context)?;
        read_line(answer.into(), DEADLINE).map_err(&context)
    });
    // Let go, it has forked and left by itself; else it must not go on, which closing its pipe would let it do as well.
    if line.is_err() {
        let _ = child.kill();
    }
    drop(go);
    let code = child.wait().map_err(&context)?.code();
    let words = making::words(config, &request.id);
    judge(&line?, code, &words).map_err(|cause| about(OPERATION, &request.id, cause))
}

fn arguments(config: &RuntimeConfig, request: &ContainerRequest, runc: &Path) -> Vec<OsString> {
    let run = |part: &str| config.run_dir.join(part).into_os_string();
    let joined = |prefix: &str, path: &Path| {
        let mut word = OsString::from(prefix);
        word.push(path);
        word
    };
    let mut all: Vec<OsString> = Vec::new();
    let mut option = |name: &str, value: OsString| all.extend([OsString::from(name), value]);
    option("--api-version", "1".into());
    option("--cid", request.id.clone().into());
    option("--cuuid", request.id.clone().into());
    option("--name", request.id.clone().into());
    option("--runtime", runc.into());
    option("--bundle", request.bundle.clone().into());
    option("--conmon-pidfile", joined("", &config.run_dir.join("monitors").join(&request.id)));
    // Named, because it would be written to the working directory otherwise.
    option("--container-pidfile", request.bundle.join("pid").into());
    option("--exit-dir", run("exits"));
    option("--log-path", joined("k8s-file:", &request.log));
    option("--log-size-max", LOG_BYTES.to_string().into());
    option("--log-level", "error".into());
    option("--runtime-arg", joined("--root=", &config.run_dir.join("runc")));
    option("--runtime-arg", joined("--log=", &request.bundle.join("runc.log")));
    // Without it the attach socket's path may be too long for the kernel.
    all.push("--full-attach".into());
    all
}

#[expect(
    clippy::disallowed_methods,
    reason = "conmon is handed pipes, which the runner of programs does not do"
)]
fn spawn(
    conmon: &Path,
    request: &ContainerRequest,
    arguments: &[OsString],
    handed: [RawFd; 4],
    words: &File,
) -> io::Result<Child> {
    let mut command = Command::new(conmon);
    command
        .args(arguments)
        .env_clear()
        .env("PATH", PATH)
        .env("_OCI_SYNCPIPE", handed[0].to_string())
        .env("_OCI_STARTPIPE", handed[1].to_string())
        // It leaves a file `oom` where it stands when the kernel kills for want of memory.
        .current_dir(&request.bundle)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(words.try_clone()?);
    hand_over(&mut command, handed);
    command.spawn()
}

/// Puts the child into a session of its own and leaves it four descriptors beside its standard ones.
#[expect(unsafe_code, reason = "session and descriptors can only be changed between fork and exec")]
fn hand_over(command: &mut Command, keep: [RawFd; 4]) {
    let prepare = move || {
        // SAFETY: bare system calls without pointers.
        unsafe {
            libc::setsid();
            libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC);
            for fd in keep {
                libc::fcntl(fd, libc::F_SETFD, 0);
            }
        }
        Ok(())
    };
    // SAFETY: the closure only makes system calls; it neither allocates nor takes a lock.
    unsafe { command.pre_exec(prepare) };
}

/// Reads up to a line's end, the end of the stream, or the deadline.
fn read_line(pipe: OwnedFd, deadline: Duration) -> io::Result<Vec<u8>> {
    let until = Instant::now() + deadline;
    let mut line = Vec::new();
    let mut pipe = File::from(pipe);
    while !line.ends_with(b"\n") {
        let fd: OwnedFd = pipe.into();
        if !readable(&fd, until.saturating_duration_since(Instant::now()))? {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("conmon said nothing within {deadline:?}"),
            ));
        }
        pipe = fd.into();
        let mut part = [0; 4096];
        match pipe.read(&mut part)? {
            0 => break,
            n => line.extend_from_slice(&part[..n]),
        }
    }
    Ok(line)
}

/// What conmon's line means.
fn judge(line: &[u8], code: Option<i32>, words: &Path) -> std::result::Result<(), Cause> {
    let said = |program: &str, code, stderr: String| Cause::Program { program: program.into(), code, stderr };
    match serde_json::from_slice::<Answer>(line) {
        Ok(answer) if answer.data > 0 => {
            // Nobody reads it any more; conmon's own copy is open until it ends.
            let _ = std::fs::remove_file(words);
            Ok(())
        }
        Ok(answer) => Err(said("runc create", Some(1), answer.message.trim().to_owned())),
        Err(_) => {
            let log = std::fs::read_to_string(words).unwrap_or_default();
            Err(said("conmon", code, log.trim().to_owned()))
        }
    }
}

/// Starts conmon as [`create`] does, with this for runc, and lets go of it at once: what a killed creator leaves.
#[cfg(test)]
pub(super) fn abandon(config: &RuntimeConfig, request: &ContainerRequest, runc: &Path) {
    let (answer, sync) = io::pipe().unwrap();
    let (start, go) = io::pipe().unwrap();
    let words = making::begin(config, &request.id).unwrap();
    let handed = [sync.as_raw_fd(), start.as_raw_fd(), answer.as_raw_fd(), words.as_raw_fd()];
    let conmon = find("conmon", "conmon").unwrap();
    let spawned = spawn(&conmon, request, &arguments(config, request, runc), handed, &words);
    drop((answer, go, words));
    spawned.unwrap().wait().unwrap();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conmons_answers_are_understood() {
        let none = Path::new("/nonexistent");
        assert!(judge(b"{\"data\": 31825}\n", Some(0), none).is_ok());
        let refused =
            judge(b"{\"data\": -1, \"message\": \"invalid rootfs\\n\"}\n", Some(0), none).unwrap_err();
        assert_eq!(refused.to_string(), "runc create exited with 1: invalid rootfs");
        assert!(
            matches!(judge(b"", Some(1), none), Err(Cause::Program { program, .. }) if program == "conmon")
        );
    }

    #[test]
    fn a_missing_program_is_named_with_its_package() {
        let error = find("no-such-runtime", "runc").unwrap_err();
        assert_eq!(error.source.to_string(), "no-such-runtime is not installed; install the package runc");
    }
}
