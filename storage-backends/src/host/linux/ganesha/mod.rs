//! [`Ganesha`] carries out [`NfsServer`] with nfs-ganesha: version 4.2 alone, one port, no portmapper, no message bus.
//!
//! ```text
//!  DIR/nfs/ganesha.conf    table and configuration in one file, replaced as a whole
//!  DIR/nfs/recovery        who its clients are: after a start they get back what they had
//!  DIR/nfs/ganesha.log     what it says; read to know that it serves, and that it has taken a new table
//! ```
//!
//! Like a container's monitor it lives in a session and a cgroup of its own, goes on when Orlop stops, and is found again
//! in `/proc` (see [`process`]). Whether a table was taken is read in the log, from where it ended when the server was
//! told; a later life of Orlop does not know, and tells it once more, which changes nothing.
//!
//! Owns: how it is done. Must not know: volumes, when a server is to run.

mod config;
mod log;
mod process;

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    process::Child,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use nix::libc;

use self::{config::Places, log::Said};
use super::{
    failed,
    runtime::{cgroup, process as processes},
};
use crate::host::{Cause, Error, ExportTable, NfsServer, Process, Result, RunningServer};

/// How long it may take to serve, and to take a table: both are work on this machine, on one that may be busy.
const DEADLINE: Duration = Duration::from_secs(30);
/// How long it may take to end when asked; it gives its clients two seconds.
const GRACE: Duration = Duration::from_secs(15);
/// How long a killed one may take to be gone.
const KILLED: Duration = Duration::from_secs(5);
/// How often the log is looked at while something is waited for.
const PAUSE: Duration = Duration::from_millis(5);
/// A log that has grown beyond this is begun anew.
const LOG: u64 = 4 << 20;
/// The cgroup below the instance's.
const GROUP: &str = "nfs";
/// Where the server looks which file system a path is on. Every installed Debian has it; a bare root may not.
const MTAB: &str = "/etc/mtab";

/// The NFS server of one instance on this machine.
#[derive(Debug)]
pub struct Ganesha {
    dir: PathBuf,
    instance: String,
    /// What this life of Orlop knows of it.
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// The process that was found or started last.
    process: Option<Process>,
    /// The table that it has taken.
    taken: Option<ExportTable>,
    /// Those started here: they are waited for when they have ended, so that none stays as a zombie.
    children: BTreeMap<i32, Child>,
}

impl Ganesha {
    /// The server whose files are in `dir`, which is made when it is needed.
    pub fn new(dir: impl Into<PathBuf>, instance: &str) -> Self {
        Self { dir: dir.into(), instance: instance.to_owned(), known: Mutex::default() }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.children.retain(|_, child| matches!(child.try_wait(), Ok(None)));
        known
    }

    fn config(&self) -> PathBuf {
        self.dir.join("ganesha.conf")
    }

    fn log(&self) -> PathBuf {
        self.dir.join("ganesha.log")
    }

    fn recovery(&self) -> PathBuf {
        self.dir.join("recovery")
    }

    /// The process that runs now, whoever started it.
    fn process(&self) -> Result<Option<Process>> {
        let mut known = self.known();
        if let Some(process) = known.process.filter(|process| processes::lives(*process)) {
            return Ok(Some(process));
        }
        known.process = process::find(&self.config())?;
        known.taken = None;
        Ok(known.process)
    }

    /// Waits until the log, from `offset` on, says that it is done.
    fn wait_for(&self, process: Process, offset: u64, judge: fn(&str) -> Said) -> Result<()> {
        let until = Instant::now() + DEADLINE;
        loop {
            let lives = processes::lives(process);
            let text = self.said(offset)?;
            match judge(&text) {
                Said::Done => return Ok(()),
                Said::Failed(words) => return Err(self.about(Cause::Refused(words))),
                Said::Nothing if !lives => {
                    drop(self.known());
                    let stderr = log::complaints(&text);
                    return Err(self.about(Cause::Program {
                        program: "ganesha.nfsd".into(),
                        code: None,
                        stderr,
                    }));
                }
                Said::Nothing if Instant::now() > until => return Err(self.about(Cause::Timeout(DEADLINE))),
                Said::Nothing => std::thread::sleep(PAUSE),
            }
        }
    }

    fn said(&self, offset: u64) -> Result<String> {
        let path = self.log();
        let read = || {
            let mut file = File::open(&path)?;
            file.seek(SeekFrom::Start(offset))?;
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        };
        read().map_err(failed("read", &path))
    }

    /// Where the log ends now. The server appends, so a long one can be cut.
    fn log_end(&self) -> Result<u64> {
        let path = self.log();
        let look = || {
            let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&path)?;
            if file.metadata()?.len() > LOG {
                file.set_len(0)?;
            }
            Ok(file.metadata()?.len())
        };
        look().map_err(failed("open", &path))
    }

    /// The file as it is, with the table in it.
    fn written(&self) -> Result<Option<(String, ExportTable)>> {
        let path = self.config();
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed("read", &path)(error)),
        };
        match config::parse(&text) {
            Some(table) => Ok(Some((text, table))),
            None => {
                let why = "it was not written by Orlop, or is damaged: restore its first line, or remove the file once \
                           no client uses an export";
                let (object, source) = (path.display().to_string(), Cause::Refused(why.into()));
                Err(Error { operation: "read", object, source })
            }
        }
    }

    /// The file as it is to be.
    fn rendered(&self, table: &ExportTable) -> Result<String> {
        let recovery = self.recovery();
        let places = Places { instance: &self.instance, recovery: &recovery };
        config::render(&places, table).map_err(|cause| self.about(cause))
    }

    fn about(&self, source: Cause) -> Error {
        Error { operation: "have the NFS server export", object: self.dir.display().to_string(), source }
    }

    fn taken(&self, process: Process) -> Result<()> {
        let table = self.table()?;
        let mut known = self.known();
        (known.process, known.taken) = (Some(process), table);
        Ok(())
    }

    fn signal(&self, process: Process, signal: i32) -> Result<()> {
        let context = failed("signal", Path::new("ganesha.nfsd"));
        match processes::Handle::open(process).map_err(&context)? {
            Some(handle) => handle.signal(signal).map_err(&context),
            None => Ok(()),
        }
    }

    /// Whether it is gone within that time.
    fn ends(&self, process: Process, timeout: Duration) -> Result<bool> {
        let context = failed("wait for", Path::new("ganesha.nfsd"));
        let Some(handle) = processes::Handle::open(process).map_err(&context)? else { return Ok(true) };
        handle.wait(timeout).map_err(&context)
    }
}

