//! Client and reconnecting watch, for agents and the command line.
//!
//! One HTTP/2 connection per client, over whatever stream the transport gives: TLS, a unix socket, or a pipe inside the
//! process. Must not know: controllers, mounts, the store.
//!
//! Tasks it spawns: one per connection (ends with it), one per [`Mirror`] (ends with its last handle).

mod client;
mod connection;
mod error;
mod kubeconfig;
mod lines;
mod mirror;
mod path;
mod pinned;
mod refusal;
mod tls;
mod transport;

pub use client::Client;
pub use error::Error;
pub use kubeconfig::ConfigError;
pub use mirror::Mirror;
pub use tls::{PinnedTransport, TlsError, TlsTransport};
pub use transport::{Stream, Transport, UnixTransport};
