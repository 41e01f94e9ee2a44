//! Containers on this machine: [`LinuxRuntime`] carries out [`Runtime`] with conmon, runc and the kernel's own files.
//!
//! Who is whose parent:
//!
//! ```text
//!  orlop ──fork──► conmon ──fork──► conmon, in a session and a cgroup of its own; parent is init from here on
//!    │                                ├─fork──► runc create ──► runc init (waits at exec.fifo) ═ becomes the process
//!    └─run──► runc start, runc delete └─ reads its output into the log; writes exits/<id> when it ends
//! ```
//!
//! So nothing that runs depends on Orlop: conmon and the process go on when it stops, and are found again in files:
//!
//! | file below the run directory | says | written by |
//! |---|---|---|
//! | `runc/<id>/state.json` | first process and its start time | runc |
//! | `runc/<id>/exec.fifo` | created, not started | runc, removed at start |
//! | `exits/<id>` | exit code; its time is the file's | conmon |
//! | `monitors/<id>` | conmon's process number | conmon |
//! | `oom` in the bundle | the kernel killed in it for want of memory | conmon |
//!
//! | first process | exec.fifo | exit file | monitor | listed as |
//! |---|---|---|---|---|
//! | lives | yes | any | any | Created |
//! | lives | no | any | any | Running |
//! | ended | any | yes | any | Exited, with code and time |
//! | ended | any | no | lives | Running: the code is about to be recorded |
//! | ended | any | no | gone | Exited, code unknown |
//! | never was (half-made state directory) | any | no | any | Exited, code unknown |
//!
//! Owns: how it is done. Must not know: pods, restarts, images. A process is never signalled by its bare number: a pidfd
//! is opened first and the start time compared after, so a number that was used again is seen.

pub(super) mod cgroup;
mod conmon;
mod exits;
mod load;
mod namespaces;
pub(super) mod process;
mod state;

