//! Containers of the fake machine: processes that do nothing but hold their mounts and end when they are told to.
//!
//! Like the rest of the machine they outlive whoever made them and die with a reboot. What runc would refuse is refused:
//! a bundle without a config, the id of one that was started, a start that has no container. Ids of living containers
//! hold what their config mounts: unmounting it is refused as busy, stricter than the kernel, which lets the host unmount
//! its own copy and then keeps the device. Tests act as the program inside with [`Fake::exit`] and [`Fake::ignore_signals`].

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use nix::{errno::Errno, libc};
use serde_json::Value;

use super::{Fake, Machine, files::refuse};
use crate::host::{
    Cause, Container, ContainerRequest, ContainerStatus, Error, Load, Namespace, Process, Result, Runtime,
};

/// All containers, and the exits on record.
#[derive(Debug)]
pub(super) struct Containers {
    all: BTreeMap<String, Kept>,
    exits: BTreeMap<String, (i32, i64)>,
    /// Those that somebody began to make and did not live to end.
    half_made: BTreeSet<String>,
    /// Exits were recorded that no [`Runtime::wait_for_exit`] has told.
    untold: bool,
    next_pid: i32,
    /// Goes on by one with everything that happens: start times and exit times differ.
    ticks: u64,
    boot: u64,
    load: Load,
}

/// Of a machine with nothing to do.
const IDLE: Load = Load { memory: 4 << 30, tasks: 100, most_tasks: 32_768 };

#[derive(Debug)]
struct Kept {
    process: Process,
    started: bool,
    ended: bool,
    ignores_signals: bool,
    signals: Vec<i32>,
    config: Value,
}

impl Containers {
    pub(super) fn new() -> Self {
        Self {
            all: BTreeMap::new(),
            exits: BTreeMap::new(),
            half_made: BTreeSet::new(),
            untold: false,
            next_pid: 100,
            ticks: 0,
            boot: 1,
            load: IDLE,
        }
    }

    /// What is left of it after a reboot: nothing, and another boot id.
    pub(super) fn rebooted(&self) -> Self {
        Self { boot: self.boot + 1, ..Self::new() }
    }

    /// Whether a living container has something mounted from here or from below.
    pub(super) fn hold(&self, target: &Path) -> bool {
        let mut living = self.all.values().filter(|kept| !kept.ended);
        living.any(|kept| sources(&kept.config).iter().any(|source| source.starts_with(target)))
    }

    fn tick(&mut self) -> u64 {
        self.ticks += 1;
        self.ticks
    }

    fn end(&mut self, id: &str, code: i32) {
        let at = i64::try_from(self.tick()).unwrap_or(i64::MAX);
        let Some(kept) = self.all.get_mut(id).filter(|kept| !kept.ended) else { return };
        kept.ended = true;
        self.exits.insert(id.to_owned(), (code, at));
        self.untold = true;
    }

    fn container(&self, id: &str) -> Option<Container> {
        let of = |process, status| Some(Container { id: id.to_owned(), process, status });
        match self.all.get(id) {
            Some(kept) if !kept.ended && kept.started => of(Some(kept.process), ContainerStatus::Running),
            Some(kept) if !kept.ended => of(Some(kept.process), ContainerStatus::Created),
            None if self.half_made.contains(id) => of(None, ContainerStatus::Creating),
            kept => {
                let exit = self.exits.get(id);
                kept.map(|_| ()).or(exit.map(|_| ()))?;
                let (code, at) = (exit.map(|e| e.0), exit.map(|e| e.1));
                of(None, ContainerStatus::Exited { code, at })
            }
        }
    }
}

/// The root file system and every bind mount of a config.
fn sources(config: &Value) -> Vec<PathBuf> {
    let mounts = config["mounts"].as_array().into_iter().flatten();
    let binds = mounts.filter(|mount| mount["type"] == "bind").map(|mount| &mount["source"]);
    binds.chain([&config["root"]["path"]]).filter_map(|path| path.as_str().map(PathBuf::from)).collect()
}

fn refused(operation: &'static str, id: &str, program: &str, said: &str) -> Error {
    let source = Cause::Program { program: program.into(), code: Some(1), stderr: said.into() };
    Error { operation, object: id.to_owned(), source }
}

/// What a fresh container is made of, or what runc would say.
fn read_config(request: &ContainerRequest) -> Result<Value> {
    let text = fs::read(request.bundle.join("config.json"));
    let config = text.and_then(|bytes| serde_json::from_slice(&bytes).map_err(io::Error::other));
    config.map_err(|e| refused("create container", &request.id, "runc create", &format!("config.json: {e}")))
}

impl Fake {
    /// The program in a started container ends with this code.
    pub fn exit(&self, id: &str, code: i32) {
        self.machine().containers.end(id, code);
    }

    /// Somebody began to create a container and died in the middle of it.
    pub fn leave_half_made(&self, id: &str) {
        self.machine().containers.half_made.insert(id.to_owned());
    }

    /// Something on the machine takes memory and process numbers, or gives them back: `None`.
    pub fn be_loaded(&self, load: Option<Load>) {
        self.machine().containers.load = load.unwrap_or(IDLE);
    }

    /// The program in a container takes no notice of signals but SIGKILL.
    pub fn ignore_signals(&self, id: &str) {
        if let Some(kept) = self.machine().containers.all.get_mut(id) {
            kept.ignores_signals = true;
        }
    }

