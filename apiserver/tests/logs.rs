//! Logs, from the node through the server to the client.

mod support;

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures::future::BoxFuture;
use http_body_util::{BodyExt, Full};
use orlop_apiserver::{AgentSocket, Body, NodeCallError, NodeCalls};
use serde_json::json;
use support::Harness;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Answers with what it was asked.
#[derive(Default)]
struct Echo(Mutex<Vec<String>>);

impl NodeCalls for Echo {
    fn logs(&self, node: &str, path: &str) -> BoxFuture<'_, Result<Body, NodeCallError>> {
        self.0.lock().expect("is not poisoned").push(format!("{node} {path}"));
        let body = Full::new(Bytes::from("a line\n")).map_err(|never| match never {}).boxed_unsync();
        Box::pin(async { Ok(body) })
    }
}

#[tokio::test]
async fn options_reach_the_node() {
    let echo = Arc::new(Echo::default());
    let h = Harness::with_nodes(echo.clone()).await;
    h.pod("p", Some("n")).await;
    let answer = h.get("/api/v1/namespaces/default/pods/p/log?container=c&follow=true&tailLines=5").await;
    assert_eq!(
        (answer.code, answer.text.as_str(), answer.header("content-type")),
        (200, "a line\n", "text/plain")
    );
    assert_eq!(
        *echo.0.lock().expect("is not poisoned"),
        ["n /containerLogs/default/p/c?follow=true&tailLines=5"]
    );
}

#[tokio::test]
async fn what_cannot_be_read_says_why() {
    let h = Harness::new().await;
    h.pod("waiting", None).await;
    h.pod("placed", Some("n")).await;
    let rows = [
        ("nothing/log", 404, "pods \"nothing\" not found"),
        ("waiting/log", 400, "pod waiting does not have a host assigned"),
        ("placed/log?container=x", 400, "container x is not valid for pod placed"),
        ("placed/log?tailLines=-1", 422, "PodLogOptions \"placed\" is invalid: tailLines: Invalid value: -1"),
        ("placed/log", 503, "the agent of node \"n\" does not answer"),
    ];
    for (path, code, message) in rows {
        let answer = h.get(&format!("/api/v1/namespaces/default/pods/{path}")).await;
        assert_eq!(answer.code, code, "{path}: {answer:?}");
        assert!(answer.message().starts_with(message), "{path}: {answer:?}");
    }
}

/// An agent that gives one answer, piece by piece.
async fn agent(path: &std::path::Path, pieces: &'static [&'static str]) {
    let listener = tokio::net::UnixListener::bind(path).expect("binds");
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("is called");
        let mut request = vec![0; 4096];
        let _ = stream.read(&mut request).await.expect("is asked");
        for piece in pieces {
            stream.write_all(piece.as_bytes()).await.expect("is read");
            tokio::task::yield_now().await;
        }
    });
}

#[tokio::test]
async fn the_agents_socket_streams() {
    let dir = tempfile::tempdir().expect("has a temporary directory");
    let path = dir.path().join("agent.sock");
    agent(
        &path,
        &[
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
            "4\r\none\n\r\n",
            "4\r\ntwo\n\r\n",
            "0\r\n\r\n",
        ],
    )
    .await;
    let body = AgentSocket::new(&path).logs("n", "/containerLogs/default/p/c").await.expect("answers");
    assert_eq!(body.collect().await.expect("comes whole").to_bytes(), "one\ntwo\n");
}

#[tokio::test]
async fn the_agents_refusal_is_passed_on() {
    let dir = tempfile::tempdir().expect("has a temporary directory");
    let path = dir.path().join("agent.sock");
    agent(&path, &["HTTP/1.1 400 Bad Request\r\ncontent-length: 7\r\n\r\nwaiting"]).await;
    let h = Harness::with_nodes(Arc::new(AgentSocket::new(&path))).await;
    h.pod("p", Some("n")).await;
    let answer = h.get("/api/v1/namespaces/default/pods/p/log").await;
    assert_eq!((answer.code, answer.json()["message"].clone()), (400, json!("waiting")));
}
