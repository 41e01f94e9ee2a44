//! What the server asks of a node's agent: logs now, exec and stats later. The paths are the kubelet's.

use std::{path::PathBuf, time::Duration};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;

use crate::reply::{Body, BodyError};

/// An agent's refusal is read up to this length.
const REFUSAL_LIMIT: usize = 64 * 1024;

/// How long an agent may take to begin its answer; what follows may take as long as it likes.
const ANSWER: Duration = Duration::from_secs(30);

/// A call to an agent that failed.
#[derive(Debug, thiserror::Error)]
pub enum NodeCallError {
    /// The agent could not be reached.
    #[error("reach the agent of node {node}")]
    Unreachable {
        /// The node.
        node: String,
        /// Why.
        source: BodyError,
    },
    /// The agent said no.
    #[error("{message}")]
    Refused {
        /// Its HTTP status.
        code: u16,
        /// Its words.
        message: String,
    },
}

/// The way from the server to the agents.
pub trait NodeCalls: Send + Sync {
    /// The log of a container: `path_and_query` is `/containerLogs/NAMESPACE/POD/CONTAINER?follow=true&tailLines=…`.
    /// The answer is streamed; with `follow` it ends when the container does.
    fn logs(&self, node: &str, path_and_query: &str) -> BoxFuture<'_, Result<Body, NodeCallError>>;
}

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
        let unreachable = |source: BodyError| NodeCallError::Unreachable { node: node.to_owned(), source };
        let stream = tokio::net::UnixStream::connect(&self.path).await.map_err(|e| unreachable(e.into()))?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|e| unreachable(e.into()))?;
        // The connection serves this one answer and ends with it.
        tokio::spawn(connection);
        let request = Request::get(path_and_query)
            .header(header::HOST, "agent")
            .body(Empty::<Bytes>::new())
            .map_err(|e| unreachable(e.into()))?;
        let response = tokio::time::timeout(ANSWER, sender.send_request(request)).await;
        let response = response.map_err(|e| unreachable(e.into()))?.map_err(|e| unreachable(e.into()))?;
        let (head, body) = response.into_parts();
        if head.status == StatusCode::OK {
            return Ok(body.map_err(Into::into).boxed_unsync());
        }
        let words = Limited::new(body, REFUSAL_LIMIT).collect().await.map_err(unreachable)?.to_bytes();
        let message = String::from_utf8_lossy(&words).trim().to_owned();
        Err(NodeCallError::Refused { code: head.status.as_u16(), message })
    }
}

impl NodeCalls for AgentSocket {
    fn logs(&self, node: &str, path_and_query: &str) -> BoxFuture<'_, Result<Body, NodeCallError>> {
        let (node, path_and_query) = (node.to_owned(), path_and_query.to_owned());
        Box::pin(async move { self.get(&node, &path_and_query).await })
    }
}
