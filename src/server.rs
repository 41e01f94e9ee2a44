//! The server's half: API and controllers over one store; `orlop server` is this alone, `orlop up` has an agent beside it.

use std::{net::SocketAddr, path::Path, sync::Arc, time::Instant};

use anyhow::{Context, Result};
use orlop_apiserver::{AgentSocket, Agents, ApiServer};
use orlop_controllers::{Controllers, Settings};
use orlop_objects::cidr::Cidr;
use orlop_registry::Registry;
use orlop_store::Store;
use tokio::{net::TcpListener, task::JoinSet};

use crate::{
    certificates::Certificates,
    cli,
    home::{self, Home},
    machine, process,
    say::say,
};

/// Runs until SIGINT or SIGTERM.
pub(crate) fn run(dir: &Path, flags: &cli::Server) -> Result<()> {
    let begun = Instant::now();
    machine::require_root_for("server", "it keeps what dies with a boot in /run/orlop")?;
    let home = Home::create(dir)?;
    process::run(async {
        let server = Server::start(&home, flags, "0.0.0.0:6443", None).await?;
        server.say_ready(&home, begun);
        process::until_stopped().await?;
        tracing::info!("stopping; agents and their containers go on");
        server.stop().await;
        Ok(())
    })
}

/// A running server.
pub(crate) struct Server {
    pub(crate) api: ApiServer,
    controllers: Controllers,
    address: SocketAddr,
    renewal: JoinSet<()>,
}

impl Server {
    /// Opens the store and serves it; `local` is the node of the agent in this process, and where its pods are to be.
    pub(crate) async fn start(
        home: &Home,
        flags: &cli::Server,
        default: &str,
        local: Option<(&str, Option<Cidr>)>,
    ) -> Result<Self> {
        home::refuse_agents(home)?;
        let listener = listen(flags.listen.map_or_else(|| default.parse(), Ok)?).await?;
        let address = listener.local_addr()?;
        let registry = open_registry(home).await?.with_toleration_seconds(flags.default_toleration_seconds);
        let certificates = Certificates::prepare(home, address, &flags.tls_san)?;
        let pki = certificates.pki.clone();

        // Whoever is answered finds what every cluster has: a token can be made from the first answer on.
        orlop_controllers::bootstrap(&registry)
            .await
            .context("make the objects that every cluster starts with")?;
        let told = certificates.publish(&registry).await?;
        let pod_ranges = pod_ranges(&flags.cluster_cidrs, local.and_then(|(_, range)| range));
        let local = local.map(|(name, _)| (name.to_owned(), AgentSocket::new(home.dir.join("agent.sock"))));
        let agents = Agents::new(registry.clone(), pki.clone(), local);
        let api = ApiServer::joinable(registry.clone(), Arc::new(agents), pki.clone());
        api.serve_unix(&home.dir.join("api.sock")).await.context("serve the unix socket")?;
        api.serve_tls(listener, &pki).await.context("serve HTTPS")?;
        let settings = Settings { node_grace: flags.node_grace, pod_ranges, ..Settings::default() };
        let controllers = start_controllers(&registry, settings);
        let mut renewal = JoinSet::new();
        renewal.spawn(certificates.keep(registry, told));
        Ok(Self { api, controllers, address, renewal })
    }

    /// Tells people and scripts that it runs, and how to ask it.
    pub(crate) fn say_ready(&self, home: &Home, begun: Instant) {
        say!("ready: https://{} after {} ms", self.address, begun.elapsed().as_millis());
        say!("  kubectl --kubeconfig {}/admin.kubeconfig get nodes", home.dir.display());
        say!("  curl --unix-socket {}/api.sock http://orlop/api/v1/nodes", home.dir.display());
    }

    pub(crate) async fn stop(mut self) {
        self.renewal.shutdown().await;
        self.controllers.stop().await;
        self.api.shutdown().await;
    }
}

/// Where pods may be. Who starts `up` says with one command what its node asks for and what its server gives.
fn pod_ranges(given: &[Cidr], local: Option<Cidr>) -> Vec<Cidr> {
    let default = [Cidr::PODS];
    let cluster = if given.is_empty() { &default[..] } else { given };
    cluster.iter().copied().chain(local).collect()
}

async fn listen(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("listen on {address}: if it is in use, give another address with --listen (port 0 takes a free one)"))
}

async fn open_registry(home: &Home) -> Result<Registry> {
    let options = orlop_store::Options { schema: orlop_registry::schema(), ..Default::default() };
    let store = Store::open(&home.dir.join("store"), options)
        .with_context(|| format!("open the store in {}", home.dir.display()))?;
    let registry = Registry::new(store);
    registry.adopt_schema().await.context("bring the stored objects up to this build's schema")?;
    Ok(registry)
}

fn start_controllers(registry: &Registry, settings: Settings) -> Controllers {
    let drivers =
        vec![orlop_controllers::DriverInfo::of_loop_files(), orlop_controllers::DriverInfo::of_nfs()];
    orlop_controllers::start(registry.clone(), drivers, settings)
}
