//! One server over an empty store in memory, and one way to ask it.

#![allow(dead_code, reason = "every test file uses another part of it")]

use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use orlop_apiserver::{ApiServer, Body, Identity, NodeCallError, NodeCalls};
use orlop_objects::kind;
use orlop_registry::{Registry, Who};
use orlop_store::Store;
use serde_json::{Value, json};

/// A cluster without nodes.
pub(crate) struct NoNodes;

impl NodeCalls for NoNodes {
    fn logs(&self, node: &str, _: &str) -> BoxFuture<'_, Result<Body, NodeCallError>> {
        let error = NodeCallError::Unreachable { node: node.to_owned(), source: "there are no nodes".into() };
        Box::pin(async { Err(error) })
    }
}

/// A server and a connection to it.
pub(crate) struct Harness {
    pub(crate) server: ApiServer,
    pub(crate) registry: Registry,
    sender: http2::SendRequest<Full<Bytes>>,
}

/// An answer as a whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("not JSON ({e}): {}", self.text))
    }

    pub(crate) fn message(&self) -> String {
        self.json()["message"].as_str().unwrap_or_default().to_owned()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default()
    }
}

impl Harness {
    pub(crate) async fn new() -> Self {
        Self::with_nodes(Arc::new(NoNodes)).await
    }

    pub(crate) async fn with_nodes(nodes: Arc<dyn NodeCalls>) -> Self {
        Self::over(Store::in_memory(), nodes).await
    }

    /// Over a store of the caller's.
    pub(crate) async fn over(store: Store, nodes: Arc<dyn NodeCalls>) -> Self {
        let registry = Registry::new(store);
        for name in ["default", "other"] {
            let body = json!({"metadata": {"name": name}});
            registry.create(&kind::NAMESPACE, "", body, &tester(), false).await.expect("is created");
        }
        let server = ApiServer::new(registry.clone(), nodes);
        let sender = connect(&server, Identity::admin()).await;
        Self { server, registry, sender }
    }

    /// The same server, asked by somebody else.
    pub(crate) async fn as_user(&self, who: Identity) -> Self {
        let sender = connect(&self.server, who).await;
        Self { server: self.server.clone(), registry: self.registry.clone(), sender }
    }

    /// Asks `METHOD PATH`, with headers as `name: value`.
    pub(crate) async fn ask(&self, what: &str, headers: &[&str], body: impl Into<Bytes>) -> Answer {
        let (head, body) = self.open(what, headers, body).await.into_parts();
        let text = body.collect().await.expect("comes whole").to_bytes();
        Answer {
            code: head.status.as_u16(),
            headers: head.headers,
            text: String::from_utf8(text.to_vec()).expect("is text"),
        }
    }

    /// The same for an answer that does not end by itself.
    pub(crate) async fn open(
        &self,
        what: &str,
        headers: &[&str],
        body: impl Into<Bytes>,
    ) -> Response<Incoming> {
        let (method, path) = what.split_once(' ').expect("is METHOD PATH");
        let mut request = Request::builder().method(method).uri(format!("http://test{path}"));
        for header in headers {
            let (name, value) = header.split_once(": ").expect("is NAME: VALUE");
            request = request.header(name, value);
        }
        let request = request.body(Full::new(body.into())).expect("is a request");
        self.sender.clone().send_request(request).await.expect("is answered")
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask(&format!("GET {path}"), &[], "").await
    }

    pub(crate) async fn send(&self, what: &str, body: &Value) -> Answer {
        self.ask(what, &["content-type: application/json"], body.to_string()).await
    }

    /// Creates a ConfigMap in `default`.
    pub(crate) async fn config_map(&self, name: &str, labels: &Value) -> Value {
        let body = json!({"metadata": {"name": name, "labels": labels}, "data": {"a": "1"}});
        let answer = self.send("POST /api/v1/namespaces/default/configmaps", &body).await;
        assert_eq!(answer.code, 201, "{answer:?}");
        answer.json()
    }

    /// Creates a pod in `default`, on `node` where given.
    pub(crate) async fn pod(&self, name: &str, node: Option<&str>) -> Value {
        let mut body =
            json!({"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
        if let Some(node) = node {
            body["spec"]["nodeName"] = node.into();
        }
        let answer = self.send("POST /api/v1/namespaces/default/pods", &body).await;
        assert_eq!(answer.code, 201, "{answer:?}");
        answer.json()
    }
}

async fn connect(server: &ApiServer, who: Identity) -> http2::SendRequest<Full<Bytes>> {
    let stream = TokioIo::new(server.connect(who));
    let (sender, connection) = http2::handshake(TokioExecutor::new(), stream).await.expect("is HTTP/2");
    tokio::spawn(connection);
    sender
}

/// Who writes in tests, round the HTTP layer.
pub(crate) fn tester() -> Who {
    Who { user: "test".to_owned(), manager: "test".to_owned() }
}

/// A watch, read line by line.
pub(crate) struct Lines {
    body: Incoming,
    buffer: Vec<u8>,
}

impl Lines {
    pub(crate) fn new(response: Response<Incoming>) -> Self {
        assert_eq!(response.status(), 200);
        Self { body: response.into_body(), buffer: Vec::new() }
    }

    /// The next event; `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.buffer.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).expect("is JSON"));
            }
            let frame = tokio::time::timeout(std::time::Duration::from_secs(120), self.body.frame());
            let frame = frame.await.expect("something comes")?.expect("is sent");
            self.buffer.extend_from_slice(&frame.into_data().expect("is data"));
        }
    }

    /// The next event as `TYPE name`.
    pub(crate) async fn event(&mut self) -> String {
        match self.next().await {
            None => "END".to_owned(),
            Some(event) => {
                let name = event["object"]["metadata"]["name"].as_str().unwrap_or("-");
                format!("{} {name}", event["type"].as_str().unwrap_or_default())
            }
        }
    }
}
