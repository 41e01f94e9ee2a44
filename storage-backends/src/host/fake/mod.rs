//! A machine in memory: [`Fake`] keeps files, loop devices and mounts, and refuses what Linux refuses.
//!
//! Clones share their state, as processes share a machine: a test that lets a process die goes on with a clone.
//! Paths are resolved through the mount table as the kernel does it, component by component, so that what is written
//! below a mount lands in the mounted file system and is hidden when that is unmounted.
//!
//! [`Fake::neighbour`] is a machine of its own that sees the same files, as two machines see one network file system: it has
//! its own devices, mounts and containers.
//!
//! Not modelled: links, permissions, what a power cut loses.

use std::{
    ops::{Deref, DerefMut},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{
    FileInfo, FileLock, FsType, Host, LoopDevice, MountEntry, MountRequest, Outcome, PathBind, Probe, Result,
    Share, Space, Visit,
};

mod devices;
mod files;
mod host_path;
mod mounts;
mod network;
mod nfs_server;
mod runtime;
mod shares;

pub use files::Content;

/// A machine in memory.
#[derive(Clone, Debug)]
pub struct Fake {
    shared: Arc<Shared>,
    /// Which of the machines it is.
    number: usize,
}

/// What all clones of a [`Fake`] share, and its neighbours as well.
#[derive(Debug)]
struct Shared {
    site: Mutex<Site>,
    looks: AtomicU64,
    doubled: AtomicU64,
}

/// All machines that see the same files.
#[derive(Debug)]
struct Site {
    /// One of them, put together with the files.
    machine: Machine,
    /// Which.
    present: usize,
    /// The others, each at its number; the present one's place is empty.
    kernels: Vec<Option<Kernel>>,
}

/// Files, devices, mounts, containers and the NFS server.
#[derive(Debug)]
struct Machine {
    files: files::Files,
    servers: shares::Servers,
    kernel: Kernel,
}

/// What a machine does not share.
#[derive(Debug)]
struct Kernel {
    devices: devices::Devices,
    mounts: mounts::Mounts,
    containers: runtime::Containers,
    network: network::Interfaces,
    nfs_server: nfs_server::Server,
}

impl Kernel {
    fn new() -> Self {
        Self {
            devices: devices::Devices::default(),
            mounts: mounts::Mounts::new(),
            containers: runtime::Containers::new(),
            network: network::Interfaces::new(),
            nfs_server: nfs_server::Server::default(),
        }
    }
}

impl Deref for Machine {
    type Target = Kernel;

    fn deref(&self) -> &Kernel {
        &self.kernel
    }
}

impl DerefMut for Machine {
    fn deref_mut(&mut self) -> &mut Kernel {
        &mut self.kernel
    }
}

/// One machine, for the length of a call.
struct Present<'a>(MutexGuard<'a, Site>);

impl Deref for Present<'_> {
    type Target = Machine;

    fn deref(&self) -> &Machine {
        &self.0.machine
    }
}

impl DerefMut for Present<'_> {
    fn deref_mut(&mut self) -> &mut Machine {
        &mut self.0.machine
    }
}

impl Default for Fake {
    fn default() -> Self {
        Self::new(100 << 30)
    }
}

impl Fake {
    /// A machine whose root file system has that many bytes.
    pub fn new(bytes: u64) -> Self {
        let machine = Machine {
            files: files::Files::new(bytes),
            servers: shares::Servers::default(),
            kernel: Kernel::new(),
        };
        let site = Site { machine, present: 0, kernels: vec![None] };
        Self {
            shared: Arc::new(Shared {
                site: Mutex::new(site),
                looks: AtomicU64::new(0),
                doubled: AtomicU64::new(0),
            }),
            number: 0,
        }
    }

    /// Another machine that sees the same files.
    pub fn neighbour(&self) -> Self {
        let mut site = self.shared.site.lock().unwrap_or_else(PoisonError::into_inner);
        site.kernels.push(Some(Kernel::new()));
        Self { shared: Arc::clone(&self.shared), number: site.kernels.len() - 1 }
    }

    fn machine(&self) -> Present<'_> {
        let mut guard = self.shared.site.lock().unwrap_or_else(PoisonError::into_inner);
        let site = &mut *guard;
        if let Some(kernel) = site.kernels.get_mut(self.number).and_then(Option::take) {
            let other = std::mem::replace(&mut site.machine.kernel, kernel);
            site.kernels[site.present] = Some(other);
            site.present = self.number;
        }
        Present(guard)
    }

    /// How many loop devices hold a file, on all machines that see it: more than one, and it has two writers.
    pub fn devices_of(&self, path: &Path) -> usize {
        let here = self.machine();
        let Some((inode, _)) = here.lookup(path) else { return 0 };
        let elsewhere = here.0.kernels.iter().flatten().map(|kernel| kernel.devices.holding(inode));
        here.devices.holding(inode) + elsewhere.sum::<usize>()
    }

    /// Writes a file as a program in a container would; fails where a file system is full or read-only.
    pub fn write(&self, path: &Path, data: &[u8]) -> Result<()> {
        self.machine().write(path, data)
    }

    /// What a file holds; `None` when it does not exist.
    pub fn read(&self, path: &Path) -> Option<Content> {
        self.machine().read(path)
    }

    /// Makes a directory that has a device number of its own, as btrfs gives one to each of its subvolumes.
    pub fn create_subvolume(&self, path: &Path) -> Result<()> {
        self.machine().create_subvolume(path)
    }

    /// How often a file system was to be made over something, which is refused: 0, or a volume was in danger.
    pub fn overwritten(&self) -> u64 {
        self.machine().files.overwritten
    }

    /// How often a file got a second device, on whichever machine: 0, or a volume had two writers.
    pub fn doubled(&self) -> u64 {
        self.shared.doubled.load(Ordering::Relaxed)
    }

    /// How often the mount table was read: who waits for something must not look all the time.
    pub fn looks(&self) -> u64 {
        self.shared.looks.load(Ordering::Relaxed)
    }

    /// How often each made a file system, by UUID.
    pub fn formatted(&self, uuid: &str) -> u64 {
        self.machine().files.formatted.get(uuid).copied().unwrap_or(0)
    }

    /// The machine loses its power: loop devices, mounts and memory are gone, files stay.
    pub fn reboot(&self) {
        let mut machine = self.machine();
        machine.devices = devices::Devices::default();
        machine.mounts = mounts::Mounts::new();
        machine.containers = machine.containers.rebooted();
        machine.network = network::Interfaces::new();
        machine.nfs_server.end();
        machine.files.forget_unlinked();
    }
}

