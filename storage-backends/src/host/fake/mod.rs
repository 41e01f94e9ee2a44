//! A machine in memory: [`Fake`] keeps files, loop devices and mounts, and refuses what Linux refuses.
//!
//! Clones share their state, as processes share a machine: a test that lets a process die goes on with a clone.
//! Paths are resolved through the mount table as the kernel does it, component by component, so that what is written
//! below a mount lands in the mounted file system and is hidden when that is unmounted.
//!
//! Not modelled: links, permissions, what a power cut loses.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{
    FileInfo, FsType, Host, LoopDevice, MountEntry, MountRequest, Outcome, Probe, Result, Share, Space, Visit,
};

mod devices;
mod files;
mod mounts;
mod runtime;
mod shares;

pub use files::Content;

/// A machine in memory.
#[derive(Clone, Debug)]
pub struct Fake {
    shared: Arc<Shared>,
}

/// What all clones of a [`Fake`] share.
#[derive(Debug)]
struct Shared {
    machine: Mutex<Machine>,
    looks: AtomicU64,
}

/// Files, devices, mounts and containers.
#[derive(Debug)]
struct Machine {
    files: files::Files,
    devices: devices::Devices,
    mounts: mounts::Mounts,
    containers: runtime::Containers,
    servers: shares::Servers,
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
            devices: devices::Devices::default(),
            mounts: mounts::Mounts::new(),
            containers: runtime::Containers::new(),
            servers: shares::Servers::default(),
        };
        Self { shared: Arc::new(Shared { machine: Mutex::new(machine), looks: AtomicU64::new(0) }) }
    }

    fn machine(&self) -> MutexGuard<'_, Machine> {
        self.shared.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a file as a program in a container would; fails where a file system is full or read-only.
    pub fn write(&self, path: &Path, data: &[u8]) -> Result<()> {
        self.machine().write(path, data)
    }

    /// What a file holds; `None` when it does not exist.
    pub fn read(&self, path: &Path) -> Option<Content> {
        self.machine().read(path)
    }

    /// How often a file system was to be made over something, which is refused: 0, or a volume was in danger.
    pub fn overwritten(&self) -> u64 {
        self.machine().files.overwritten
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
        machine.files.forget_unlinked();
    }
}

impl Host for Fake {
    fn create_sparse(&self, path: &Path, bytes: u64) -> Result<()> {
        self.machine().create_sparse(path, bytes)
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
        self.machine().attach_loop(file, read_only)
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
}

#[cfg(test)]
mod tests;
