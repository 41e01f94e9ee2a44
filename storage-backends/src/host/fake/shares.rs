//! File servers of the fake machine: each share is a file system, and a server can be told to fail.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use nix::errno::Errno;

use super::{
    super::{
        Cause, Error, Outcome, Result, Share, Visit,
        share::{Kept, Kind, Root, carry_out, check},
    },
    Fake, Machine,
    files::Content,
    mounts::{anonymous, entry},
};

/// The servers that this machine can reach.
#[derive(Debug, Default)]
pub(super) struct Servers {
    shares: BTreeMap<(String, String), u64>,
    failing: BTreeMap<String, Errno>,
    hanging: BTreeSet<String>,
}

/// How long a call to a server that hangs takes before it is given up: as the real machine does.
const LONG: Duration = Duration::from_secs(30);
const SHORT: Duration = Duration::from_secs(3);
/// How often a call that hangs looks whether its server is back.
const LOOK: Duration = Duration::from_millis(10);

impl Servers {
    fn find(&self, share: &Share) -> std::result::Result<u64, Errno> {
        if let Some(errno) = self.failing.get(&share.server) {
            return Err(*errno);
        }
        if !self.shares.keys().any(|(server, _)| *server == share.server) {
            return Err(Errno::ECONNREFUSED);
        }
        self.shares.get(&(share.server.clone(), share.path.clone())).copied().ok_or(Errno::ENOENT)
    }

    /// The answer of the server whose share a file system is, when it fails.
    fn failure(&self, system: u64) -> Option<Errno> {
        self.failing.get(self.of(system)?).copied()
    }

    /// The server whose share a file system is.
    fn of(&self, system: u64) -> Option<&str> {
        self.shares.iter().find(|(_, number)| **number == system).map(|((server, _), _)| server.as_str())
    }
}

impl Fake {
    /// Lets a server export a share of that size, empty at first.
    pub fn serve(&self, server: &str, path: &str, bytes: u64) {
        let mut machine = self.machine();
        let system = machine.files.new_system(bytes);
        machine.servers.shares.insert((server.to_owned(), path.to_owned()), system);
    }

    /// Lets a server answer everything with an error, or, with `None`, work again.
    pub fn let_server_fail(&self, server: &str, errno: Option<Errno>) {
        let mut machine = self.machine();
        match errno {
            Some(errno) => machine.servers.failing.insert(server.to_owned(), errno),
            None => machine.servers.failing.remove(server),
        };
    }

    /// Lets a server answer nothing at all until it is let go.
    pub fn let_server_hang(&self, server: &str, hangs: bool) {
        let mut machine = self.machine();
        if hangs {
            machine.servers.hanging.insert(server.to_owned());
        } else {
            machine.servers.hanging.remove(server);
        }
    }

