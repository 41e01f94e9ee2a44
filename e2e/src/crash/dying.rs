//! A machine whose user dies at a planned effect, for good: SIGKILL leaves no time for anything else.

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, raise};
use orlop::Machine;
use orlop_backends::host::{
    self, Container, ContainerRequest, ExportTable, FileInfo, FileLock, FsType, Host, Load, LoopDevice,
    MountEntry, MountRequest, Namespace, NfsServer, Outcome, PathBind, Probe, RunningServer, Runtime, Share,
    Space, Visit,
    network::{Bridge, Cable, Link, LinkAddress, Network, Passage, Route},
};

use super::plan::{Moment, Plan};

/// The machine, with a count of what is done to it.
pub struct Dying {
    inner: Machine,
    plan: Option<Plan>,
    ledger: Mutex<Ledger>,
}

struct Ledger {
    begun: BTreeMap<String, usize>,
    all: usize,
    file: Option<File>,
}

impl Dying {
    /// Wraps a machine as the environment says.
    pub fn from_environment(inner: Machine) -> Result<Self> {
        let plan = std::env::var("ORLOP_CRASH").ok().map(|text| text.parse()).transpose()?;
        let open = |path| OpenOptions::new().create(true).append(true).open(path);
        let file = std::env::var_os("ORLOP_EFFECTS").map(open).transpose().context("open ORLOP_EFFECTS")?;
        Ok(Self { inner, plan, ledger: Mutex::new(Ledger { begun: BTreeMap::new(), all: 0, file }) })
    }

    /// All parts of the machine behind one count.
    pub fn into_machine(self) -> Machine {
        let shared = Arc::new(self);
        Machine { host: shared.clone(), runtime: shared.clone(), network: shared.clone(), nfs_server: shared }
    }

    fn effect<T>(&self, kind: &str, object: &Path, effect: impl FnOnce(&Machine) -> T) -> T {
        let moment = self.begin(kind, object);
        match moment {
            Some(Moment::Before) => die(),
            Some(Moment::During(time)) => drop(std::thread::spawn(move || {
                std::thread::sleep(time);
                die();
            })),
            Some(Moment::After) | None => {}
        }
        let answer = effect(&self.inner);
        if moment == Some(Moment::After) {
            die();
        }
        answer
    }

    /// Counts and records; answers when to die, if this is the effect to die at.
    fn begin(&self, kind: &str, object: &Path) -> Option<Moment> {
        let mut ledger = self.ledger.lock().unwrap();
        let count = ledger.begun.entry(kind.to_owned()).or_default();
        *count += 1;
        let number = *count;
        ledger.all += 1;
        let all = ledger.all;
        if let Some(file) = &mut ledger.file {
            // One write per line: a line is whole or not there, whenever the process dies.
            file.write_all(format!("{kind} {number} {}\n", object.display()).as_bytes()).unwrap();
        }
        self.plan.as_ref().filter(|plan| plan.is_at(kind, number, all)).map(|plan| plan.moment)
    }
}

fn die() -> ! {
    raise(Signal::SIGKILL).unwrap();
    // The signal is on its way to all threads of this process.
    loop {
        std::thread::park();
    }
}

fn kind_of(request: &MountRequest) -> &'static str {
    match request {
        MountRequest::Device { .. } => "mount(device)",
        MountRequest::Bind { .. } => "mount(bind)",
        MountRequest::Overlay { .. } => "mount(overlay)",
        MountRequest::Nfs { .. } => "mount(nfs)",
        MountRequest::Tmpfs { .. } => "mount(tmpfs)",
    }
}

impl Host for Dying {
    fn create_sparse(&self, path: &Path, bytes: u64) -> host::Result<()> {
        self.effect("create_sparse", path, |m| m.host.create_sparse(path, bytes))
    }

    fn create_file(&self, path: &Path, content: &[u8]) -> host::Result<()> {
        self.effect("create_file", path, |m| m.host.create_file(path, content))
    }

    fn read_file(&self, path: &Path) -> host::Result<Option<Vec<u8>>> {
        self.inner.host.read_file(path)
    }

    fn lock(&self, path: &Path) -> host::Result<Option<FileLock>> {
        self.inner.host.lock(path)
    }

    fn drop_cache(&self, path: &Path) -> host::Result<()> {
        self.effect("drop_cache", path, |m| m.host.drop_cache(path))
    }

