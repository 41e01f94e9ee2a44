//! `orlop up`: server and agent in one process, wired and then left to themselves.

use std::{
    io::IsTerminal,
    net::{IpAddr, SocketAddr},
    path::Path,
    sync::Arc,
    time::Instant,
};

use anyhow::{Context, Result};
use futures::FutureExt;
use orlop_apiserver::{AgentSocket, ApiServer, Identity, MASTERS, pki::Pki};
use orlop_client::{Client, Stream, Transport};
use orlop_controllers::Controllers;
use orlop_nodeagent::Agent;
use orlop_registry::Registry;
use orlop_store::Store;
use tokio::{net::TcpListener, signal::unix};

use crate::{Wrap, cli::Up, home::Home, machine, node};

/// Runs until SIGINT or SIGTERM. Containers, mounts and loop devices stay as they are.
pub(crate) fn run(dir: &Path, flags: &Up, wrap: Wrap<'_>) -> Result<()> {
    let begun = Instant::now();
    machine::require_root("up")?;
    let home = Home::create(dir)?;
    log_to_standard_error();
    for sentence in machine::missing_programs() {
        tracing::warn!("{sentence}");
    }
    // Two threads serve a laptop's cluster; what blocks has threads of its own.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(serve(&home, flags, wrap, begun))
}

async fn serve(home: &Home, flags: &Up, wrap: Wrap<'_>, begun: Instant) -> Result<()> {
    let listener = listen(flags.listen).await?;
    let address = listener.local_addr()?;
    let registry = open_registry(home).await?;
    let pki = prepare_pki(home, address)?;

    let server = ApiServer::new(registry.clone(), Arc::new(AgentSocket::new(home.dir.join("agent.sock"))));
    server.serve_unix(&home.dir.join("api.sock")).await.context("serve the unix socket")?;
    server.serve_tls(listener, &pki).await.context("serve HTTPS")?;
    let controllers = start_controllers(&registry).await?;
    let agent = start_agent(home, flags, wrap, &server).await?;

    println!("ready: https://{address} after {} ms", begun.elapsed().as_millis());
    println!("  kubectl --kubeconfig {}/admin.kubeconfig get nodes", home.dir.display());
    println!("  curl --unix-socket {}/api.sock http://orlop/api/v1/nodes", home.dir.display());

    wait_for_signal().await?;
    tracing::info!("stopping; containers go on (`orlop down` stops them)");
    agent.stop().await;
    controllers.stop().await;
    server.shutdown().await;
    Ok(())
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

/// Certificates and the administrator's kubeconfig, both current for the address that is served.
fn prepare_pki(home: &Home, address: SocketAddr) -> Result<Pki> {
    let mut addresses: Vec<IpAddr> = vec!["127.0.0.1".parse()?, "::1".parse()?];
    if !address.ip().is_unspecified() && !addresses.contains(&address.ip()) {
        addresses.push(address.ip());
    }
    let names = ["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"];
    let pki = Pki::ensure(&home.dir.join("pki"), &names, &addresses).context("prepare certificates")?;
    let reached =
        if address.ip().is_unspecified() { SocketAddr::new(addresses[0], address.port()) } else { address };
    pki.write_kubeconfig(
        &home.dir.join("admin.kubeconfig"),
        &format!("https://{reached}"),
        "system:admin",
        MASTERS,
    )
    .context("write admin.kubeconfig")?;
    Ok(pki)
}

async fn start_controllers(registry: &Registry) -> Result<Controllers> {
    orlop_controllers::bootstrap(registry)
        .await
        .context("make the objects that every cluster starts with")?;
    let drivers = vec![orlop_controllers::DriverInfo::of_loop_files()];
    Ok(orlop_controllers::start(registry.clone(), drivers, orlop_controllers::Settings::default()))
}

async fn start_agent(home: &Home, flags: &Up, wrap: Wrap<'_>, server: &ApiServer) -> Result<Agent> {
    let name = node::name(flags.node_name.as_deref())?;
    let identity = Identity::node(&name);
    let client = Client::new(Arc::new(InProcess { server: server.clone(), identity }));
    Agent::start(node::config(home, name, client, wrap)?).await.context("start the node agent")
}

/// The agent's way to the server: a pipe into the same router, under the node's own name.
struct InProcess {
    server: ApiServer,
    identity: Identity,
}

impl Transport for InProcess {
    fn connect(&self) -> futures::future::BoxFuture<'_, std::io::Result<Box<dyn Stream>>> {
        async { Ok(Box::new(self.server.connect(self.identity.clone())) as Box<dyn Stream>) }.boxed()
    }
}

async fn wait_for_signal() -> Result<()> {
    let mut terminate = unix::signal(unix::SignalKind::terminate())?;
    let mut interrupt = unix::signal(unix::SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// Standard output belongs to people and scripts; what happens meanwhile goes to standard error.
fn log_to_standard_error() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("ORLOP_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    // Colours are for people: a log file is read by other programs too.
    let colours = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(std::io::stderr).init();
}
