//! Own exports on the fake machine, with faults, and on the real kernel.

mod crash;
mod fake;
mod root;

use std::{path::Path, sync::Arc};

use super::{Exports, ExportsConfig, patience::Patience};
use crate::{
    conformance::{self, Stand},
    driver::{Create, Driver},
    drivers::{
        blocking::Busy,
        loop_file::{LoopDriver, Node, PoolConfig, PoolUse},
        nfs::{Inner, NAME, NfsDriver},
    },
    host::{Host, NfsServer, Runtime, fake::Fake},
};

/// Node `here`, whose files are below `scratch`.
fn config(host: &Arc<dyn Host>, server: Arc<dyn NfsServer>, scratch: &Path, instance: &str) -> ExportsConfig {
    ExportsConfig {
        host: host.clone(),
        server,
        pool: Arc::new(LoopDriver::new(host.clone(), scratch.join("pool"))),
        root: scratch.join("nfs/volumes"),
        instance: instance.to_owned(),
        node: "here".to_owned(),
        address: [127, 0, 0, 1].into(),
    }
}

/// The driver of node `here`.
fn driver<H: Host>(host: &Arc<H>, server: Arc<dyn NfsServer>, scratch: &Path, instance: &str) -> NfsDriver {
    let host: Arc<dyn Host> = host.clone();
    let config = config(&host, server, scratch, instance);
    NfsDriver::with_exports(host, config)
}

/// The driver of node `here`, to which this clock tells the time.
fn driver_by(
    patience: Patience,
    host: &Arc<dyn Host>,
    server: Arc<dyn NfsServer>,
    scratch: &Path,
) -> NfsDriver {
    let mut exports = Exports::new(config(host, server, scratch, "0123abcd"));
    exports.patience = patience;
    NfsDriver { inner: Arc::new(Inner { host: host.clone(), busy: Busy::default(), exports: Some(exports) }) }
}

/// The same with pools of these names, the last of them shared; no pool is called `default`.
fn driver_of_pools(fake: &Fake, pools: &[&str], instance: &str) -> NfsDriver {
    let host: Arc<dyn Host> = Arc::new(fake.clone());
    let pool = |(number, name): (usize, &&str)| PoolConfig {
        name: (*name).to_owned(),
        dir: Path::new("/pools").join(name),
        shared: number + 1 == pools.len(),
        known_id: None,
        private: false,
        used: PoolUse::Wanted,
    };
    let configs: Vec<PoolConfig> = pools.iter().enumerate().map(pool).collect();
    configs.iter().for_each(|pool| host.create_dir(&pool.dir).unwrap());
    let node = Node { name: "here".to_owned(), boot: fake.boot_id().unwrap() };
    let pool = Arc::new(LoopDriver::open(&host, &configs, instance, &node).unwrap());
    let config = config(&host, Arc::new(fake.clone()), Path::new("/scratch"), instance);
    NfsDriver::with_exports(host, ExportsConfig { pool, ..config })
}

/// What class `nfs` asks for.
fn request(number: u32, bytes: u64) -> Create {
    Create {
        name: conformance::name(number),
        bytes,
        provisioner: NAME.to_owned(),
        deadline: std::time::Duration::from_secs(120),
        ..Create::default()
    }
}

/// How a test writes and reads as a pod would.
type Pod = (fn(&Stand, &Path, &[u8]) -> std::io::Result<()>, fn(&Stand, &Path) -> std::io::Result<Vec<u8>>);

fn stand<H: Host>(host: &Arc<H>, driver: NfsDriver, scratch: &Path, bytes: u64, (write, read): Pod) -> Stand {
    let (host, driver): (Arc<dyn Host>, Arc<dyn Driver>) = (host.clone(), Arc::new(driver));
    Stand { driver, host, scratch: scratch.to_owned(), bytes, write, read }
}
