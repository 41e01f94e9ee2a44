//! Faults as data: [`Faulty`] wraps a machine, counts its effects, and fails or dies where a plan says so.
//!
//! ```text
//! mount: off, error(EBUSY)            the first mount works, the second fails, all others work
//! unmount: 2*off, 3*error(EIO)
//! crash before 4                      dies instead of carrying out the 4th effect
//! crash after 4; mount: error(EIO)    dies after the 4th; rules are joined by semicolons
//! ```
//!
//! Once it has died, every call answers [`Cause::Crashed`] and does nothing, looks included: the layers above unwind
//! as a dead process would, and the wrapped machine keeps its state for the next one.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use nix::errno::Errno;

use super::{
    Cause, Container, ContainerRequest, Error, ExportTable, FileInfo, FileLock, FsType, Host, Load,
    LoopDevice, MountEntry, MountRequest, Namespace, NfsServer, Outcome, PathBind, Probe, Result,
    RunningServer, Runtime, Share, Space, Visit,
};

use super::network::{Bridge, Cable, Link, LinkAddress, Network, Passage, Route};

mod plan;

pub use plan::{Plan, PlanError};

/// A machine with faults.
#[derive(Debug)]
pub struct Faulty<H> {
    inner: H,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    plan: Plan,
    effects: Vec<&'static str>,
    calls: BTreeMap<&'static str, usize>,
    crashed: bool,
}

impl<H> Faulty<H> {
    /// Wraps a machine.
    pub fn new(inner: H, plan: Plan) -> Self {
        let state = State { plan, effects: Vec::new(), calls: BTreeMap::new(), crashed: false };
        Self { inner, state: Mutex::new(state) }
    }

    /// The wrapped machine.
    pub fn inner(&self) -> &H {
        &self.inner
    }

    /// Names of the effects that were begun, in their order.
    pub fn effects(&self) -> Vec<&'static str> {
        self.state().effects.clone()
    }

    /// Whether the plan has let it die.
    pub fn crashed(&self) -> bool {
        self.state().crashed
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn look<T>(&self, name: &'static str, object: &Path, look: impl FnOnce(&H) -> Result<T>) -> Result<T> {
        self.rule(name, object)?;
        look(&self.inner)
    }

    /// One effect: dies before or after it, or fails instead of it, when the plan says so.
    fn effect<T>(
        &self,
        name: &'static str,
        object: &Path,
        effect: impl FnOnce(&H) -> Result<T>,
    ) -> Result<T> {
        let number = {
            let mut state = self.state();
            if state.crashed {
                return Err(crashed(name, object));
            }
            state.effects.push(name);
            state.effects.len()
        };
        if self.state().plan.before() == Some(number) {
            self.state().crashed = true;
            return Err(crashed(name, object));
        }
        self.rule(name, object)?;
        let answer = effect(&self.inner);
        if self.state().plan.after() == Some(number) {
            self.state().crashed = true;
            return Err(crashed(name, object));
        }
        answer
    }

    fn rule(&self, name: &'static str, object: &Path) -> Result<()> {
        let mut state = self.state();
        if state.crashed {
            return Err(crashed(name, object));
        }
        let call = state.calls.entry(name).or_default();
        let number = *call;
        *call += 1;
        match state.plan.at(name, number) {
            None => Ok(()),
            Some(errno) => Err(failed(name, object, Cause::Os(Errno::from_raw(errno).into()))),
        }
    }
}

fn failed(operation: &'static str, object: &Path, source: Cause) -> Error {
    Error { operation, object: object.display().to_string(), source }
}

fn crashed(operation: &'static str, object: &Path) -> Error {
    failed(operation, object, Cause::Crashed)
}

impl<H: Host> Host for Faulty<H> {
    fn create_sparse(&self, path: &Path, bytes: u64) -> Result<()> {
        self.effect("create_sparse", path, |inner| inner.create_sparse(path, bytes))
    }

    fn create_file(&self, path: &Path, content: &[u8]) -> Result<()> {
        self.effect("create_file", path, |inner| inner.create_file(path, content))
    }

    fn read_file(&self, path: &Path) -> Result<Option<Vec<u8>>> {
        self.look("read_file", path, |inner| inner.read_file(path))
    }

    fn lock(&self, path: &Path) -> Result<Option<FileLock>> {
        self.look("lock", path, |inner| inner.lock(path))
    }

    fn drop_cache(&self, path: &Path) -> Result<()> {
        self.effect("drop_cache", path, |inner| inner.drop_cache(path))
    }

    fn allocate(&self, path: &Path, bytes: u64) -> Result<()> {
        self.effect("allocate", path, |inner| inner.allocate(path, bytes))
    }

    fn sync_file(&self, path: &Path) -> Result<()> {
        self.effect("sync_file", path, |inner| inner.sync_file(path))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        self.effect("rename", to, |inner| inner.rename(from, to))
    }

    fn remove_file(&self, path: &Path) -> Result<()> {
        self.effect("remove_file", path, |inner| inner.remove_file(path))
    }

