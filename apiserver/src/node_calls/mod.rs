//! What the server asks of a node's agent: logs now, exec and stats later. The paths are the kubelet's.
//!
//! | agent | way |
//! |---|---|
//! | in this process ([`AgentSocket`]) | `DIR/agent.sock` |
//! | on any machine ([`remote`]) | TLS in both directions, to where its Node says that it listens |

mod exchange;
mod remote;
mod socket;

use futures::future::BoxFuture;
pub use remote::Agents;
pub use socket::AgentSocket;

use crate::reply::{Body, BodyError};

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