impl NfsServer for Ganesha {
    fn installed(&self) -> Result<()> {
        process::program().map(drop)
    }

    fn free_port(&self, from: u16) -> Result<u16> {
        (from..=u16::MAX).find(|port| is_free(*port)).ok_or_else(|| {
            self.about(Cause::Refused(format!("every port from {from} on is in use; end what listens there")))
        })
    }

    fn table(&self) -> Result<Option<ExportTable>> {
        Ok(self.written()?.map(|(_, table)| table))
    }

    fn is_written(&self, table: &ExportTable) -> Result<bool> {
        let written = self.written()?;
        Ok(written.is_some_and(|(text, _)| self.rendered(table).is_ok_and(|rendered| rendered == text)))
    }

    fn write_table(&self, table: &ExportTable) -> Result<()> {
        let text = self.rendered(table)?;
        make_dirs(&self.recovery())?;
        let path = self.config();
        replace(&path, text.as_bytes()).map_err(failed("write", &path))
    }

    fn server(&self) -> Result<Option<RunningServer>> {
        let Some(process) = self.process()? else { return Ok(None) };
        let taken = self.known().taken.clone();
        Ok(Some(RunningServer { process, taken }))
    }

    fn start(&self) -> Result<()> {
        let program = process::program()?;
        if !Path::new(MTAB).exists() {
            let why = format!("it reads {MTAB}, which is missing here: ln -s ../proc/self/mounts {MTAB}");
            return Err(self.about(Cause::Refused(why)));
        }
        if self.process()?.is_some() {
            return Err(self.about(Cause::Refused("it runs already".into())));
        }
        let table =
            self.table()?.ok_or_else(|| self.about(Cause::Refused("it was given no table".into())))?;
        if !is_free(table.port) {
            let why = format!(
                "port {} is in use by another program, and clients know the server by it; end that program \
                 (ss -lptn 'sport = :{}')",
                table.port, table.port
            );
            return Err(self.about(Cause::Refused(why)));
        }
        make_dirs(&self.recovery())?;
        let offset = self.log_end()?;
        let child = process::spawn(&program, &self.config(), &self.log(), &self.dir.join("ganesha.pid"))
            .map_err(failed("start", &program))?;
        let pid = child.id();
        let number = i32::try_from(pid).unwrap_or_default();
        self.known().children.insert(number, child);
        cgroup::join(&self.instance, GROUP, pid)?;
        // It cannot be gone before it is waited for, and this process alone waits for it.
        let Some(process) = processes::now(number) else {
            let stderr = log::complaints(&self.said(offset)?);
            return Err(self.about(Cause::Program { program: "ganesha.nfsd".into(), code: None, stderr }));
        };
        self.wait_for(process, offset, log::started)?;
        self.taken(process)
    }

    fn reload(&self) -> Result<()> {
        let Some(process) = self.process()? else {
            return Err(self.about(Cause::Refused("it does not run".into())));
        };
        let offset = self.log_end()?;
        self.signal(process, libc::SIGHUP)?;
        self.wait_for(process, offset, log::reloaded)?;
        self.taken(process)
    }

    fn stop(&self) -> Result<()> {
        if let Some(process) = self.process()? {
            self.signal(process, libc::SIGTERM)?;
            if !self.ends(process, GRACE)? {
                self.signal(process, libc::SIGKILL)?;
                if !self.ends(process, KILLED)? {
                    return Err(self.about(Cause::Timeout(KILLED)));
                }
            }
        }
        // Reaped before its cgroup goes, in which a zombie counts.
        let mut known = self.known();
        (known.process, known.taken) = (None, None);
        drop(known);
        cgroup::leave(&self.instance, GROUP);
        Ok(())
    }

    fn wait_for_end(&self, timeout: Duration) -> Result<bool> {
        match self.process()? {
            Some(process) => self.ends(process, timeout),
            None => Ok(true),
        }
    }
}

/// Whether nobody listens there, in either family that this machine speaks.
fn is_free(port: u16) -> bool {
    let families: [IpAddr; 2] = [Ipv6Addr::UNSPECIFIED.into(), Ipv4Addr::UNSPECIFIED.into()];
    families.into_iter().all(|address| match TcpListener::bind((address, port)) {
        Ok(_) => true,
        Err(error) => error.kind() != io::ErrorKind::AddrInUse,
    })
}

fn make_dirs(path: &Path) -> Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed("create directory", path))
}

/// Writes a file so that it is either the old one or all of the new one, also after a power cut.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
}

#[cfg(test)]
mod tests;
