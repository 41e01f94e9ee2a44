//! The node agent: pods and volumes of one node.
//!
//! ```text
//!            API (orlop-client only, as system:node:NAME)
//!       mirrors │ ▲ status, Events, PersistentVolumes
//!               ▼ │
//!   world ──► want ──┐                    ┌──► execute ──► drivers, Host, Runtime
//!                    ├──► plan (pure) ────┤
//!   observe ► seen ──┘                    └──► why it waits
//!      ▲
//!   kernel, runtime, own directories, journal
//! ```
//!
//! The kernel says what *is*, the journal what we *may have touched*, the API what *should be*. [`plan`] joins the three and is pure;
//! every step reaches a fact and may be repeated. Containers outlive this process: those found running are adopted.
//! Nothing is taken down before the first full lists of what is wanted.
//!
//! Must not know: the store, the controllers, how an effect is done (that is `orlop_backends::host`).

mod clock;
mod core;
pub mod error;
mod events;
mod execute;
mod exits;
pub mod identity;
pub mod ids;
pub mod images;
pub mod journal;
mod logs;
mod machine;
pub mod network;
mod node;
mod observe;
pub mod oci;
pub mod paths;
pub mod plan;
mod pods;
mod quantity;
mod queue;
mod slow;
mod teardown;
pub mod world;

use std::{net::IpAddr, path::PathBuf, sync::Arc};

use orlop_backends::{
    driver::Driver,
    host::{Host, Runtime, network::Network},
};
use orlop_client::Client;
use orlop_objects::cidr::Cidr;
use tokio::{sync::watch, task::JoinSet};

pub use error::Error;
use identity::Answering;
use images::ImageStore;
pub use node::{Verdict as DiskVerdict, judge as judge_disk, own_address};
pub use teardown::{Report, teardown};

/// What an agent is made of.
#[derive(Clone)]
pub struct Config {
    /// The node's name: a DNS subdomain.
    pub node_name: String,
    /// To the server, as `system:node:<node_name>`.
    pub client: Client,
    /// The address that the node tells; the one that it would speak to others from where none is given.
    pub address: Option<IpAddr>,
    /// How the server reaches this agent.
    pub calls: Calls,
    /// Everything that needs no server.
    pub parts: Parts,
}

/// How the server reaches an agent.
#[derive(Clone)]
pub enum Calls {
    /// It is in the same process: a unix socket, `DIR/agent.sock`.
    Socket,
    /// It may be anywhere: TLS in both directions.
    Tls(Arc<Answering>),
}

/// What an agent is made of, without the server: enough to take everything down.
#[derive(Clone)]
pub struct Parts {
    /// `/var/lib/orlop` or its like; exists.
    pub data_dir: PathBuf,
    /// `/run/orlop/<instance>`; exists.
    pub run_dir: PathBuf,
    /// Eight hex digits that tell this Orlop from others on the machine.
    pub instance: String,
    /// The drivers of this node.
    pub drivers: Vec<Arc<dyn Driver>>,
    /// Files, file systems, loop devices, mounts.
    pub host: Arc<dyn Host>,
    /// Namespaces and containers.
    pub runtime: Arc<dyn Runtime>,
    /// Interfaces, addresses, routes.
    pub network: Arc<dyn Network>,
    /// Where the node's range of pod addresses is taken from; `None`: from 10.0.0.0/8.
    pub pod_range: Option<Cidr>,
    /// The images of this node.
    pub images: ImageStore,
}

/// A running agent.
pub struct Agent {
    tasks: JoinSet<()>,
    core: Arc<core::Core>,
}

impl Agent {
    /// Reads the journal and starts the agent's tasks. Registering the node and everything else that needs the server
    /// goes on in the background, again and again until it succeeds.
    pub async fn start(config: Config) -> Result<Self, Error> {
        let machine = open(config.parts).await?;
        let mut facts = machine.blocking(node::Facts::look).await?;
        facts.reach_at(config.address, &config.calls);
        let (events, poster) = events::Events::start(config.client.clone(), config.node_name.clone());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { poster.await.unwrap_or_default() });
        let address = facts.address.clone();
        let core =
            Arc::new(core::Core::new(machine, config.client.clone(), events, &config.node_name, address));
        let (synced, all_synced) = watch::channel(0);
        let synced = Arc::new(synced);
        for mirror in core::mirrors(&config.client, &config.node_name) {
            tasks.spawn(core.clone().follow(mirror, synced.clone()));
        }
        tasks.spawn(logs::serve(core.clone(), &config.calls)?);
        tasks.spawn(core.clone().run(all_synced));
        tasks.spawn(node::keep(core.clone(), facts));
        tasks.spawn(node::watch_pressure(core.clone()));
        exits::follow(&core);
        execute::serving::watch(&core, &mut tasks);
        Ok(Self { tasks, core })
    }

    /// Stops the agent's tasks; steps under way that end within seconds are finished first. Containers, mounts and devices
    /// stay as they are.
    pub async fn stop(mut self) {
        self.tasks.shutdown().await;
        self.core.close().await;
    }
}

async fn open(parts: Parts) -> Result<machine::Machine, Error> {
    let open = move || {
        let layout = paths::Layout::new(&parts.data_dir, &parts.run_dir);
        let journal = journal::Journal::open(&layout.journal())?;
        Ok(machine::Machine::new(&parts, journal))
    };
    tokio::task::spawn_blocking(open)
        .await
        .unwrap_or_else(|error| Err(Error::Refused(format!("the agent could not be opened: {error}"))))
}