    fn create_dir(&self, path: &Path) -> Result<()> {
        self.effect("create_dir", path, |inner| inner.create_dir(path))
    }

    fn remove_dir(&self, path: &Path) -> Result<()> {
        self.effect("remove_dir", path, |inner| inner.remove_dir(path))
    }

    fn remove_tree(&self, path: &Path) -> Result<()> {
        self.effect("remove_tree", path, |inner| inner.remove_tree(path))
    }

    fn file(&self, path: &Path) -> Result<Option<FileInfo>> {
        self.look("file", path, |inner| inner.file(path))
    }

    fn canonical(&self, path: &Path) -> Result<Option<PathBuf>> {
        self.look("canonical", path, |inner| inner.canonical(path))
    }

    fn list_dir(&self, path: &Path) -> Result<Vec<String>> {
        self.look("list_dir", path, |inner| inner.list_dir(path))
    }

    fn file_system(&self, path: &Path) -> Result<Option<u64>> {
        self.look("file_system", path, |inner| inner.file_system(path))
    }

    fn space(&self, path: &Path) -> Result<Space> {
        self.look("space", path, |inner| inner.space(path))
    }

    fn make_filesystem(&self, path: &Path, fs_type: FsType, uuid: &str) -> Result<()> {
        self.effect("make_filesystem", path, |inner| inner.make_filesystem(path, fs_type, uuid))
    }

    fn probe(&self, path: &Path) -> Result<Probe> {
        self.look("probe", path, |inner| inner.probe(path))
    }

    fn attach_loop(&self, file: &Path, read_only: bool) -> Result<LoopDevice> {
        self.effect("attach_loop", file, |inner| inner.attach_loop(file, read_only))
    }

    fn loops(&self) -> Result<Vec<LoopDevice>> {
        self.look("loops", Path::new("*"), Host::loops)
    }

    fn detach_loop(&self, device: &Path) -> Result<()> {
        self.effect("detach_loop", device, |inner| inner.detach_loop(device))
    }

    fn mounts(&self) -> Result<Vec<MountEntry>> {
        self.look("mounts", Path::new("*"), Host::mounts)
    }

    fn mount(&self, request: &MountRequest) -> Result<()> {
        self.effect("mount", request.target(), |inner| inner.mount(request))
    }

    fn unmount(&self, target: &Path) -> Result<()> {
        self.effect("unmount", target, |inner| inner.unmount(target))
    }

    fn unmount_by_force(&self, target: &Path) -> Result<()> {
        self.effect("unmount_by_force", target, |inner| inner.unmount_by_force(target))
    }

    fn visit(&self, share: &Share, visit: &Visit) -> Result<Outcome> {
        self.effect("visit", Path::new(&share.to_string()), |inner| inner.visit(share, visit))
    }

    fn ask(&self, place: &Path) -> Result<()> {
        self.look("ask", place, |inner| inner.ask(place))
    }

    fn bind_path(&self, request: &PathBind) -> Result<()> {
        self.effect("bind_path", &request.target, |inner| inner.bind_path(request))
    }

    fn unbind_path(&self, target: &Path) -> Result<()> {
        self.effect("unbind_path", target, |inner| inner.unbind_path(target))
    }
}

impl<H: Network> Network for Faulty<H> {
    fn links(&self) -> Result<Vec<Link>> {
        self.look("links", Path::new("*"), Network::links)
    }

    fn link(&self, name: &str) -> Result<Option<Link>> {
        self.look("link", Path::new(name), |inner| inner.link(name))
    }

    fn addresses(&self) -> Result<Vec<LinkAddress>> {
        self.look("addresses", Path::new("*"), Network::addresses)
    }

    fn routes(&self) -> Result<Vec<Route>> {
        self.look("routes", Path::new("*"), Network::routes)
    }

    fn set_bridge(&self, bridge: &Bridge) -> Result<()> {
        self.effect("set_bridge", Path::new(&bridge.name), |inner| inner.set_bridge(bridge))
    }

    fn connect(&self, cable: &Cable) -> Result<()> {
        self.effect("connect", Path::new(&cable.name), |inner| inner.connect(cable))
    }

    fn remove_link(&self, name: &str) -> Result<()> {
        self.effect("remove_link", Path::new(name), |inner| inner.remove_link(name))
    }

    fn add_route(&self, route: &Route) -> Result<()> {
        self.effect("add_route", Path::new(&route.to.to_string()), |inner| inner.add_route(route))
    }

    fn remove_route(&self, route: &Route) -> Result<()> {
        self.effect("remove_route", Path::new(&route.to.to_string()), |inner| inner.remove_route(route))
    }

    fn open_passage(&self, passage: &Passage) -> Result<Vec<String>> {
        self.effect("open_passage", Path::new(&passage.mark), |inner| inner.open_passage(passage))
    }

    fn close_passage(&self, mark: &str) -> Result<()> {
        self.effect("close_passage", Path::new(mark), |inner| inner.close_passage(mark))
    }
}

