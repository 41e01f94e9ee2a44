//! The agent in this process, over its unix socket.

use std::path::PathBuf;

use futures::future::BoxFuture;

use super::{NodeCallError, NodeCalls, exchange};
use crate::reply::Body;

/// The agent of this machine, over its unix socket (`DIR/agent.sock`).
#[derive(Clone, Debug)]
pub struct AgentSocket {
    path: PathBuf,
}

impl AgentSocket {
    /// The agent that listens at `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    async fn get(&self, node: &str, path_and_query: &str) -> Result<Body, NodeCallError> {
        let stream = tokio::net::UnixStream::connect(&self.path)
            .await
            .map_err(|e| NodeCallError::Unreachable { node: node.to_owned(), source: e.into() })?;
        exchange::get(node, stream, path_and_query).await
    }
}

impl NodeCalls for AgentSocket {
    fn logs(&self, node: &str, path_and_query: &str) -> BoxFuture<'_, Result<Body, NodeCallError>> {
        let (node, path_and_query) = (node.to_owned(), path_and_query.to_owned());
        Box::pin(async move { self.get(&node, &path_and_query).await })
    }
}
