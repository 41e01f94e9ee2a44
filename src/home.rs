//! The data directory: whose it is, who holds it, and where things lie in it.
//!
//! A directory is Orlop's when it holds the file `instance`. Anything else that is not empty is somebody else's and is
//! never written to or removed from.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{Read, Seek, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use nix::fcntl::{Flock, FlockArg};

/// How long the lock of an orlop that was killed may outlive it.
const AFTER_DEATH: Duration = Duration::from_secs(5);

/// Where all Orlops of the machine keep what dies with a boot.
const RUN: &str = "/run/orlop";

/// What ext4 has at the root of a disk; a disk mounted at the data directory is empty with it.
pub(crate) const LOST_AND_FOUND: &str = "lost+found";

/// A data directory that this process holds alone.
pub(crate) struct Home {
    /// The directory, absolute.
    pub(crate) dir: PathBuf,
    /// Eight hex digits that tell this Orlop's mounts, cgroups and containers from another's.
    pub(crate) instance: String,
    _lock: Flock<File>,
}

impl Home {
    /// Takes the directory, making it on first use.
    pub(crate) fn create(dir: &Path) -> Result<Self> {
        let dir =
            std::path::absolute(dir).with_context(|| format!("find data directory {}", dir.display()))?;
        refuse_foreign(&dir)?;
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&dir)
            .with_context(|| format!("create data directory {}", dir.display()))?;
        // The mount table knows no symlinks: what is compared with it must not hold any.
        let dir = fs::canonicalize(&dir).with_context(|| format!("resolve {}", dir.display()))?;
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o700))
            .with_context(|| format!("protect data directory {}", dir.display()))?;
        let lock = lock(&dir)?;
        let instance = instance(&dir)?;
        refuse_copy(&dir, &instance)?;
        Ok(Self { dir, instance, _lock: lock })
    }

    /// Takes a directory that is Orlop's already.
    pub(crate) fn existing(dir: &Path) -> Result<Self> {
        require_ours(dir)?;
        Self::create(dir)
    }

    /// What dies with a boot.
    pub(crate) fn run_dir(&self) -> PathBuf {
        Path::new(RUN).join(&self.instance)
    }

    /// The file that says, until the next boot, whose directory the instance is.
    pub(crate) fn owner_file(&self) -> PathBuf {
        owner_file(&self.instance)
    }

    /// The file that says, until the next boot, where its pools are, a line for each.
    pub(crate) fn pools_file(&self) -> PathBuf {
        Path::new(RUN).join(format!("{}.pools", self.instance))
    }
}

fn owner_file(instance: &str) -> PathBuf {
    Path::new(RUN).join(format!("{instance}.home"))
}

/// A copied directory carries the instance of the one it was copied from: with it, `down` of one would stop the other's
/// containers. A directory that was moved is welcome.
fn refuse_copy(dir: &Path, name: &str) -> Result<()> {
    let path = owner_file(name);
    if let Ok(owner) = fs::read_to_string(&path) {
        let owner = Path::new(owner.trim_end_matches('\n'));
        if owner != dir && instance_of(owner).is_some_and(|other| other == name) {
            bail!(
                "{} is a copy of {}: both are instance {name}, and would take each other's containers for their own; \
                 to make the copy an Orlop of its own, write eight other hex digits into {}",
                dir.display(),
                owner.display(),
                dir.join("instance").display()
            );
        }
    }
    DirBuilder::new().recursive(true).mode(0o700).create(RUN).with_context(|| format!("create {RUN}"))?;
    fs::write(&path, format!("{}\n", dir.display())).with_context(|| format!("write {}", path.display()))
}

/// The name in a directory's `instance` file.
fn instance_of(dir: &Path) -> Option<String> {
    fs::read_to_string(dir.join("instance")).ok().map(|text| text.trim().to_owned())
}

