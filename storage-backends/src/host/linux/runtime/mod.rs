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
//! | `monitors/<id>.log`, and its lock | its creator did not hear how creating went; locked, somebody is at it ([`making`]) | Orlop |
//! | `oom` in the bundle | the kernel killed in it for want of memory | conmon |
//!
//! | first process | exec.fifo | exit file | monitor | listed as |
//! |---|---|---|---|---|
//! | lives | yes | any | any | Created |
//! | lives | no | any | any | Running |
//! | ended | any | yes | any | Exited, with code and time |
//! | ended | any | no | lives | Running: the code is about to be recorded |
//! | ended | any | no | gone | Exited, code unknown |
//! | never was (half-made state directory) | any | no | any | Creating |
//! | no state directory at all | | no | lives | Creating |
//!
//! Owns: how it is done. Must not know: pods, restarts, images. A process is never signalled by its bare number: a pidfd
//! is opened first and the start time compared after, so a number that was used again is seen.

pub(super) mod cgroup;
mod conmon;
mod exits;
mod load;
mod making;
mod namespaces;
pub(super) mod process;
mod state;

use std::{
    collections::BTreeSet,
    ffi::OsString,
    fs, io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::Mutex,
    time::{Duration, Instant},
};

use super::{failed, lock, program::Program};
use crate::host::{
    Cause, Container, ContainerRequest, ContainerStatus, Error, Load, Namespace, Process, Result, Runtime,
};

/// How long runc may take; it waits for the kernel only.
const RUNC_DEADLINE: Duration = Duration::from_secs(60);
/// How long a killed process may take to go. Longer means that the kernel holds it (a dead disk, a dead server).
const KILL_DEADLINE: Duration = Duration::from_secs(10);
/// How long it is waited before those who are still there are looked for and killed again.
const KILL_PAUSE: Duration = Duration::from_millis(100);
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

    /// Whether an earlier life has created it. What that began is waited for; what it left half made is taken away.
    fn is_created(&self, id: &str) -> Result<bool> {
        if !making::wait(&self.config, id, conmon::DEADLINE, making::is_under_way)? {
            tracing::warn!(id, "what an earlier life began to create does not come about; it is begun anew");
        }
        match self.container(id)?.map(|container| container.status) {
            Some(ContainerStatus::Created) => Ok(true),
            Some(ContainerStatus::Creating) => self.delete(id).map(|()| false),
            _ if self.dir("runc").join(id).exists() => {
                let reason = "there is a container of that id; delete it first";
                Err(about("create container", id, Cause::Refused(reason.into())))
            }
            _ => Ok(false),
        }
    }

    /// A creator that did not hear how it went may not have put the monitor into its group either.
    fn adopt(&self, id: &str) -> Result<()> {
        let words = making::words(&self.config, id);
        if !words.exists() {
            return Ok(());
        }
        for (holder, _held) in making::holders(&self.config, id)? {
            let joined = cgroup::join(&self.config.instance, "monitors", holder.pid.unsigned_abs());
            // `runc create`, which may still have been there, has ended meanwhile.
            joined.or_else(|error| if process::lives(holder) { Err(error) } else { Ok(()) })?;
        }
        fs::remove_file(&words).map_err(failed("remove", &words))
    }

    /// Kills who is still at creating a container, and its monitor.
    fn kill_makers(&self, id: &str) -> Result<()> {
        let until = Instant::now() + KILL_DEADLINE;
        while Instant::now() < until {
            for (_, maker) in making::holders(&self.config, id)? {
                maker.kill().map_err(failed("kill a maker of", Path::new(id)))?;
            }
            // More than once: one that is killed a moment later may have forked meanwhile.
            if making::wait(&self.config, id, KILL_PAUSE, making::is_locked)? {
                return Ok(());
            }
        }
        Err(about("end the creation of", id, Cause::Timeout(KILL_DEADLINE)))
    }

    /// Takes away cgroups that nothing is in, unless a container is being created, by whomever.
    fn sweep(&self) {
        let creating = lock(&self.creating);
        if creating.is_empty() && making::is_any_under_way(&self.config).is_ok_and(|any| !any) {
            cgroup::sweep(&self.config.instance);
        }
    }

    fn list(&self) -> Result<BTreeSet<String>> {
        let mut ids: BTreeSet<String> = names(&self.dir("runc"))?.into_iter().collect();
        ids.extend(making::unheard(&self.config)?);
        ids.extend(names(&self.dir("exits"))?.into_iter().filter(|name| !exits::is_temporary(name)));
        Ok(ids)
    }

    fn container(&self, id: &str) -> Result<Option<Container>> {
        // Makers and monitor are looked at before what they record: when they are gone, it is there.
        let held = making::is_locked(&self.config, id)?;
        let found = state::read(&self.dir("runc"), id)?;
        let ended = |exit: Option<exits::Exit>| Container {
            id: id.to_owned(),
            process: None,
            status: ContainerStatus::Exited { code: exit.and_then(|e| e.code), at: exit.map(|e| e.at) },
        };
        let creating = || Container { id: id.to_owned(), process: None, status: ContainerStatus::Creating };
        let Some(state) = found else {
            let exit = exits::read(&self.dir("exits"), id)?.map(|exit| ended(Some(exit)));
            return Ok(exit.or_else(|| held.then(creating)));
        };
        let live = |process: Process, status| Container { id: id.to_owned(), process: Some(process), status };
        if let Some(process) = state.process.filter(|p| process::lives(*p)) {
            let status = if state.started { ContainerStatus::Running } else { ContainerStatus::Created };
            return Ok(Some(live(process, status)));
        }
        let context = failed("look at monitor of", Path::new(id));
        let monitored = held || state::monitor(&self.dir("monitors"), id).map_err(context)?.is_some();
        match (exits::read(&self.dir("exits"), id)?, state.process) {
            (None, None) => Ok(Some(creating())),
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
        if self.is_created(&request.id)? {
            return Ok(());
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
            _ => {
                self.adopt(id)?;
                self.runc("start container", id, &["start"])
            }
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
        // Half a container is not taken away from under who makes it: he is waited for, and then ended himself.
        if !making::wait(&self.config, id, MONITOR_DEADLINE, making::is_under_way)? {
            self.kill_makers(id)?;
        }
        self.end_process(id)?;
        self.end_monitor(id)?;
        if !making::wait(&self.config, id, MONITOR_DEADLINE, making::is_locked)? {
            self.kill_makers(id)?;
        }
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

    fn containers_of(&self, beginning: &str) -> Result<Vec<Container>> {
        let mut found = Vec::new();
        for id in self.list()?.into_iter().filter(|id| id.starts_with(beginning)) {
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

#[cfg(test)]
mod tests;
