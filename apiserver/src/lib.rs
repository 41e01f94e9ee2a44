//! The API over HTTP: decoding, discovery, tables, streams, identity.
//!
//! A request's way: `server` (listeners, certificates, draining) → `router` (path, identity, permission) →
//! `verbs` (one room per verb, which calls the registry) → `present` (the form the client asked for).
//!
//! Owns: everything about HTTP, who may do what, and the one type that knows status codes (`Failure`).
//! Must not know: mounts, drivers, what the controllers do.
//!
//! Tasks it spawns: one per listener (accepts), one per connection; both end with [`ApiServer::shutdown`].

mod accept;
mod authorize;
mod body;
mod discovery;
mod events;
mod failure;
mod filter;
mod health;
mod identity;
mod join;
mod node_calls;
pub mod openapi;
mod path;
pub mod pki;
mod present;
mod query;
mod reply;
mod reviews;
mod router;
mod server;
mod table;
mod verbs;

pub use identity::{AUTHENTICATED, Identity, MASTERS, NODES};
pub use node_calls::{AgentSocket, Agents, NodeCallError, NodeCalls};
pub use reply::{Body, BodyError};
pub use server::ApiServer;