/// Asks a running Orlop to stop, and waits until the directory is free.
pub(crate) fn stop_running(dir: &Path, patience: Duration) -> Result<bool> {
    let Some(pid) = holder(dir)? else { return Ok(false) };
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM)
        .with_context(|| format!("ask orlop with pid {pid} to stop"))?;
    let started = Instant::now();
    while holder(dir)?.is_some() {
        if started.elapsed() > patience {
            bail!("orlop with pid {pid} has not stopped within {} s; look at its output", patience.as_secs());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(true)
}

/// Whether the directory is a data directory of Orlop.
pub(crate) fn is_ours(dir: &Path) -> bool {
    dir.join("instance").is_file()
}

/// Refuses a directory of somebody else, and one that is not there.
pub(crate) fn require_ours(dir: &Path) -> Result<()> {
    if is_ours(dir) {
        return Ok(());
    }
    bail!(
        "{} is not a data directory of Orlop (no file `instance` in it); name the right one with --data-dir or ORLOP_DATA_DIR, or start `orlop up` there first",
        dir.display()
    );
}

/// Refuses to serve from the directory of an agent that joined a server elsewhere.
pub(crate) fn refuse_agents(home: &Home) -> Result<()> {
    if home.dir.join("pki/node.crt").exists() {
        bail!(
            "{} belongs to an agent that joined another server; give this server a directory of its own with --data-dir",
            home.dir.display()
        );
    }
    Ok(())
}

/// Refuses to be another server's agent in a server's directory.
pub(crate) fn refuse_servers(home: &Home) -> Result<()> {
    if home.dir.join("pki/ca.key").exists() {
        bail!(
            "{} belongs to a server (`orlop up` or `orlop server`); give this agent a directory of its own with --data-dir",
            home.dir.display()
        );
    }
    Ok(())
}

fn refuse_foreign(dir: &Path) -> Result<()> {
    let Ok(mut entries) = fs::read_dir(dir) else { return Ok(()) };
    // A crash between making the lock file and the instance file leaves just the lock: still ours to take.
    let foreign = entries.find_map(|entry| {
        let name = |e: &fs::DirEntry| e.file_name();
        entry.ok().filter(|e| !name(e).as_encoded_bytes().starts_with(b"lock") && name(e) != LOST_AND_FOUND)
    });
    match foreign {
        Some(entry) if !is_ours(dir) => bail!(
            "{} is not empty and not a data directory of Orlop (it holds {:?}); give an empty or new one with --data-dir",
            dir.display(),
            entry.file_name()
        ),
        _ => Ok(()),
    }
}

fn open_lock(dir: &Path) -> Result<File> {
    let path = dir.join("lock");
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    options.open(&path).with_context(|| format!("open {}", path.display()))
}

fn lock(dir: &Path) -> Result<Flock<File>> {
    let begun = Instant::now();
    loop {
        let holder = match Flock::lock(open_lock(dir)?, FlockArg::LockExclusiveNonblock) {
            Ok(mut lock) => {
                lock.set_len(0)?;
                lock.rewind()?;
                writeln!(lock, "{}", std::process::id())?;
                return Ok(lock);
            }
            Err((mut file, _)) => read_pid(&mut file),
        };
        // A child that an orlop had just forked when it was killed holds the lock until it becomes another program.
        let died = holder.is_some_and(|pid| !lives(pid));
        if !died || begun.elapsed() > AFTER_DEATH {
            bail!(
                "{} is in use by another orlop (pid {}); stop it with `orlop down`, or give this one a directory of its own with --data-dir",
                dir.display(),
                holder.map_or_else(|| "unknown".to_owned(), |pid| pid.to_string())
            );
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn lives(pid: nix::unistd::Pid) -> bool {
    nix::sys::signal::kill(pid, None).is_ok()
}

fn holder(dir: &Path) -> Result<Option<nix::unistd::Pid>> {
    if !dir.join("lock").exists() {
        return Ok(None);
    }
    match Flock::lock(open_lock(dir)?, FlockArg::LockExclusiveNonblock) {
        Ok(_) => Ok(None),
        // One that was killed is gone, though the lock may outlive it for a moment.
        Err((mut file, _)) => Ok(read_pid(&mut file).filter(|pid| lives(*pid))),
    }
}

fn read_pid(file: &mut File) -> Option<nix::unistd::Pid> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.read_to_string(&mut text).ok()?;
    text.trim().parse().ok().map(nix::unistd::Pid::from_raw)
}

/// Reads the instance's name, making one on first use; durable before anything is named after it.
fn instance(dir: &Path) -> Result<String> {
    let path = dir.join("instance");
    if let Ok(text) = fs::read_to_string(&path) {
        let name = text.trim();
        if name.len() == 8 && name.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Ok(name.to_owned());
        }
        bail!(
            "{} holds {name:?} instead of eight hex digits; restore it, or move the directory away",
            path.display()
        );
    }
    let name = format!("{:08x}", u32::from_ne_bytes(crate::random::bytes()?));
    let temporary = dir.join("lock.instance");
    let mut file = File::create(&temporary).with_context(|| format!("create {}", temporary.display()))?;
    writeln!(file, "{name}")?;
    file.sync_all()?;
    fs::rename(&temporary, &path).with_context(|| format!("create {}", path.display()))?;
    File::open(dir)?.sync_all()?;
    Ok(name)
}
