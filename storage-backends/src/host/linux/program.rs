//! The one place that runs a program to its end.
//!
//! Owns: a known environment, standard input closed, output bounded, a deadline, and errors that hold the end of what
//! the program said. Descriptors of ours are close-on-exec, so the program gets its three and no more.

use std::{
    io::{self, Read},
    os::unix::process::CommandExt,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, mpsc},
    thread,
    time::{Duration, Instant},
};

use nix::libc;

use super::{
    super::{Cause, Error, Result},
    lock,
};

/// Where programs are looked for: sbin too, whatever the environment of the service says.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// How much of each output stream is kept.
const KEPT: usize = 64 * 1024;
/// How many of the last lines of standard error go into an error.
const TAIL: usize = 5;

/// A program to be run, and what to say when it fails.
#[derive(Debug)]
pub(crate) struct Program<'a> {
    /// What it is run for: `make ext4 file system`.
    pub(crate) operation: &'static str,
    /// On what.
    pub(crate) object: String,
    /// Its name, looked for in the standard directories.
    pub(crate) name: &'a str,
    /// The Debian package that holds it.
    pub(crate) package: &'a str,
    /// Its arguments.
    pub(crate) arguments: Vec<std::ffi::OsString>,
    /// How long it may take before it is killed.
    pub(crate) deadline: Duration,
}

/// What a program left behind.
#[derive(Debug)]
pub(crate) struct Output {
    /// Exit code; `None` when killed by a signal.
    pub(crate) code: Option<i32>,
    /// Standard output, its first 64 KiB.
    pub(crate) stdout: String,
    /// Standard error, its first 64 KiB.
    pub(crate) stderr: String,
}

/// How a program ended that is not waited for at any price.
pub(crate) enum Ended {
    /// By itself.
    Answered(Output),
    /// It was killed at its deadline, and is gone; what it had said.
    Killed(String),
    /// It was killed, and the kernel does not let it go; what it had said.
    Left(Child, String),
}

/// Waits for a child that was left behind, and keeps `held` until it is gone.
pub(crate) fn reap_later(mut child: Child, held: impl Send + 'static) {
    thread::spawn(move || {
        // It may take until a server is back, or for ever; an error means that it is not there to be waited for.
        let _ = child.wait();
        drop(held);
    });
}

impl Program<'_> {
    /// Runs it until then and answers whatever its exit code is. One that a kill does not end within `patience` is
    /// handed back.
    pub(crate) fn output_or_leave(&self, until: Instant, patience: Duration) -> Result<Ended> {
        let mut child = self.spawn()?;
        let streams = Streams::of(&mut child);
        match streams.collect(&mut child, until) {
            Ok(Some(output)) => return Ok(Ended::Answered(output)),
            Ok(None) => {}
            Err(error) => {
                reap_later(child, ());
                return Err(self.failed(Cause::Os(error)));
            }
        }
        // Killing fails only when it has ended.
        let _ = child.kill();
        let until = Instant::now() + patience;
        while Instant::now() < until {
            if child.try_wait().is_ok_and(|status| status.is_some()) {
                return Ok(Ended::Killed(streams.stdout.said()));
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(Ended::Left(child, streams.stdout.said()))
    }

    /// Runs it and answers whatever its exit code is.
    pub(crate) fn output(&self) -> Result<Output> {
        let started = Instant::now();
        let mut child = self.spawn()?;
        let outcome = Streams::of(&mut child).collect(&mut child, started + self.deadline);
        if !matches!(outcome, Ok(Some(_))) {
            // Killing fails only when it has ended; waiting leaves no zombie.
            let _ = child.kill();
            let _ = child.wait();
        }
        match outcome {
            Ok(Some(output)) => Ok(output),
            Ok(None) => Err(self.failed(Cause::Timeout(self.deadline))),
            Err(error) => Err(self.failed(Cause::Os(error))),
        }
    }

    /// Runs it; any exit code but 0 is an error.
    pub(crate) fn run(&self) -> Result<String> {
        let output = self.output()?;
        if output.code == Some(0) { Ok(output.stdout) } else { Err(self.exited(&output)) }
    }

    /// The error for an exit code that the caller does not accept.
    pub(crate) fn exited(&self, output: &Output) -> Error {
        self.failed(Cause::Program {
            program: self.name.to_owned(),
            code: output.code,
            stderr: tail(&output.stderr),
        })
    }

    fn failed(&self, source: Cause) -> Error {
        Error { operation: self.operation, object: self.object.clone(), source }
    }

    #[expect(clippy::disallowed_methods, reason = "this is the one place that is allowed to")]
    fn spawn(&self) -> Result<Child> {
        let mut command = Command::new(self.name);
        command
            .args(&self.arguments)
            .env_clear()
            .env("PATH", PATH)
            .env("LC_ALL", "C")
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A Ctrl-C at our terminal must not kill a half-done mkfs.
            .process_group(0);
        close_inherited(&mut command);
        command.spawn().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => self
                .failed(Cause::Missing { program: self.name.to_owned(), package: self.package.to_owned() }),
            _ => self.failed(Cause::Os(error)),
        })
    }
}

/// Marks everything above standard error close-on-exec in the child: our own files are so anyway, but not what the
/// one who started us left open.
#[expect(unsafe_code, reason = "the child's descriptors can only be changed between fork and exec")]
fn close_inherited(command: &mut Command) {
    let close = || {
        // SAFETY: a bare system call without pointers. Old kernels that lack it answer ENOSYS, which costs nothing.
        unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC) };
        Ok(())
    };
    // SAFETY: the closure makes one system call; it neither allocates nor takes a lock.
    unsafe { command.pre_exec(close) };
}