    fn allocate(&self, path: &Path, bytes: u64) -> host::Result<()> {
        self.effect("allocate", path, |m| m.host.allocate(path, bytes))
    }

    fn sync_file(&self, path: &Path) -> host::Result<()> {
        self.effect("sync_file", path, |m| m.host.sync_file(path))
    }

    fn rename(&self, from: &Path, to: &Path) -> host::Result<()> {
        self.effect("rename", to, |m| m.host.rename(from, to))
    }

    fn remove_file(&self, path: &Path) -> host::Result<()> {
        self.effect("remove_file", path, |m| m.host.remove_file(path))
    }

    fn create_dir(&self, path: &Path) -> host::Result<()> {
        self.effect("create_dir", path, |m| m.host.create_dir(path))
    }

    fn remove_dir(&self, path: &Path) -> host::Result<()> {
        self.effect("remove_dir", path, |m| m.host.remove_dir(path))
    }

    fn remove_tree(&self, path: &Path) -> host::Result<()> {
        self.effect("remove_tree", path, |m| m.host.remove_tree(path))
    }

    fn file(&self, path: &Path) -> host::Result<Option<FileInfo>> {
        self.inner.host.file(path)
    }

    fn canonical(&self, path: &Path) -> host::Result<Option<PathBuf>> {
        self.inner.host.canonical(path)
    }

    fn list_dir(&self, path: &Path) -> host::Result<Vec<String>> {
        self.inner.host.list_dir(path)
    }

    fn file_system(&self, path: &Path) -> host::Result<Option<u64>> {
        self.inner.host.file_system(path)
    }

    fn space(&self, path: &Path) -> host::Result<Space> {
        self.inner.host.space(path)
    }

    fn make_filesystem(&self, path: &Path, fs_type: FsType, uuid: &str) -> host::Result<()> {
        self.effect("make_filesystem", path, |m| m.host.make_filesystem(path, fs_type, uuid))
    }

    fn probe(&self, path: &Path) -> host::Result<Probe> {
        self.inner.host.probe(path)
    }

    fn attach_loop(&self, file: &Path, read_only: bool) -> host::Result<LoopDevice> {
        self.effect("attach_loop", file, |m| m.host.attach_loop(file, read_only))
    }

    fn loops(&self) -> host::Result<Vec<LoopDevice>> {
        self.inner.host.loops()
    }

    fn detach_loop(&self, device: &Path) -> host::Result<()> {
        self.effect("detach_loop", device, |m| m.host.detach_loop(device))
    }

    fn mounts(&self) -> host::Result<Vec<MountEntry>> {
        self.inner.host.mounts()
    }

    fn mount(&self, request: &MountRequest) -> host::Result<()> {
        self.effect(kind_of(request), request.target(), |m| m.host.mount(request))
    }

    fn unmount(&self, target: &Path) -> host::Result<()> {
        // By what is mounted there: `rootfs`, `mount` (published), `globalmount` (staged).
        let place = target.file_name().unwrap_or_default().to_string_lossy();
        self.effect(&format!("unmount({place})"), target, |m| m.host.unmount(target))
    }

    fn unmount_by_force(&self, target: &Path) -> host::Result<()> {
        self.effect("unmount_by_force", target, |m| m.host.unmount_by_force(target))
    }

    fn visit(&self, share: &Share, visit: &Visit) -> host::Result<Outcome> {
        self.effect("visit", Path::new(&share.path), |m| m.host.visit(share, visit))
    }

    fn ask(&self, place: &Path) -> host::Result<()> {
        self.inner.host.ask(place)
    }

    fn bind_path(&self, request: &PathBind) -> host::Result<()> {
        self.effect("bind_path", &request.target, |m| m.host.bind_path(request))
    }

    fn unbind_path(&self, target: &Path) -> host::Result<()> {
        self.effect("unbind_path", target, |m| m.host.unbind_path(target))
    }
}

impl Network for Dying {
    fn links(&self) -> host::Result<Vec<Link>> {
        self.inner.network.links()
    }

    fn link(&self, name: &str) -> host::Result<Option<Link>> {
        self.inner.network.link(name)
    }

    fn addresses(&self) -> host::Result<Vec<LinkAddress>> {
        self.inner.network.addresses()
    }

    fn routes(&self) -> host::Result<Vec<Route>> {
        self.inner.network.routes()
    }

