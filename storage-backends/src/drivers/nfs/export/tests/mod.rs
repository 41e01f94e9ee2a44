//! Own exports on the fake machine, with faults, and on the real kernel.

mod crash;
mod fake;
mod root;

use std::{path::Path, sync::Arc};

use super::ExportsConfig;
use crate::{
    conformance::{self, Stand},
    driver::{Create, Driver},
    drivers::{
        loop_file::LoopDriver,
        nfs::{NAME, NfsDriver},
    },
    host::{Host, NfsServer},
};

/// The driver of node `here`, whose files are below `scratch`.
fn driver<H: Host>(host: &Arc<H>, server: Arc<dyn NfsServer>, scratch: &Path, instance: &str) -> NfsDriver {
    let host: Arc<dyn Host> = host.clone();
    let config = ExportsConfig {
        host: host.clone(),
        server,
        pool: Arc::new(LoopDriver::new(host.clone(), scratch.join("pool"))),
        root: scratch.join("nfs/volumes"),
        instance: instance.to_owned(),
        node: "here".to_owned(),
        address: [127, 0, 0, 1].into(),
    };
    NfsDriver::with_exports(host, config)
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
