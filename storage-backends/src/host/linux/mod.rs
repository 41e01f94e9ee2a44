//! The real machine: [`Linux`] carries out [`Host`] with system calls, three ioctls and three programs;
//! [`LinuxRuntime`] has containers and [`Ganesha`] the NFS server.
//!
//! Owns: how an effect is done. Must not know: when or why; policy is above.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::{
    Cause, Error, FileInfo, FileLock, FsType, Host, LoopDevice, MountEntry, MountRequest, Outcome, PathBind,
    Probe, Result, Share, Space, Visit,
};

mod child;
mod files;
mod format;
mod ganesha;
mod host_path;
mod loop_files;
mod loop_ioctl;
mod loops;
mod mountinfo;
mod mounts;
mod network;
pub(crate) mod program;
mod remove;
mod runtime;
mod share;
mod shares;
mod stand_in;
mod superblock;

use child::Directory;
pub use child::main_if_child;
pub use ganesha::Ganesha;
pub use network::LinuxNetwork;
pub use runtime::{LinuxRuntime, RuntimeConfig};
pub use stand_in::StandIn;

/// The machine that this process runs on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Linux;

/// Says what was being done to which path when the kernel said no.
fn failed(operation: &'static str, path: &Path) -> impl Fn(io::Error) -> Error {
    let object = path.display().to_string();
    move |error| Error { operation, object: object.clone(), source: Cause::Os(error) }
}

/// Nothing here leaves a lock's data half changed, so a panic elsewhere does not spoil it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Host for Linux {
    fn create_sparse(&self, path: &Path, bytes: u64) -> Result<()> {
        files::create_sparse(path, bytes)
    }

    fn create_file(&self, path: &Path, content: &[u8]) -> Result<()> {
        files::create_file(path, content)
    }

    fn read_file(&self, path: &Path) -> Result<Option<Vec<u8>>> {
        files::read_file(path)
    }

    fn lock(&self, path: &Path) -> Result<Option<FileLock>> {
        files::lock(path)
    }

    fn drop_cache(&self, path: &Path) -> Result<()> {
        files::drop_cache(path)
    }

    fn allocate(&self, path: &Path, bytes: u64) -> Result<()> {
        files::allocate(path, bytes)
    }

    fn sync_file(&self, path: &Path) -> Result<()> {
        files::sync_file(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        files::rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> Result<()> {
        files::remove_file(path)
    }

    fn create_dir(&self, path: &Path) -> Result<()> {
        files::create_dir(path)
    }

    fn remove_dir(&self, path: &Path) -> Result<()> {
        files::remove_dir(path)
    }

    fn remove_tree(&self, path: &Path) -> Result<()> {
        remove::tree(path)
    }

    fn file(&self, path: &Path) -> Result<Option<FileInfo>> {
        files::file(path)
    }

    fn canonical(&self, path: &Path) -> Result<Option<PathBuf>> {
        files::canonical(path)
    }

    fn list_dir(&self, path: &Path) -> Result<Vec<String>> {
        files::list_dir(path)
    }

    fn file_system(&self, path: &Path) -> Result<Option<u64>> {
        files::file_system(path)
    }

    fn space(&self, path: &Path) -> Result<Space> {
        files::space(path)
    }

    fn make_filesystem(&self, path: &Path, fs_type: FsType, uuid: &str) -> Result<()> {
        format::make(path, fs_type, uuid)
    }

    fn probe(&self, path: &Path) -> Result<Probe> {
        format::probe(path)
    }

    fn attach_loop(&self, file: &Path, read_only: bool) -> Result<LoopDevice> {
        loops::attach(file, read_only)
    }

    fn loops(&self) -> Result<Vec<LoopDevice>> {
        loops::list()
    }

    fn detach_loop(&self, device: &Path) -> Result<()> {
        loops::detach(device)
    }

    fn mounts(&self) -> Result<Vec<MountEntry>> {
        mountinfo::read()
    }

    fn mount(&self, request: &MountRequest) -> Result<()> {
        match request {
            MountRequest::Nfs { share, beneath, volume, target, read_only } => {
                let directory = Directory { beneath: beneath.clone(), volume: volume.clone() };
                shares::mount(&shares::server(share)?, share, directory, target, *read_only)
            }
            MountRequest::Bind { source, target, read_only } if shares::is_on_one(source)? => {
                shares::bind(source, target, *read_only)
            }
            request => mounts::mount(request),
        }
    }

    fn unmount(&self, target: &Path) -> Result<()> {
        if shares::is_on_one(target)? { shares::unmount(target, false) } else { mounts::unmount(target) }
    }

    fn unmount_by_force(&self, target: &Path) -> Result<()> {
        shares::unmount(target, true)
    }

    fn visit(&self, share: &Share, visit: &Visit) -> Result<Outcome> {
        shares::visit(&shares::server(share)?, share, visit)
    }

    fn ask(&self, place: &Path) -> Result<()> {
        shares::ask(place)
    }

    fn bind_path(&self, request: &PathBind) -> Result<()> {
        shares::show(request)
    }

    fn unbind_path(&self, target: &Path) -> Result<()> {
        shares::hide(target)
    }
}

#[cfg(test)]
pub(crate) mod scratch;
#[cfg(test)]
mod tests;
