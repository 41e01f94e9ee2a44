//! The agent's half: `orlop agent` beside a server somewhere, and the one of `orlop up` in the server's own process.

use std::{net::IpAddr, path::Path, sync::Arc, time::Instant};

use anyhow::{Context, Result};
use futures::FutureExt;
use jiff::Timestamp;
use orlop_apiserver::{ApiServer, Identity};
use orlop_client::{Client, Stream, Transport};
use orlop_nodeagent::{
    Agent, Calls,
    identity::{Answering, NodeIdentity, Wish},
};
use orlop_objects::join::Token;
use tokio::net::TcpListener;

use crate::{
    Wrap, cli,
    home::{self, Home},
    machine,
    node::{self, Connected},
    process,
    say::say,
    server::Server,
};

/// Runs until SIGINT or SIGTERM. Containers, mounts and loop devices stay as they are.
pub(crate) fn run(dir: &Path, flags: &cli::Agent, wrap: Wrap<'_>) -> Result<()> {
    let begun = Instant::now();
    machine::require_root("agent")?;
    let home = Home::create(dir)?;
    home::refuse_servers(&home)?;
    let joined = NodeIdentity::stored_name(&home.dir.join("pki"))?.is_some();
    let token = flags.token.as_deref().map(|file| read_token(file, joined)).transpose()?.flatten();
    process::run(async {
        machine::tell_missing_programs();
        let identity = identify(&home, flags, token).await?;
        let name = identity.name()?;
        let connected = connect(flags, &identity).await?;
        let config = node::config(&home, &flags.node, connected, wrap)?;
        let agent = Agent::start(config).await.context("start the node agent")?;
        let renewal = tokio::spawn(identity.keep());
        say!("ready: node {name} of {} after {} ms", flags.server, begun.elapsed().as_millis());
        process::until_stopped().await?;
        tracing::info!("stopping; containers go on (`orlop down` stops them)");
        renewal.abort();
        agent.stop().await;
        Ok(())
    })
}

/// Who this agent is: as it has joined before, or joins now.
async fn identify(home: &Home, flags: &cli::Agent, token: Option<Token>) -> Result<Arc<NodeIdentity>> {
    let dir = home.dir.join("pki");
    let given = flags.node.node_name.as_deref();
    let name = match given {
        None if NodeIdentity::stored_name(&dir)?.is_some() => None,
        given => Some(node::name(given)?),
    };
    let wish = Wish { dir, server: flags.server.clone(), token, name };
    Ok(NodeIdentity::begin(wish, Timestamp::now()).await?)
}

async fn connect(flags: &cli::Agent, identity: &Arc<NodeIdentity>) -> Result<Connected> {
    let listener = TcpListener::bind(flags.listen).await.with_context(|| {
        format!("listen on {} for the server: give another address with --listen", flags.listen)
    })?;
    let calls = Calls::Tls(Arc::new(Answering { listener, identity: identity.clone() }));
    Ok(Connected {
        name: identity.name()?,
        client: identity.client(),
        calls,
        address: towards(&flags.server),
    })
}

/// The address from which this machine speaks to the server. To one on the same machine that is the loopback, by which
/// no other node could be reached: then it is the one that the node finds itself.
fn towards(server: &str) -> Option<IpAddr> {
    let address = server.strip_prefix("https://")?.trim_end_matches('/');
    let server = std::net::ToSocketAddrs::to_socket_addrs(address).ok()?.next()?;
    Some(orlop_nodeagent::own_address(Some(server))).filter(|address| !address.is_loopback())
}

/// A used token may be removed: a node that has joined needs none, whatever its unit names.
fn read_token(file: &Path, joined: bool) -> Result<Option<Token>> {
    let text = match std::fs::read_to_string(file) {
        Err(error) if joined && error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        text => text.with_context(|| {
            format!(
                "read the token in {}: the command of `orlop token create` writes it first",
                file.display()
            )
        })?,
    };
    Token::parse(&text).map(Some).with_context(|| format!("{} holds no token", file.display()))
}

/// The agent of a server's own process: a pipe into the same router, under the node's own name.
pub(crate) fn in_process(server: &Server, name: String) -> Connected {
    let identity = Identity::node(&name);
    let client = Client::new(Arc::new(InProcess { server: server.api.clone(), identity }));
    Connected { name, client, calls: Calls::Socket, address: None }
}

/// A way to a server of the same process, as somebody.
pub(crate) struct InProcess {
    pub(crate) server: ApiServer,
    pub(crate) identity: Identity,
}

impl Transport for InProcess {
    fn connect(&self) -> futures::future::BoxFuture<'_, std::io::Result<Box<dyn Stream>>> {
        async { Ok(Box::new(self.server.connect(self.identity.clone())) as Box<dyn Stream>) }.boxed()
    }
}
