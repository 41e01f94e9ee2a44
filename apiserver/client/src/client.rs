//! The calls.

use std::sync::Arc;

use bytes::Bytes;
use http::Method;
use hyper::body::Incoming;
use orlop_objects::{Key, Kind, Object};
use serde_json::Value;

use crate::{
    Error, Mirror, Transport,
    connection::{Ask, Connection},
    path,
};

/// A client. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    connection: Arc<Connection>,
}

impl Client {
    /// A client over `transport`; connects on first use and again after a loss.
    pub fn new(transport: Arc<dyn Transport>) -> Self {
        Self { connection: Arc::new(Connection::new(transport)) }
    }

    /// Reads one object; `None` for 404.
    pub async fn get(&self, key: &Key) -> Result<Option<Object>, Error> {
        match self.object(key.kind, Ask::get(path::object(key, None))).await {
            Err(Error::Refused { code: 404, .. }) => Ok(None),
            other => other.map(Some),
        }
    }

    /// Lists; `query` holds fieldSelector, labelSelector, limit, …
    pub async fn list(
        &self,
        kind: &'static Kind,
        namespace: Option<&str>,
        query: &[(&str, &str)],
    ) -> Result<Vec<Object>, Error> {
        self.list_at(kind, namespace, query).await.map(|(objects, _)| objects)
    }

    /// Creates.
    pub async fn create(&self, kind: &'static Kind, namespace: &str, body: &Value) -> Result<Object, Error> {
        self.object(kind, write(Method::POST, path::collection(kind, Some(namespace), &[]), body)).await
    }

    /// Merge-patches the object, or its `subresource` where given.
    pub async fn patch(&self, key: &Key, subresource: Option<&str>, patch: &Value) -> Result<Object, Error> {
        let ask = write(Method::PATCH, path::object(key, subresource), patch);
        self.object(key.kind, Ask { content_type: "application/merge-patch+json", ..ask }).await
    }

    /// Replaces the object, or its `subresource`.
    pub async fn replace(&self, key: &Key, subresource: Option<&str>, body: &Value) -> Result<Object, Error> {
        self.object(key.kind, write(Method::PUT, path::object(key, subresource), body)).await
    }

    /// Deletes, with a DeleteOptions body; a 404 is `Ok`.
    pub async fn delete(&self, key: &Key, options: &Value) -> Result<(), Error> {
        match self.connection.call(&write(Method::DELETE, path::object(key, None), options)).await {
            Ok(_) | Err(Error::Refused { code: 404, .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Reads any other path of the server, as in `/readyz`.
    pub async fn raw(&self, path_and_query: &str) -> Result<Bytes, Error> {
        self.connection.call(&Ask::get(path_and_query.to_owned())).await
    }

    /// Asks what is no object, by POST, and answers the JSON that comes back.
    pub async fn ask(&self, path: &str, body: &Value) -> Result<Value, Error> {
        let ask = write(Method::POST, path.to_owned(), body);
        let bytes = self.connection.call(&ask).await?;
        serde_json::from_slice(&bytes).map_err(|e| unreadable("read the answer of", &ask.path, Box::new(e)))
    }

    /// Lists, then watches for ever, reconnecting; `mirror` shows the current set. Must be called within a tokio
    /// runtime: it spawns a task.
    pub fn mirror(&self, kind: &'static Kind, query: &[(&str, &str)]) -> Mirror {
        Mirror::spawn(self.clone(), kind, query)
    }

    /// A list with its version.
    pub(crate) async fn list_at(
        &self,
        kind: &'static Kind,
        namespace: Option<&str>,
        query: &[(&str, &str)],
    ) -> Result<(Vec<Object>, String), Error> {
        let ask = Ask::get(path::collection(kind, namespace, query));
        let unreadable = |source| unreadable("list", &ask.path, source);
        let mut list: Value = serde_json::from_slice(&self.connection.call(&ask).await?)
            .map_err(|e| unreadable(Box::new(e)))?;
        let version = list["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_owned();
        let Value::Array(items) = list["items"].take() else {
            return Err(unreadable("the answer is not a list".into()));
        };
        let objects = items.iter().map(|item| object(kind, item)).collect::<Result<_, _>>();
        Ok((objects.map_err(unreadable)?, version))
    }

    /// Opens a watch.
    pub(crate) async fn watch(&self, kind: &'static Kind, query: &[(&str, &str)]) -> Result<Incoming, Error> {
        self.connection.stream(&Ask::get(path::collection(kind, None, query))).await
    }

    async fn object(&self, kind: &'static Kind, ask: Ask) -> Result<Object, Error> {
        let bytes = self.connection.call(&ask).await?;
        let read = || object(kind, &serde_json::from_slice(&bytes)?);
        read().map_err(|source| unreadable("read the answer of", &ask.path, source))
    }
}

fn write(method: Method, path: String, body: &Value) -> Ask {
    Ask { method, path, content_type: "application/json", body: body.to_string().into() }
}

type Cause = Box<dyn std::error::Error + Send + Sync>;

fn unreadable(operation: &'static str, path: &str, source: Cause) -> Error {
    Error::Unreachable { operation, path: path.to_owned(), source }
}

/// An object as the server sent it; its version becomes the revision.
pub(crate) fn object(kind: &'static Kind, value: &Value) -> Result<Object, Cause> {
    let version = value["metadata"]["resourceVersion"].as_str().unwrap_or_default();
    let revision = version.parse().map_err(|_| format!("resourceVersion {version:?} is not a number"))?;
    Ok(Object::from_value(kind, value)?.at(revision))
}