/// What a child says.
struct Streams {
    stdout: Stream,
    stderr: Stream,
}

impl Streams {
    fn of(child: &mut Child) -> Self {
        Self { stdout: Stream::read(child.stdout.take()), stderr: Stream::read(child.stderr.take()) }
    }

    /// Waits for the end of both, then reaps. `None`: the deadline passed first.
    fn collect(&self, child: &mut Child, until: Instant) -> io::Result<Option<Output>> {
        let left = || until.saturating_duration_since(Instant::now());
        if !self.stdout.has_ended(left()) || !self.stderr.has_ended(left()) {
            return Ok(None);
        }
        // It closed its output, so the exit is at most an instant away.
        let mut pause = Duration::from_micros(50);
        loop {
            if let Some(status) = child.try_wait()? {
                let (stdout, stderr) = (self.stdout.said(), self.stderr.said());
                return Ok(Some(Output { code: status.code(), stdout, stderr }));
            }
            if left().is_zero() {
                return Ok(None);
            }
            thread::sleep(pause.min(left()));
            pause = (pause * 2).min(Duration::from_millis(10));
        }
    }
}

/// A stream that is read on a thread of its own: the first 64 KiB are kept, the rest is read so that the program can go on.
struct Stream {
    kept: Arc<Mutex<Vec<u8>>>,
    /// Disconnected at the stream's end.
    end: mpsc::Receiver<()>,
}

impl Stream {
    fn read<R: Read + Send + 'static>(stream: Option<R>) -> Self {
        let kept = Arc::<Mutex<Vec<u8>>>::default();
        let (at_end, end) = mpsc::channel();
        let keeps = Arc::clone(&kept);
        thread::spawn(move || {
            let _at_end: mpsc::Sender<()> = at_end;
            let Some(mut stream) = stream else { return };
            let mut block = vec![0; 8 << 10];
            loop {
                match stream.read(&mut block) {
                    Ok(0) => return,
                    Ok(length) => {
                        let mut kept = lock(&keeps);
                        let room = KEPT.saturating_sub(kept.len());
                        kept.extend_from_slice(&block[..length.min(room)]);
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(_) => return,
                }
            }
        });
        Self { kept, end }
    }

    fn has_ended(&self, patience: Duration) -> bool {
        self.end.recv_timeout(patience) == Err(mpsc::RecvTimeoutError::Disconnected)
    }

    /// What was kept of it until now.
    fn said(&self) -> String {
        String::from_utf8_lossy(&lock(&self.kept)).into_owned()
    }
}

fn tail(stderr: &str) -> String {
    let lines: Vec<&str> = stderr.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    lines[lines.len().saturating_sub(TAIL)..].join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, deadline: Duration) -> Program<'static> {
        Program {
            operation: "run",
            object: "test".into(),
            name: "sh",
            package: "dash",
            arguments: vec!["-c".into(), script.into()],
            deadline,
        }
    }

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn answers_output_and_fails_with_the_last_lines_of_stderr() {
        assert_eq!(shell("echo hello", LONG).run().unwrap(), "hello\n");
        let error =
            shell("for i in 1 2 3 4 5 6 7; do echo line $i >&2; done; exit 3", LONG).run().unwrap_err();
        let Cause::Program { code: Some(3), stderr, .. } = error.source else { panic!("{error:?}") };
        assert_eq!(stderr, "line 3; line 4; line 5; line 6; line 7");
    }

    #[test]
    fn kills_at_the_deadline() {
        let error = shell("echo started; sleep 1000", Duration::from_millis(50)).run().unwrap_err();
        assert!(matches!(error.source, Cause::Timeout(_)), "{error:?}");
    }

    #[test]
    fn what_it_said_before_it_was_killed_is_kept() {
        let hangs = shell("echo early; exec sleep 1000", LONG);
        // Until it has said it: a machine may be slow.
        let said = (1..).find_map(|seconds| {
            let until = Instant::now() + Duration::from_secs(seconds);
            match hangs.output_or_leave(until, LONG).unwrap() {
                Ended::Killed(said) => (!said.is_empty()).then_some(said),
                Ended::Answered(_) | Ended::Left(..) => panic!("it sleeps, and can be killed"),
            }
        });
        assert_eq!(said.unwrap(), "early\n");
    }

    #[test]
    fn names_the_package_of_a_missing_program() {
        let program = Program { name: "mkfs.nowhere", package: "nowhere-progs", ..shell("", LONG) };
        let error = program.run().unwrap_err();
        assert_eq!(
            error.source.to_string(),
            "mkfs.nowhere is not installed; install the package nowhere-progs"
        );
    }

    #[test]
    fn much_output_does_not_block_it() {
        let output =
            shell("head -c 1000000 /dev/zero; head -c 1000000 /dev/zero >&2", LONG).output().unwrap();
        assert_eq!((output.code, output.stdout.len(), output.stderr.len()), (Some(0), KEPT, KEPT));
    }

    #[test]
    fn gets_no_descriptor_of_ours() {
        let _ours = std::fs::File::open("/dev/null").unwrap();
        let listed = shell("ls /proc/self/fd; readlink /proc/self/fd/0", LONG).run().unwrap();
        // 0, 1, 2 and the directory that `ls` itself reads.
        assert_eq!(listed, "0\n1\n2\n3\n/dev/null\n");
    }
}