impl<H: Runtime> Runtime for Faulty<H> {
    fn pin_namespaces(&self, dir: &Path, namespaces: &[Namespace], hostname: &str) -> Result<()> {
        self.effect("pin_namespaces", dir, |inner| inner.pin_namespaces(dir, namespaces, hostname))
    }

    fn unpin_namespaces(&self, dir: &Path) -> Result<()> {
        self.effect("unpin_namespaces", dir, |inner| inner.unpin_namespaces(dir))
    }

    fn create(&self, request: &ContainerRequest) -> Result<()> {
        self.effect("create", Path::new(&request.id), |inner| inner.create(request))
    }

    fn start(&self, id: &str) -> Result<()> {
        self.effect("start", Path::new(id), |inner| inner.start(id))
    }

    fn signal(&self, id: &str, signal: i32) -> Result<()> {
        self.effect("signal", Path::new(id), |inner| inner.signal(id, signal))
    }

    fn delete(&self, id: &str) -> Result<()> {
        self.effect("delete", Path::new(id), |inner| inner.delete(id))
    }

    fn forget_exit(&self, id: &str) -> Result<()> {
        self.effect("forget_exit", Path::new(id), |inner| inner.forget_exit(id))
    }

    fn containers_of(&self, beginning: &str) -> Result<Vec<Container>> {
        self.look("containers", Path::new("*"), |inner| inner.containers_of(beginning))
    }

    fn wait_for_exit(&self, timeout: Duration) -> Result<()> {
        self.look("wait_for_exit", Path::new("*"), |inner| inner.wait_for_exit(timeout))
    }

    fn boot_id(&self) -> Result<String> {
        self.look("boot_id", Path::new("*"), Runtime::boot_id)
    }

    fn load(&self) -> Result<Load> {
        self.look("load", Path::new("*"), Runtime::load)
    }
}

/// What the effects of an NFS server are about, in a plan's errors.
const NFS_SERVER: &str = "NFS server";

impl<H: NfsServer> NfsServer for Faulty<H> {
    fn installed(&self) -> Result<()> {
        self.look("installed", Path::new(NFS_SERVER), NfsServer::installed)
    }

    fn free_port(&self, from: u16) -> Result<u16> {
        self.look("free_port", Path::new(NFS_SERVER), |inner| inner.free_port(from))
    }

    fn table(&self) -> Result<Option<ExportTable>> {
        self.look("table", Path::new(NFS_SERVER), NfsServer::table)
    }

    fn is_written(&self, table: &ExportTable) -> Result<bool> {
        self.look("is_written", Path::new(NFS_SERVER), |inner| inner.is_written(table))
    }

    fn write_table(&self, table: &ExportTable) -> Result<()> {
        self.effect("write_table", Path::new(NFS_SERVER), |inner| inner.write_table(table))
    }

    fn server(&self) -> Result<Option<RunningServer>> {
        self.look("server", Path::new(NFS_SERVER), NfsServer::server)
    }

    fn start(&self) -> Result<()> {
        self.effect("start_nfs_server", Path::new(NFS_SERVER), NfsServer::start)
    }

    fn reload(&self) -> Result<()> {
        self.effect("reload_nfs_server", Path::new(NFS_SERVER), NfsServer::reload)
    }

    fn stop(&self) -> Result<()> {
        self.effect("stop_nfs_server", Path::new(NFS_SERVER), NfsServer::stop)
    }

    fn wait_for_end(&self, timeout: Duration) -> Result<bool> {
        self.look("wait_for_end", Path::new(NFS_SERVER), |inner| inner.wait_for_end(timeout))
    }
}

#[cfg(test)]
mod tests {
    use super::{super::fake::Fake, *};

    #[test]
    fn dies_before_or_after_an_effect_and_stays_dead() {
        for (plan, made) in [("crash before 2", false), ("crash after 2", true)] {
            let fake = Fake::default();
            let host = Faulty::new(fake.clone(), plan.parse().unwrap());
            host.create_dir(Path::new("/a")).unwrap();
            assert!(!host.crashed());
            let error = host.create_dir(Path::new("/b")).unwrap_err();
            assert!(matches!(error.source, Cause::Crashed));
            assert!(host.crashed());
            assert_eq!(fake.file(Path::new("/b")).unwrap().is_some(), made);
            assert!(matches!(host.file(Path::new("/a")).unwrap_err().source, Cause::Crashed));
            host.create_dir(Path::new("/c")).unwrap_err();
            assert_eq!(host.effects(), ["create_dir", "create_dir"]);
        }
    }

    #[test]
    fn fails_as_planned() {
        let host = Faulty::new(Fake::default(), "create_dir: off, 2*error(EIO)".parse().unwrap());
        let answers: Vec<bool> = (0..4).map(|_| host.create_dir(Path::new("/a")).is_ok()).collect();
        assert_eq!(answers, [true, false, false, true]);
    }
}
