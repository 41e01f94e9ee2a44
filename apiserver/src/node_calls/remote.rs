//! The agents of a cluster, each by its own way.

use std::{sync::Arc, time::Duration};

use futures::future::BoxFuture;
use orlop_objects::{Key, join::NODE_KEY, kind};
use orlop_registry::Registry;
use rustls::pki_types::ServerName;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{AgentSocket, NodeCallError, NodeCalls, exchange};
use crate::{
    pki::Pki,
    reply::{Body, BodyError},
};

/// How long a connection to an agent may take to come about.
const CONNECT: Duration = Duration::from_secs(5);

/// All agents: the one in this process, where there is one, and those that joined.
pub struct Agents {
    registry: Registry,
    pki: Arc<Pki>,
    local: Option<(String, AgentSocket)>,
}

impl Agents {
    /// The agents whose nodes are in `registry`; `local` is this process' own, with its node's name.
    pub fn new(registry: Registry, pki: Arc<Pki>, local: Option<(String, AgentSocket)>) -> Self {
        Self { registry, pki, local }
    }

    async fn connect(&self, name: &str) -> Result<TlsStream<TcpStream>, BodyError> {
        let node = self.registry.snapshot().get(&Key::cluster(&kind::NODE, name));
        let node = node.ok_or("there is no such node")?.value();
        let place = place(&node)?;
        let key = node["metadata"]["annotations"][NODE_KEY].as_str().ok_or("the node has not joined")?;
        let connector = TlsConnector::from(self.pki.caller(name, key)?);
        // Whom the certificate must name is the verifier's to say: no host.
        let any = ServerName::try_from("agent").map_err(BodyError::from)?;
        let open = async {
            let stream = TcpStream::connect(&place).await?;
            stream.set_nodelay(true)?;
            connector.connect(any, stream).await
        };
        match tokio::time::timeout(CONNECT, open).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) => Err(format!("{place}: {error}").into()),
            Err(_) => Err(format!("{place}: no answer within {} s", CONNECT.as_secs()).into()),
        }
    }
}

/// Where the agent of a node says that it listens.
fn place(node: &Value) -> Result<String, &'static str> {
    let addresses = node["status"]["addresses"].as_array().into_iter().flatten();
    let address = addresses.clone().find(|a| a["type"] == "InternalIP").and_then(|a| a["address"].as_str());
    let port = node["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"].as_u64().filter(|port| *port > 0);
    let (Some(address), Some(port)) = (address, port) else {
        return Err("the node has not told yet where it listens");
    };
    Ok(if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") })
}

impl NodeCalls for Agents {
    fn logs(&self, node: &str, path_and_query: &str) -> BoxFuture<'_, Result<Body, NodeCallError>> {
        if let Some((_, socket)) = self.local.as_ref().filter(|(name, _)| name == node) {
            return socket.logs(node, path_and_query);
        }
        let (node, path_and_query) = (node.to_owned(), path_and_query.to_owned());
        Box::pin(async move {
            let connected = self.connect(&node).await;
            let stream =
                connected.map_err(|source| NodeCallError::Unreachable { node: node.clone(), source })?;
            exchange::get(&node, stream, &path_and_query).await
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_place_is_an_address_and_a_port() {
        let node = |address: &str, port: u32| {
            json!({"status": {"addresses": [{"type": "Hostname", "address": "h"}, {"type": "InternalIP", "address": address}],
                "daemonEndpoints": {"kubeletEndpoint": {"Port": port}}}})
        };
        assert_eq!(place(&node("10.0.0.1", 7)).as_deref(), Ok("10.0.0.1:7"));
        assert_eq!(place(&node("fd00::1", 7)).as_deref(), Ok("[fd00::1]:7"));
        assert!(place(&node("10.0.0.1", 0)).is_err() && place(&json!({})).is_err());
    }
}
