//! How a node is put together from its data directory: driver, host, runtime, images. Shared by `up`, `agent` and `down`.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr},
    os::unix::fs::DirBuilderExt,
    sync::Arc,
};

use anyhow::{Context, Result, bail};
use orlop_backends::{
    driver::Driver,
    drivers::nfs::{ExportsConfig, NfsDriver},
    host::linux::{Ganesha, Linux, LinuxNetwork, LinuxRuntime, RuntimeConfig},
};
use orlop_client::Client;
use orlop_nodeagent::{Calls, Config, Parts, images::ImageStore};
use orlop_objects::names;

use crate::{
    Machine, Wrap, cli,
    home::Home,
    pools::{self, PoolFlag},
};

/// Which life of a node begins.
pub(crate) enum Life<'a> {
    /// It runs, under this name, reached by others at this address, and with these pools.
    Start { name: &'a str, address: IpAddr, pools: &'a [PoolFlag] },
    /// It is taken down, as it was when it ran last: what is here is known by what it is, not by whose it is.
    End,
}

/// Everything of a node but its way to the server.
pub(crate) fn parts(home: &Home, life: &Life<'_>, wrap: Wrap<'_>) -> Result<Parts> {
    let run_dir = home.run_dir();
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&run_dir)
        .with_context(|| format!("create {}", run_dir.display()))?;
    let runtime = RuntimeConfig { run_dir: run_dir.clone(), instance: home.instance.clone() };
    let runtime = LinuxRuntime::new(runtime).context("prepare the container runtime")?;
    let Machine { host, runtime, network, nfs_server } = wrap(Machine {
        host: Arc::new(Linux),
        runtime: Arc::new(runtime),
        network: Arc::new(LinuxNetwork),
        nfs_server: Arc::new(Ganesha::new(home.dir.join("nfs"), &home.instance)),
    });
    let boot = runtime.boot_id().context("read the id of this boot")?;
    let (pools, node, address) = match life {
        Life::Start { name, address, pools } => {
            (pools::driver(home, &host, name, boot, pools)?, *name, *address)
        }
        Life::End => (pools::remembered_driver(home, &host, boot)?, "", Ipv4Addr::UNSPECIFIED.into()),
    };
    let pools: Arc<dyn Driver> = Arc::new(pools);
    let exports = ExportsConfig {
        host: host.clone(),
        server: nfs_server,
        pool: pools.clone(),
        root: home.dir.join("nfs/volumes"),
        instance: home.instance.clone(),
        node: node.to_owned(),
        address,
    };
    let shared: Arc<dyn Driver> = Arc::new(NfsDriver::with_exports(host.clone(), exports));
    Ok(Parts {
        data_dir: home.dir.clone(),
        run_dir,
        instance: home.instance.clone(),
        drivers: vec![pools, shared],
        host,
        runtime,
        network,
        pod_range: None,
        images: ImageStore::open(&home.dir.join("images")).context("open the images")?,
    })
}

/// Who a node is, and its ways to the server and back.
pub(crate) struct Connected {
    pub(crate) name: String,
    pub(crate) client: Client,
    pub(crate) calls: Calls,
    /// The address that its way to the server suggests.
    pub(crate) address: Option<IpAddr>,
}

/// A node that speaks to a server.
pub(crate) fn config(home: &Home, flags: &cli::Node, connected: Connected, wrap: Wrap<'_>) -> Result<Config> {
    let Connected { name: node_name, client, calls, address } = connected;
    let address = flags.address.or(address).unwrap_or_else(|| orlop_nodeagent::own_address(None));
    let parts = parts(home, &Life::Start { name: &node_name, address, pools: &flags.pools }, wrap)?;
    let parts = Parts { pod_range: flags.pod_cidr, ..parts };
    Ok(Config { node_name, client, address: Some(address), calls, parts })
}

/// The node's name: as given, else the host's own, in lower case.
pub(crate) fn name(given: Option<&str>) -> Result<String> {
    let name = match given {
        Some(name) => name.to_owned(),
        None => nix::unistd::gethostname().context("read the host name")?.to_string_lossy().to_lowercase(),
    };
    match names::dns_subdomain(&name) {
        None => Ok(name),
        Some(problem) => bail!("{name:?} cannot be a node's name: {problem}; give one with --node-name"),
    }
}