use std::{
    collections::BTreeSet,
    ffi::OsString,
    fs, io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{failed, program::Program};
use crate::host::{
    Cause, Container, ContainerRequest, ContainerStatus, Error, Load, Namespace, Process, Result, Runtime,
};

/// How long runc may take; it waits for the kernel only.
const RUNC_DEADLINE: Duration = Duration::from_secs(60);
/// How long a killed process may take to go. Longer means that the kernel holds it (a dead disk, a dead server).
const KILL_DEADLINE: Duration = Duration::from_secs(10);
/// How long conmon may take to write what it read and leave, once its process is gone.
const MONITOR_DEADLINE: Duration = Duration::from_secs(5);

/// Where an instance's containers live.
#[derive(Clone, Debug)]
pub struct RuntimeConfig {
    /// `/run/orlop/<instance>`: what dies with a boot. Made when missing (0700).
    pub run_dir: PathBuf,
    /// The instance; its cgroups are below `/orlop-<instance>`.
    pub instance: String,
}

/// Containers of one instance on this machine.
#[derive(Debug)]
pub struct LinuxRuntime {
    config: RuntimeConfig,
    exits: exits::Watch,
    /// Ids being created by this process: their state is half made and says nothing yet, and the cgroups above theirs
    /// must not be taken away.
    creating: Mutex<BTreeSet<String>>,
}

impl LinuxRuntime {
    /// Opens the run directory of an instance, whose containers may be running.
    pub fn new(config: RuntimeConfig) -> Result<Self> {
        for part in ["runc", "exits", "monitors"] {
            create_dirs(&config.run_dir.join(part))?;
        }
        let exits = exits::Watch::new(&config.run_dir.join("exits"))?;
        Ok(Self { config, exits, creating: Mutex::default() })
    }

    /// Says which program is missing, before a pod needs it.
    pub fn check_programs(&self) -> Result<()> {
        conmon::find("runc", "runc")?;
        conmon::find("conmon", "conmon").map(drop)
    }

    fn dir(&self, part: &str) -> PathBuf {
        self.config.run_dir.join(part)
    }

    fn runc(&self, operation: &'static str, id: &str, arguments: &[&str]) -> Result<()> {
        let mut all = vec![OsString::from("--root"), self.dir("runc").into()];
        all.extend(arguments.iter().map(OsString::from));
        all.push(id.into());
        let program = Program {
            operation,
            object: id.to_owned(),
            name: "runc",
            package: "runc",
            arguments: all,
            deadline: RUNC_DEADLINE,
        };
        program.run().map(drop)
    }

    /// The first process of a container, when it lives.
    fn living(&self, id: &str) -> Result<Option<process::Handle>> {
        match state::read(&self.dir("runc"), id)?.and_then(|state| state.process) {
            Some(process) => process::Handle::open(process).map_err(failed("open process of", Path::new(id))),
            None => Ok(None),
        }
    }

    fn end_process(&self, id: &str) -> Result<()> {
        let Some(process) = self.living(id)? else { return Ok(()) };
        process.kill().map_err(failed("kill", Path::new(id)))?;
        if process.wait(KILL_DEADLINE).map_err(failed("wait for", Path::new(id)))? {
            return Ok(());
        }
        Err(about("kill", id, Cause::Timeout(KILL_DEADLINE)))
    }

    /// conmon leaves by itself once its process is gone and the exit is recorded; one that hangs is killed.
    fn end_monitor(&self, id: &str) -> Result<()> {
        let context = failed("wait for monitor of", Path::new(id));
        if let Some(monitor) = state::monitor(&self.dir("monitors"), id).map_err(&context)?
            && !monitor.wait(MONITOR_DEADLINE).map_err(&context)?
        {
            monitor.kill().map_err(&context)?;
            monitor.wait(MONITOR_DEADLINE).map_err(&context)?;
        }
        Ok(())
    }

    /// Takes away cgroups that nothing is in.
    fn sweep(&self) {
        let creating = lock(&self.creating);
        if creating.is_empty() {
            cgroup::sweep(&self.config.instance);
        }
    }

    fn list(&self) -> Result<BTreeSet<String>> {
        let mut ids: BTreeSet<String> = names(&self.dir("runc"))?.into_iter().collect();
        ids.extend(names(&self.dir("exits"))?.into_iter().filter(|name| !exits::is_temporary(name)));
        Ok(ids)
    }

    fn container(&self, id: &str) -> Result<Option<Container>> {
        let found = state::read(&self.dir("runc"), id)?;
        let ended = |exit: Option<exits::Exit>| Container {
            id: id.to_owned(),
            process: None,
            status: ContainerStatus::Exited { code: exit.and_then(|e| e.code), at: exit.map(|e| e.at) },
        };
        let Some(state) = found else {
            return Ok(exits::read(&self.dir("exits"), id)?.map(|exit| ended(Some(exit))));
        };
        let live = |process: Process, status| Container { id: id.to_owned(), process: Some(process), status };
        if let Some(process) = state.process.filter(|p| process::lives(*p)) {
            let status = if state.started { ContainerStatus::Running } else { ContainerStatus::Created };
            return Ok(Some(live(process, status)));
        }
        let context = failed("look at monitor of", Path::new(id));
        // The monitor is looked at first: when it is gone, what it had to record is there.
        let monitored = state::monitor(&self.dir("monitors"), id).map_err(context)?.is_some();
        match (exits::read(&self.dir("exits"), id)?, state.process) {
            (None, Some(process)) if monitored => Ok(Some(live(process, ContainerStatus::Running))),
            (exit, _) => Ok(Some(ended(exit))),
        }
    }
}

impl Runtime for LinuxRuntime {
    fn pin_namespaces(&self, dir: &Path, namespaces: &[Namespace], hostname: &str) -> Result<()> {
        create_dirs(dir)?;
        namespaces::pin(dir, namespaces, hostname)
    }

    fn unpin_namespaces(&self, dir: &Path) -> Result<()> {
        namespaces::unpin(dir)
    }

    fn create(&self, request: &ContainerRequest) -> Result<()> {
        check_id(&request.id)?;
        if let Some(parent) = request.log.parent() {
            create_dirs(parent)?;
        }
        if self.dir("runc").join(&request.id).exists() {
            let reason = "there is a container of that id; delete it first";
            return Err(about("create container", &request.id, Cause::Refused(reason.into())));
        }
        // An exit on record under this id would be another container's.
        self.forget_exit(&request.id)?;
        lock(&self.creating).insert(request.id.clone());
        let created = conmon::create(&self.config, request);
        lock(&self.creating).remove(&request.id);
        if created.is_err() {
            // Half of it may be there; whether that goes as well or not, the first error is the one to tell.
            let _ = self.delete(&request.id);
        }
        created
    }

    fn start(&self, id: &str) -> Result<()> {
        check_id(id)?;
        match self.container(id)? {
            Some(Container { status: ContainerStatus::Running, .. }) => Ok(()),
            _ => self.runc("start container", id, &["start"]),
        }
    }

    fn signal(&self, id: &str, signal: i32) -> Result<()> {
        check_id(id)?;
        match self.living(id)? {
            Some(process) => process.signal(signal).map_err(failed("signal", Path::new(id))),
            None => Ok(()),
        }
    }

    fn delete(&self, id: &str) -> Result<()> {
        check_id(id)?;
        self.end_process(id)?;
        self.end_monitor(id)?;
        if self.dir("runc").join(id).join("state.json").exists() {
            self.runc("delete container", id, &["delete", "--force"])?;
        }
        cgroup::remove(&self.config.instance, id)?;
        state::remove_rest(&self.config.run_dir, id)?;
        self.sweep();
        Ok(())
    }

    fn forget_exit(&self, id: &str) -> Result<()> {
        check_id(id)?;
        exits::forget(&self.dir("exits"), id)?;
        // A death may have come between the container's end and the sweep after it.
        self.sweep();
        Ok(())
    }

    fn containers(&self) -> Result<Vec<Container>> {
        let mut found = Vec::new();
        for id in self.list()? {
            if lock(&self.creating).contains(&id) {
                continue;
            }
            found.extend(self.container(&id)?);
        }
        Ok(found)
    }

    fn wait_for_exit(&self, timeout: Duration) -> Result<()> {
        self.exits.wait(timeout)
    }

    fn boot_id(&self) -> Result<String> {
        let path = Path::new("/proc/sys/kernel/random/boot_id");
        let text = fs::read_to_string(path).map_err(failed("read", path))?;
        Ok(text.trim().to_owned())
    }

    fn load(&self) -> Result<Load> {
        load::look()
    }
}

/// An id becomes a file name and a cgroup's: letters, digits, `_`, `.`, `-` (runc's rule as well).
fn check_id(id: &str) -> Result<()> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    if !id.is_empty() && id.len() <= 255 && id.chars().all(plain) && !id.starts_with('.') {
        return Ok(());
    }
    let reason = "an id is letters, digits, _, . and -, and begins with no dot";
    Err(about("use container", id, Cause::Refused(reason.into())))
}

fn about(operation: &'static str, object: &str, source: Cause) -> Error {
    Error { operation, object: object.to_owned(), source }
}

fn create_dirs(path: &Path) -> Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed("create directory", path))
}

/// Names in a directory; none when it is not there.
fn names(dir: &Path) -> Result<Vec<String>> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(failed("list", dir)(e)),
    };
    let name = |entry: io::Result<fs::DirEntry>| Ok(entry?.file_name().to_string_lossy().into_owned());
    entries.map(name).collect::<io::Result<_>>().map_err(failed("list", dir))
}

/// Nothing in this room leaves a lock's data half changed, so a panic elsewhere does not spoil it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