impl Host for Fake {
    fn create_sparse(&self, path: &Path, bytes: u64) -> Result<()> {
        self.machine().create_sparse(path, bytes)
    }

    fn create_file(&self, path: &Path, content: &[u8]) -> Result<()> {
        let mut machine = self.machine();
        machine.create_sparse(path, 0)?;
        machine.write(path, content)
    }

    fn read_file(&self, path: &Path) -> Result<Option<Vec<u8>>> {
        Ok(self.machine().read(path).map(|content| match content {
            Content::Data(data) => data,
            _ => Vec::new(),
        }))
    }

    fn lock(&self, path: &Path) -> Result<Option<FileLock>> {
        let mut machine = self.machine();
        if machine.info(path).is_none() {
            machine.create_sparse(path, 0)?;
        }
        let inode = machine.find("lock", path)?;
        if machine.files.locks.get(&inode).is_some_and(|held| held.strong_count() > 0) {
            return Ok(None);
        }
        let held: Arc<()> = Arc::new(());
        machine.files.locks.insert(inode, Arc::downgrade(&held));
        Ok(Some(FileLock::new(held)))
    }

    fn drop_cache(&self, path: &Path) -> Result<()> {
        self.machine().find("drop the cache of", path).map(drop)
    }

    fn allocate(&self, path: &Path, bytes: u64) -> Result<()> {
        self.machine().allocate(path, bytes)
    }

    fn sync_file(&self, path: &Path) -> Result<()> {
        self.machine().find("sync", path).map(drop)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        self.machine().rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> Result<()> {
        self.machine().remove_file(path)
    }

    fn create_dir(&self, path: &Path) -> Result<()> {
        self.machine().create_dir(path)
    }

    fn remove_dir(&self, path: &Path) -> Result<()> {
        self.machine().remove_dir(path)
    }

    fn remove_tree(&self, path: &Path) -> Result<()> {
        self.machine().remove_tree(path)
    }

    fn file(&self, path: &Path) -> Result<Option<FileInfo>> {
        Ok(self.machine().info(path))
    }

    fn canonical(&self, path: &Path) -> Result<Option<PathBuf>> {
        Ok(self.machine().info(path).map(|_| path.to_owned()))
    }

    fn list_dir(&self, path: &Path) -> Result<Vec<String>> {
        Ok(self.machine().list_dir(path))
    }

    fn file_system(&self, path: &Path) -> Result<Option<u64>> {
        Ok(self.machine().file_system(path))
    }

    fn space(&self, path: &Path) -> Result<Space> {
        self.machine().space(path)
    }

    fn make_filesystem(&self, path: &Path, fs_type: FsType, uuid: &str) -> Result<()> {
        self.machine().make_filesystem(path, fs_type, uuid)
    }

    fn probe(&self, path: &Path) -> Result<Probe> {
        self.machine().probe(path)
    }

    fn attach_loop(&self, file: &Path, read_only: bool) -> Result<LoopDevice> {
        let made = self.machine().attach_loop(file, read_only)?;
        if self.devices_of(file) > 1 {
            self.shared.doubled.fetch_add(1, Ordering::Relaxed);
        }
        Ok(made)
    }

    fn loops(&self) -> Result<Vec<LoopDevice>> {
        Ok(self.machine().loops())
    }

    fn detach_loop(&self, device: &Path) -> Result<()> {
        self.machine().detach_loop(device)
    }

    fn mounts(&self) -> Result<Vec<MountEntry>> {
        self.shared.looks.fetch_add(1, Ordering::Relaxed);
        Ok(self.machine().mounts.entries())
    }

    fn mount(&self, request: &MountRequest) -> Result<()> {
        if let MountRequest::Nfs { share, .. } = request {
            self.wait_for_mount(share)?;
        }
        self.machine().mount(request)
    }

    fn unmount(&self, target: &Path) -> Result<()> {
        self.machine().unmount(target)
    }

    fn unmount_by_force(&self, target: &Path) -> Result<()> {
        self.machine().unmount(target)
    }

    fn visit(&self, share: &Share, visit: &Visit) -> Result<Outcome> {
        self.visit_share(share, visit)
    }

    fn ask(&self, place: &Path) -> Result<()> {
        self.ask_share(place)
    }

    fn bind_path(&self, request: &PathBind) -> Result<()> {
        self.machine().bind_path(request)
    }

    fn unbind_path(&self, target: &Path) -> Result<()> {
        self.machine().unbind_path(target)
    }
}

#[cfg(test)]
mod tests;
