//! What can hang, in a process of its own: mounting from a file server, unmounting it, and everything done on it.
//!
//! ```text
//!  Orlop ── /proc/self/exe host-child '{"Mount": …}' ──► the child: one job, no state
//!        ◄── one line of JSON, after those that the job tells as it goes ──
//!        at the deadline: SIGKILL; one that the kernel still holds is left to itself, and counted
//! ```
//!
//! A call to a server that is gone waits in the kernel; on most waits SIGKILL ends it, on some nothing does until the
//! server is back. So no thread of Orlop ever makes such a call. Of children for one thing (a server, a mount) only so
//! many are let live at once, those left behind included: a dead server costs that many processes and no more.
//!
//! [`main_if_child`] is the child's whole life, and the first thing that `main` asks.

mod job;
mod limit;

use std::{
    ffi::OsString,
    io::Write,
    process::ExitCode,
    sync::LazyLock,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

pub(super) use self::job::{Answer, Directory, Job, Source};
use self::limit::Limits;
use super::{
    super::{Cause, Error, Result},
    program::{self, Ended, Program},
};

/// The first argument by which a child knows that it is one.
const WORD: &str = "host-child";
/// How many children for one thing there may be.
const MOST: usize = 8;
/// How long a call waits for one of them to end.
const PATIENCE: Duration = Duration::from_millis(500);
/// How long a killed child may take to be gone.
const AFTER_KILL: Duration = Duration::from_millis(200);

static LIMITS: LazyLock<Limits> = LazyLock::new(|| Limits::new(MOST));

/// A job for a child.
pub(super) struct Call<'a> {
    /// What is being done, for errors: `mount`, `unmount`.
    pub(super) operation: &'static str,
    /// To what, for errors.
    pub(super) object: String,
    /// What it waits on when it hangs: the calls for one such thing are limited.
    pub(super) waits_on: String,
    /// How long it may take.
    pub(super) deadline: Duration,
    /// The job.
    pub(super) job: &'a Job,
}

/// A failure as it crosses from the child.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Failure {
    /// The kernel said this number; and these words, where it had any.
    Os(i32, String),
    /// It is not to be done.
    Refused(String),
    /// This machine cannot, and what to do.
    Unsupported(String),
    /// A program is not installed.
    Missing(String, String),
    /// A program failed.
    Program(String, Option<i32>, String),
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        match error.raw_os_error() {
            Some(errno) => Self::Os(errno, String::new()),
            None => Self::Refused(error.to_string()),
        }
    }
}

impl From<rustix::io::Errno> for Failure {
    fn from(errno: rustix::io::Errno) -> Self {
        Self::Os(errno.raw_os_error(), String::new())
    }
}

impl From<Failure> for Cause {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Os(errno, told) if told.is_empty() => Self::Os(std::io::Error::from_raw_os_error(errno)),
            Failure::Os(errno, told) => Self::Told { error: std::io::Error::from_raw_os_error(errno), told },
            Failure::Refused(why) => Self::Refused(why),
            Failure::Unsupported(why) => Self::Unsupported(why),
            Failure::Missing(program, package) => Self::Missing { program, package },
            Failure::Program(program, code, stderr) => Self::Program { program, code, stderr },
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error.source {
            Cause::Os(error) => error.into(),
            Cause::Program { program, code, stderr } => Self::Program(program, code, stderr),
            Cause::Missing { program, package } => Self::Missing(program, package),
            other => Self::Refused(other.to_string()),
        }
    }
}

/// Has a child do a job.
pub(super) fn call(call: &Call<'_>) -> Result<Answer> {
    run(call, || ()).1
}

/// Has a child do a job that tells one thing after the other. Answers what it has told until its end or the deadline, and
/// how it went. When the child is left behind, what `left` makes is kept until it is gone.
pub(super) fn call_for_each<T: DeserializeOwned, H: Send + 'static>(
    call: &Call<'_>,
    left: impl FnOnce() -> H,
) -> (Vec<T>, Result<Answer>) {
    let (said, outcome) = run(call, left);
    // The last line is how it went, and one that its end cut off is none.
    let told = said.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    (told, outcome)
}

/// Answers all that it said, too.
fn run<H: Send + 'static>(call: &Call<'_>, left: impl FnOnce() -> H) -> (String, Result<Answer>) {
    let failed = |source: Cause| Error { operation: call.operation, object: call.object.clone(), source };
    let nothing = |error| (String::new(), Err(error));
    let Some(place) = LIMITS.enter(&call.waits_on, PATIENCE) else {
        return nothing(failed(Cause::Hanging { what: call.waits_on.clone(), calls: MOST }));
    };
    let job = match serde_json::to_string(call.job) {
        Ok(job) => job,
        Err(error) => return nothing(failed(Cause::Os(error.into()))),
    };
    let program = Program {
        operation: call.operation,
        object: call.object.clone(),
        name: "/proc/self/exe",
        package: "orlop",
        arguments: vec![OsString::from(WORD), job.into()],
        deadline: call.deadline,
    };
    let until = Instant::now() + call.deadline;
    match program.output_or_leave(until, AFTER_KILL) {
        Ok(Ended::Answered(output)) => {
            let last = output.stdout.lines().last().unwrap_or_default();
            let outcome = match serde_json::from_str::<std::result::Result<Answer, Failure>>(last) {
                Ok(answer) => answer.map_err(|failure| failed(failure.into())),
                Err(_) => Err(program.exited(&output)),
            };
            (output.stdout, outcome)
        }
        Ok(Ended::Killed(said)) => (said, Err(failed(Cause::Timeout(call.deadline)))),
        Ok(Ended::Left(child, said)) => {
            tracing::warn!(
                operation = call.operation,
                object = call.object,
                "left behind: the kernel does not let it go"
            );
            program::reap_later(child, (place, left()));
            (said, Err(failed(Cause::Timeout(call.deadline))))
        }
        Err(error) => nothing(error),
    }
}

/// The child's part: tells one thing. There is nobody to be told of a failure.
fn tell(thing: &impl Serialize) {
    let _ = say(thing);
}

fn say(thing: &impl Serialize) -> std::io::Result<()> {
    let line = serde_json::to_string(thing)?;
    writeln!(std::io::stdout(), "{line}")
}

/// When this process is a child: does its job, says how it went on standard output, and answers its exit code.
pub fn main_if_child() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next()? != WORD {
        return None;
    }
    let job = arguments.next().and_then(|job| job.into_string().ok()).unwrap_or_default();
    let answer: std::result::Result<Answer, Failure> = match serde_json::from_str::<Job>(&job) {
        Ok(job) => job.run(),
        Err(error) => Err(Failure::Refused(format!("the job was not understood: {error}"))),
    };
    Some(if say(&answer).is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[cfg(test)]
mod tests;
