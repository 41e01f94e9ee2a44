//! A machine on which directories stand in for the shares of file servers, so that everything about them but the
//! network runs on a real kernel that has no NFS client, and on one that has: `<directory>/<server>/<path>` is the share
//! `<server>:<path>`. A server without a directory refuses connections.
//!
//! It is chosen by who wires the machine, never by anything that a manifest says. Everything that is not about shares
//! is handed on.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use nix::errno::Errno;

use super::{
    super::{
        Cause, Error, FileInfo, FileLock, FsType, Host, LoopDevice, MountEntry, MountRequest, Outcome,
        PathBind, Probe, Result, Share, Space, Visit,
    },
    child::{Directory, Source},
    shares,
};

/// A machine whose file servers are directories.
pub struct StandIn {
    inner: Arc<dyn Host>,
    servers: PathBuf,
}

impl StandIn {
    /// A machine whose file servers are the directories in `servers`.
    pub fn new(inner: Arc<dyn Host>, servers: impl Into<PathBuf>) -> Self {
        Self { inner, servers: servers.into() }
    }

    fn source(&self, share: &Share) -> Result<Source> {
        let failed = |errno: Errno| Error {
            operation: "mount",
            object: share.to_string(),
            source: Cause::Os(io::Error::from(errno)),
        };
        let server = self.servers.join(&share.server);
        if !server.is_dir() {
            return Err(failed(Errno::ECONNREFUSED));
        }
        let directory = server.join(share.path.trim_start_matches('/'));
        if directory.is_dir() { Ok(Source::Directory(directory)) } else { Err(failed(Errno::ENOENT)) }
    }

    /// Where the servers are, as the mount table names it: the device, and the path from its root.
    fn origin(&self, mounts: &[MountEntry]) -> Result<Option<((u32, u32), PathBuf)>> {
        let Some(servers) = self.inner.canonical(&self.servers)? else { return Ok(None) };
        let holders = mounts.iter().filter(|mount| servers.starts_with(&mount.target));
        let holder = holders.max_by_key(|mount| mount.target.components().count());
        Ok(holder.and_then(|mount| {
            let below = servers.strip_prefix(&mount.target).ok()?;
            Some((mount.number, mount.root.join(below)))
        }))
    }
}

/// A mount of a stand-in as that of a server would be shown.
fn as_of_a_server(mut mount: MountEntry, origin: &Path) -> MountEntry {
    let Ok(shown) = mount.root.strip_prefix(origin).map(Path::to_owned) else { return mount };
    let mut parts = shown.components();
    if let Some(server) = parts.next() {
        let path = Path::new("/").join(parts.as_path());
        mount.source = format!("{}:{}", server.as_os_str().to_string_lossy(), path.display());
        mount.fs_type = "nfs4".to_owned();
        mount.root = "/".into();
    }
    mount
}

impl Host for StandIn {
    fn create_sparse(&self, path: &Path, bytes: u64) -> Result<()> {
        self.inner.create_sparse(path, bytes)
    }

    fn create_file(&self, path: &Path, content: &[u8]) -> Result<()> {
        self.inner.create_file(path, content)
    }

    fn read_file(&self, path: &Path) -> Result<Option<Vec<u8>>> {
        self.inner.read_file(path)
    }

    fn lock(&self, path: &Path) -> Result<Option<FileLock>> {
        self.inner.lock(path)
    }

    fn drop_cache(&self, path: &Path) -> Result<()> {
        self.inner.drop_cache(path)
    }

    fn allocate(&self, path: &Path, bytes: u64) -> Result<()> {
        self.inner.allocate(path, bytes)
    }

    fn sync_file(&self, path: &Path) -> Result<()> {
        self.inner.sync_file(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        self.inner.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> Result<()> {
        self.inner.remove_file(path)
    }

    fn create_dir(&self, path: &Path) -> Result<()> {
        self.inner.create_dir(path)
    }

    fn remove_dir(&self, path: &Path) -> Result<()> {
        self.inner.remove_dir(path)
    }

    fn remove_tree(&self, path: &Path) -> Result<()> {
        self.inner.remove_tree(path)
    }

    fn file(&self, path: &Path) -> Result<Option<FileInfo>> {
        self.inner.file(path)
    }

    fn canonical(&self, path: &Path) -> Result<Option<PathBuf>> {
        self.inner.canonical(path)
    }

    fn list_dir(&self, path: &Path) -> Result<Vec<String>> {
        self.inner.list_dir(path)
    }

    fn file_system(&self, path: &Path) -> Result<Option<u64>> {
        self.inner.file_system(path)
    }

    fn space(&self, path: &Path) -> Result<Space> {
        self.inner.space(path)
    }

    fn make_filesystem(&self, path: &Path, fs_type: FsType, uuid: &str) -> Result<()> {
        self.inner.make_filesystem(path, fs_type, uuid)
    }

    fn probe(&self, path: &Path) -> Result<Probe> {
        self.inner.probe(path)
    }

    fn attach_loop(&self, file: &Path, read_only: bool) -> Result<LoopDevice> {
        self.inner.attach_loop(file, read_only)
    }

    fn loops(&self) -> Result<Vec<LoopDevice>> {
        self.inner.loops()
    }

    fn detach_loop(&self, device: &Path) -> Result<()> {
        self.inner.detach_loop(device)
    }

    fn mounts(&self) -> Result<Vec<MountEntry>> {
        let mounts = self.inner.mounts()?;
        let Some((number, origin)) = self.origin(&mounts)? else { return Ok(mounts) };
        let shown = |mount: MountEntry| {
            if mount.number == number { as_of_a_server(mount, &origin) } else { mount }
        };
        Ok(mounts.into_iter().map(shown).collect())
    }

    fn mount(&self, request: &MountRequest) -> Result<()> {
        match request {
            MountRequest::Nfs { share, beneath, volume, target, read_only } => {
                let directory = Directory { beneath: beneath.clone(), volume: volume.clone() };
                shares::mount(&self.source(share)?, share, directory, target, *read_only)
            }
            request => self.inner.mount(request),
        }
    }

    fn unmount(&self, target: &Path) -> Result<()> {
        self.inner.unmount(target)
    }

    fn unmount_by_force(&self, target: &Path) -> Result<()> {
        self.inner.unmount_by_force(target)
    }

    fn visit(&self, share: &Share, visit: &Visit) -> Result<Outcome> {
        shares::visit(&self.source(share)?, share, visit)
    }

    fn ask(&self, place: &Path) -> Result<()> {
        self.inner.ask(place)
    }

    fn bind_path(&self, request: &PathBind) -> Result<()> {
        self.inner.bind_path(request)
    }

    fn unbind_path(&self, target: &Path) -> Result<()> {
        self.inner.unbind_path(target)
    }
}