    fn set_bridge(&self, bridge: &Bridge) -> host::Result<()> {
        self.effect("set_bridge", Path::new(&bridge.name), |m| m.network.set_bridge(bridge))
    }

    fn connect(&self, cable: &Cable) -> host::Result<()> {
        self.effect("connect", Path::new(&cable.name), |m| m.network.connect(cable))
    }

    fn remove_link(&self, name: &str) -> host::Result<()> {
        self.effect("remove_link", Path::new(name), |m| m.network.remove_link(name))
    }

    fn add_route(&self, route: &Route) -> host::Result<()> {
        self.effect("add_route", Path::new(&route.to.to_string()), |m| m.network.add_route(route))
    }

    fn remove_route(&self, route: &Route) -> host::Result<()> {
        self.effect("remove_route", Path::new(&route.to.to_string()), |m| m.network.remove_route(route))
    }

    fn open_passage(&self, passage: &Passage) -> host::Result<Vec<String>> {
        self.effect("open_passage", Path::new(&passage.mark), |m| m.network.open_passage(passage))
    }

    fn close_passage(&self, mark: &str) -> host::Result<()> {
        self.effect("close_passage", Path::new(mark), |m| m.network.close_passage(mark))
    }
}

impl Runtime for Dying {
    fn pin_namespaces(&self, dir: &Path, namespaces: &[Namespace], hostname: &str) -> host::Result<()> {
        self.effect("pin_namespaces", dir, |m| m.runtime.pin_namespaces(dir, namespaces, hostname))
    }

    fn unpin_namespaces(&self, dir: &Path) -> host::Result<()> {
        self.effect("unpin_namespaces", dir, |m| m.runtime.unpin_namespaces(dir))
    }

    fn create(&self, request: &ContainerRequest) -> host::Result<()> {
        self.effect("create", Path::new(&request.id), |m| m.runtime.create(request))
    }

    fn start(&self, id: &str) -> host::Result<()> {
        self.effect("start", Path::new(id), |m| m.runtime.start(id))
    }

    fn signal(&self, id: &str, signal: i32) -> host::Result<()> {
        self.effect("signal", Path::new(id), |m| m.runtime.signal(id, signal))
    }

    fn delete(&self, id: &str) -> host::Result<()> {
        self.effect("delete", Path::new(id), |m| m.runtime.delete(id))
    }

    fn forget_exit(&self, id: &str) -> host::Result<()> {
        self.effect("forget_exit", Path::new(id), |m| m.runtime.forget_exit(id))
    }

    fn containers_of(&self, beginning: &str) -> host::Result<Vec<Container>> {
        self.inner.runtime.containers_of(beginning)
    }

    fn load(&self) -> host::Result<Load> {
        self.inner.runtime.load()
    }

    fn wait_for_exit(&self, timeout: Duration) -> host::Result<()> {
        self.inner.runtime.wait_for_exit(timeout)
    }

    fn boot_id(&self) -> host::Result<String> {
        self.inner.runtime.boot_id()
    }
}

impl NfsServer for Dying {
    fn installed(&self) -> host::Result<()> {
        self.inner.nfs_server.installed()
    }

    fn free_port(&self, from: u16) -> host::Result<u16> {
        self.inner.nfs_server.free_port(from)
    }

    fn table(&self) -> host::Result<Option<ExportTable>> {
        self.inner.nfs_server.table()
    }

    fn is_written(&self, table: &ExportTable) -> host::Result<bool> {
        self.inner.nfs_server.is_written(table)
    }

    fn write_table(&self, table: &ExportTable) -> host::Result<()> {
        self.effect("write_table", Path::new("exports"), |m| m.nfs_server.write_table(table))
    }

    fn server(&self) -> host::Result<Option<RunningServer>> {
        self.inner.nfs_server.server()
    }

    fn start(&self) -> host::Result<()> {
        self.effect("start_nfs_server", Path::new("exports"), |m| m.nfs_server.start())
    }

    fn reload(&self) -> host::Result<()> {
        self.effect("reload_nfs_server", Path::new("exports"), |m| m.nfs_server.reload())
    }

    fn stop(&self) -> host::Result<()> {
        self.effect("stop_nfs_server", Path::new("exports"), |m| m.nfs_server.stop())
    }

    fn wait_for_end(&self, timeout: Duration) -> host::Result<bool> {
        self.inner.nfs_server.wait_for_end(timeout)
    }
}