    /// The signals that a container was sent, in order.
    pub fn signals(&self, id: &str) -> Vec<i32> {
        self.machine().containers.all.get(id).map(|kept| kept.signals.clone()).unwrap_or_default()
    }

    /// The config that a container was created from.
    pub fn container_config(&self, id: &str) -> Option<Value> {
        self.machine().containers.all.get(id).map(|kept| kept.config.clone())
    }
}

impl Runtime for Fake {
    fn pin_namespaces(&self, dir: &Path, namespaces: &[Namespace], _hostname: &str) -> Result<()> {
        let mut machine = self.machine();
        if machine.info(dir).is_none() {
            machine.create_dir(dir)?;
        }
        for namespace in namespaces {
            let target = dir.join(file(*namespace));
            if machine.mounts.is_mount_point(&target) {
                continue;
            }
            if machine.info(&target).is_none() {
                machine.create_sparse(&target, 0)?;
            }
            machine.pin(&target);
        }
        Ok(())
    }

    fn unpin_namespaces(&self, dir: &Path) -> Result<()> {
        let mut machine = self.machine();
        for namespace in [Namespace::Net, Namespace::Ipc, Namespace::Uts] {
            let target = dir.join(file(namespace));
            if machine.mounts.is_mount_point(&target) {
                machine.unmount(&target)?;
            }
            machine.network.namespace_gone(&target);
            if machine.info(&target).is_some() {
                machine.remove_file(&target)?;
            }
        }
        if machine.info(dir).is_some() { machine.remove_dir(dir) } else { Ok(()) }
    }

    fn create(&self, request: &ContainerRequest) -> Result<()> {
        let config = read_config(request)?;
        let mut machine = self.machine();
        let machine: &mut Machine = &mut machine;
        let containers = &mut machine.containers;
        if let Some(kept) = containers.all.get(&request.id) {
            if !kept.started && !kept.ended {
                return Ok(());
            }
            let said = "container with given ID already exists";
            return Err(refused("create container", &request.id, "runc create", said));
        }
        containers.half_made.remove(&request.id);
        let process = Process { pid: containers.next_pid, started: containers.tick() };
        containers.next_pid += 1;
        let kept = Kept {
            process,
            started: false,
            ended: false,
            ignores_signals: false,
            signals: Vec::new(),
            config,
        };
        containers.all.insert(request.id.clone(), kept);
        Ok(())
    }

    fn start(&self, id: &str) -> Result<()> {
        match self.machine().containers.all.get_mut(id) {
            Some(kept) if !kept.ended => kept.started = true,
            Some(_) => {
                return Err(refused(
                    "start container",
                    id,
                    "runc",
                    "cannot start a container that has stopped",
                ));
            }
            None => return Err(refused("start container", id, "runc", "container does not exist")),
        }
        Ok(())
    }

    fn signal(&self, id: &str, signal: i32) -> Result<()> {
        let mut machine = self.machine();
        let Some(kept) = machine.containers.all.get_mut(id).filter(|kept| !kept.ended) else { return Ok(()) };
        kept.signals.push(signal);
        let kills = signal == libc::SIGKILL;
        if kills || (signal != 0 && !kept.ignores_signals) {
            machine.containers.end(id, 128 + signal);
        }
        Ok(())
    }

    fn delete(&self, id: &str) -> Result<()> {
        let mut machine = self.machine();
        machine.containers.end(id, 128 + libc::SIGKILL);
        machine.containers.all.remove(id);
        machine.containers.half_made.remove(id);
        Ok(())
    }

    fn forget_exit(&self, id: &str) -> Result<()> {
        self.machine().containers.exits.remove(id);
        Ok(())
    }

    fn containers_of(&self, beginning: &str) -> Result<Vec<Container>> {
        let machine = self.machine();
        let known = &machine.containers;
        let mut ids: Vec<&String> =
            known.all.keys().chain(known.exits.keys()).chain(&known.half_made).collect();
        ids.retain(|id| id.starts_with(beginning));
        ids.sort();
        ids.dedup();
        Ok(ids.into_iter().filter_map(|id| known.container(id)).collect())
    }

    fn wait_for_exit(&self, timeout: Duration) -> Result<()> {
        // A slice at a time, not a condition variable: tests that let the waiting agent die must not wait for it.
        let slice = Duration::from_millis(2).min(timeout);
        let mut left = timeout;
        while !std::mem::take(&mut self.machine().containers.untold) && !left.is_zero() {
            std::thread::sleep(slice.min(left));
            left = left.saturating_sub(slice);
        }
        Ok(())
    }

    fn boot_id(&self) -> Result<String> {
        let boot = self.machine().containers.boot;
        Ok(if self.number == 0 { format!("boot-{boot}") } else { format!("boot-{boot}-of-{}", self.number) })
    }

    fn load(&self) -> Result<Load> {
        Ok(self.machine().containers.load)
    }
}

/// A namespace's name below a pod's directory.
fn file(namespace: Namespace) -> &'static str {
    match namespace {
        Namespace::Net => "net",
        Namespace::Ipc => "ipc",
        Namespace::Uts => "uts",
    }
}

/// The error of unmounting what a container holds.
pub(super) fn busy(target: &Path) -> Error {
    refuse("unmount", target, Errno::EBUSY)
}

#[cfg(test)]
mod tests;
