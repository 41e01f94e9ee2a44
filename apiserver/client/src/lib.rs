//! Client and reconnecting watch, for agents and the command line.
//!
//! One HTTP/2 connection per client, over whatever stream the transport gives: TLS, a unix socket, or a pipe inside the
//! process. Must not know: controllers, mounts, the store.

use std::{collections::BTreeMap, sync::Arc};

use futures::future::BoxFuture;
use orlop_objects::{Key, Kind, Object};
use serde_json::Value;

/// A byte stream to the server.
pub trait Stream: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static {}
impl<T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static> Stream for T {}

/// Makes connections to the server.
pub trait Transport: Send + Sync + 'static {
    /// Opens one.
    fn connect(&self) -> BoxFuture<'_, std::io::Result<Box<dyn Stream>>>;
}

/// A failed call.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server said no; `status` is its Status object.
    #[error("{message}")]
    Refused { code: u16, reason: String, message: String, status: Value },
    /// The server could not be reached, or broke off.
    #[error("{operation} {path}")]
    Unreachable { operation: &'static str, path: String, source: Box<dyn std::error::Error + Send + Sync> },
}

/// A client. Cheap to clone.
#[derive(Clone)]
pub struct Client;

impl Client {
    /// A client over `transport`; connects on first use and again after a loss.
    pub fn new(_transport: Arc<dyn Transport>) -> Self { todo!() }
    /// Reads one object; `None` for 404.
    pub async fn get(&self, _key: &Key) -> Result<Option<Object>, Error> { todo!() }
    /// Lists; `query` holds fieldSelector, labelSelector, limit, …
    pub async fn list(&self, _kind: &'static Kind, _namespace: Option<&str>, _query: &[(&str, &str)]) -> Result<Vec<Object>, Error> { todo!() }
    /// Creates.
    pub async fn create(&self, _kind: &'static Kind, _namespace: &str, _body: &Value) -> Result<Object, Error> { todo!() }
    /// Merge-patches the object, or its `subresource` where given.
    pub async fn patch(&self, _key: &Key, _subresource: Option<&str>, _patch: &Value) -> Result<Object, Error> { todo!() }
    /// Replaces the object, or its `subresource`.
    pub async fn replace(&self, _key: &Key, _subresource: Option<&str>, _body: &Value) -> Result<Object, Error> { todo!() }
    /// Deletes, with a DeleteOptions body; a 404 is `Ok`.
    pub async fn delete(&self, _key: &Key, _options: &Value) -> Result<(), Error> { todo!() }
    /// Lists, then watches for ever, reconnecting; `mirror` shows the current set.
    pub fn mirror(&self, _kind: &'static Kind, _query: &[(&str, &str)]) -> Mirror { todo!() }
}

/// A set of objects kept current by list and watch in a task of its own; the task ends with the last handle.
#[derive(Clone)]
pub struct Mirror;

impl Mirror {
    /// The current set, or `None` before the first full list.
    pub fn all(&self) -> Option<Arc<BTreeMap<Key, Arc<Object>>>> { todo!() }
    /// Keys that changed since the last call (all of them after each list).
    pub async fn changed(&mut self) -> Vec<Key> { todo!() }
}