    /// Hangs as long as the server does, and at most so long.
    fn wait_for(&self, operation: &'static str, server: &str, limit: Duration) -> Result<()> {
        let until = Instant::now() + limit;
        while self.machine().servers.hanging.contains(server) {
            if Instant::now() >= until {
                return Err(Error { operation, object: server.to_owned(), source: Cause::Timeout(limit) });
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    pub(super) fn wait_for_mount(&self, share: &Share) -> Result<()> {
        self.wait_for("mount", &share.server, LONG)
    }

    pub(super) fn ask_share(&self, place: &Path) -> Result<()> {
        let server = {
            let machine = self.machine();
            let (_, (system, _)) = machine.mounts.resolve(place);
            machine.servers.of(system).map(str::to_owned)
        };
        if let Some(server) = server {
            self.wait_for("ask the server of", &server, SHORT)?;
        }
        self.machine().ask_server(place)
    }

    /// Names in a directory of a share, as the server sees it.
    pub fn on_share(&self, server: &str, path: &str, directory: &str) -> Vec<String> {
        let machine = self.machine();
        let Some(system) = machine.servers.shares.get(&(server.to_owned(), path.to_owned())) else {
            return Vec::new();
        };
        machine.names_in(*system, &Path::new("/").join(directory))
    }

    pub(super) fn visit_share(&self, share: &Share, visit: &Visit) -> Result<Outcome> {
        let failed = |operation: &'static str, source| Error { operation, object: share.to_string(), source };
        orlop_objects::nfs::options(&share.options).map_err(|why| failed("mount", Cause::Refused(why)))?;
        self.wait_for_mount(share)?;
        let mut machine = self.machine();
        let system = machine.servers.find(share).map_err(|errno| failed("mount", Cause::Os(errno.into())))?;
        let root = OnShare { machine: Mutex::new(&mut machine), system };
        carry_out(&root, visit).map_err(|error| failed("work on", Cause::Os(error)))
    }
}

impl Machine {
    fn names_in(&self, system: u64, directory: &Path) -> Vec<String> {
        let names = self.files.names.keys();
        let below = names.filter(|(number, name)| *number == system && name.parent() == Some(directory));
        below
            .filter_map(|(_, name)| name.file_name())
            .map(|name| name.to_string_lossy().into_owned())
            .collect()
    }

    pub(super) fn mount_share(
        &mut self,
        share: &Share,
        beneath: &[String],
        volume: Option<&str>,
        target: &Path,
        read_only: bool,
    ) -> Result<()> {
        let failed = |source| Error { operation: "mount", object: share.to_string(), source };
        let options =
            orlop_objects::nfs::options(&share.options).map_err(|why| failed(Cause::Refused(why)))?;
        self.directory(target)?;
        let system = self.servers.find(share).map_err(|errno| failed(Cause::Os(errno.into())))?;
        if let Some(volume) = volume {
            let kept = Kept { directory: beneath.to_owned(), volume: volume.to_owned() };
            let on_share = OnShare { machine: Mutex::new(self), system };
            let why = check(&on_share, &kept).map_err(|error| failed(Cause::Os(error)))?;
            why.map_or(Ok(()), |why| Err(failed(Cause::NotIts(why))))?;
        }
        let root = beneath.iter().fold(PathBuf::from("/"), |path, part| path.join(part));
        if !self.files.names.contains_key(&(system, root.clone())) {
            return Err(failed(Cause::Os(Errno::ENOENT.into())));
        }
        let read_only = read_only || options.flags.contains(&"ro");
        let source = beneath.iter().fold(share.to_string(), |source, part| format!("{source}/{part}"));
        let mut new = entry(anonymous(system), target, read_only, "nfs4", &source);
        new.root = root;
        self.mounts.add(system, new);
        Ok(())
    }

    /// Whether the server of the share at `place` answers.
    pub(super) fn ask_server(&self, place: &Path) -> Result<()> {
        let (_, (system, _)) = self.mounts.resolve(place);
        match self.servers.failure(system) {
            None => Ok(()),
            Some(errno) => Err(super::files::refuse("ask the server of", place, errno)),
        }
    }
}

/// A share that a visit works on.
struct OnShare<'a> {
    machine: Mutex<&'a mut Machine>,
    system: u64,
}

impl OnShare<'_> {
    fn with<T>(&self, work: impl FnOnce(&mut Machine) -> T) -> T {
        work(&mut self.machine.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn key(&self, path: &[&str]) -> (u64, PathBuf) {
        (self.system, path.iter().fold(PathBuf::from("/"), |path, part| path.join(part)))
    }

    /// The key of a name that is free, in a directory that is there.
    fn free(&self, machine: &Machine, path: &[&str]) -> io::Result<(u64, PathBuf)> {
        let key = self.key(path);
        if machine.files.names.contains_key(&key) {
            return Err(Errno::EEXIST.into());
        }
        let above = (self.system, key.1.parent().unwrap_or(Path::new("/")).to_owned());
        if machine.files.names.contains_key(&above) { Ok(key) } else { Err(Errno::ENOENT.into()) }
    }
}

impl Root for OnShare<'_> {
    fn kind(&self, path: &[&str]) -> io::Result<Option<Kind>> {
        let key = self.key(path);
        Ok(self.with(|machine| {
            let inode = machine.files.names.get(&key).and_then(|number| machine.files.inodes.get(number));
            inode.map(|inode| if inode.directory { Kind::Directory } else { Kind::Other })
        }))
    }

    fn make_dir(&self, path: &[&str], _mode: u32) -> io::Result<()> {
        self.with(|machine| {
            let (system, name) = self.free(machine, path)?;
            machine.files.add(system, &name, true, 0, Content::Blank);
            Ok(())
        })
    }

    fn give(&self, path: &[&str], _uid: Option<u32>, _gid: Option<u32>, _mode: u32) -> io::Result<()> {
        self.kind(path)?.map(drop).ok_or_else(|| Errno::ENOENT.into())
    }

    fn names(&self, path: &[&str]) -> io::Result<Vec<String>> {
        let (system, directory) = self.key(path);
        Ok(self.with(|machine| machine.names_in(system, &directory)))
    }

    fn read(&self, path: &[&str]) -> io::Result<Option<Vec<u8>>> {
        let key = self.key(path);
        Ok(self.with(|machine| {
            let inode = machine.files.names.get(&key).and_then(|number| machine.files.inodes.get(number));
            inode.map(|inode| match &inode.content {
                Content::Data(data) => data.clone(),
                _ => Vec::new(),
            })
        }))
    }

    fn write_new(&self, path: &[&str], content: &[u8]) -> io::Result<()> {
        self.with(|machine| {
            let (system, name) = self.free(machine, path)?;
            machine.files.add(system, &name, false, content.len() as u64, Content::Data(content.to_owned()));
            Ok(())
        })
    }

    fn remove_file(&self, path: &[&str]) -> io::Result<()> {
        let key = self.key(path);
        self.with(|machine| machine.files.names.remove(&key).map(drop).ok_or_else(|| Errno::ENOENT.into()))
    }

    fn rename(&self, from: &[&str], to: &[&str]) -> io::Result<()> {
        let ((_, from), (_, to)) = (self.key(from), self.key(to));
        self.with(|machine| {
            let names = &mut machine.files.names;
            if names.keys().any(|(system, name)| *system == self.system && name.parent() == Some(&to)) {
                return Err(Errno::ENOTEMPTY.into());
            }
            let moved: Vec<PathBuf> = names
                .keys()
                .filter(|(system, name)| *system == self.system && name.starts_with(&from))
                .map(|(_, name)| name.clone())
                .collect();
            for old in moved {
                let below = old.strip_prefix(&from).unwrap_or(Path::new(""));
                let new = if below.as_os_str().is_empty() { to.clone() } else { to.join(below) };
                if let Some(inode) = names.remove(&(self.system, old)) {
                    names.insert((self.system, new), inode);
                }
            }
            Ok(())
        })
    }

    fn remove_tree(&self, path: &[&str]) -> io::Result<()> {
        let (_, root) = self.key(path);
        self.with(|machine| {
            machine
                .files
                .names
                .retain(|(system, name), _| *system != self.system || !name.starts_with(&root));
        });
        Ok(())
    }
}
