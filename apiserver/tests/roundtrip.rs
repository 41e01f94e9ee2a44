//! Server and client together, over a pipe and over a unix socket.

mod support;

use std::sync::Arc;

use futures::future::BoxFuture;
use orlop_apiserver::{ApiServer, Identity};
use orlop_client::{Client, Error, Stream, Transport, UnixTransport};
use orlop_objects::{Key, kind};
use serde_json::{Value, json};
use support::Harness;

struct Pipe(ApiServer, Identity);

impl Transport for Pipe {
    fn connect(&self) -> BoxFuture<'_, std::io::Result<Box<dyn Stream>>> {
        Box::pin(async { Ok(Box::new(self.0.connect(self.1.clone())) as Box<dyn Stream>) })
    }
}

fn config_map(name: &str, value: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"a": value}})
}

async fn write_and_read(client: &Client) {
    let key = Key::new(&kind::CONFIG_MAP, "default", "one");
    assert!(client.get(&key).await.expect("answers").is_none());
    let made =
        client.create(&kind::CONFIG_MAP, "default", &config_map("one", "1")).await.expect("is created");
    assert_eq!(client.get(&key).await.expect("answers").as_ref(), Some(&made));
    let again = client.create(&kind::CONFIG_MAP, "default", &config_map("one", "1")).await;
    assert!(
        matches!(&again, Err(Error::Refused { code: 409, message, .. })
        if message == "configmaps \"one\" already exists"),
        "{again:?}"
    );
    let patched = client.patch(&key, None, &json!({"data": {"a": "2"}})).await.expect("is patched");
    assert_eq!(patched.value()["data"]["a"], "2");
    assert!(patched.revision > made.revision);
    let stale = client.replace(&key, None, &made.versioned()).await;
    assert!(
        matches!(&stale, Err(Error::Refused { code: 409, reason, .. }) if reason == "Conflict"),
        "{stale:?}"
    );
    let mut next = patched.versioned();
    next["data"]["b"] = "3".into();
    client.replace(&key, None, &next).await.expect("is current");
    let all = client.list(&kind::CONFIG_MAP, Some("default"), &[]).await.expect("answers");
    assert_eq!(
        all.iter().map(|o| o.value()["data"].clone()).collect::<Vec<_>>(),
        [json!({"a": "2", "b": "3"})]
    );
    client.delete(&key, &json!({"preconditions": {"uid": made.meta.uid}})).await.expect("is deleted");
    client.delete(&key, &json!({})).await.expect("gone is gone");
    assert!(client.get(&key).await.expect("answers").is_none());
}

#[tokio::test]
async fn over_a_pipe() {
    let server = Harness::new().await.server;
    write_and_read(&Client::new(Arc::new(Pipe(server.clone(), Identity::admin())))).await;
    server.shutdown().await;
}

#[tokio::test]
async fn over_a_unix_socket() {
    use std::os::unix::fs::PermissionsExt;
    let server = Harness::new().await.server;
    let dir = tempfile::tempdir().expect("has a temporary directory");
    let path = dir.path().join("private/api.sock");
    server.serve_unix(&path).await.expect("listens");
    let mode =
        |path: &std::path::Path| std::fs::metadata(path).expect("is there").permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(path.parent().expect("has a parent"))), (0o600, 0o700));
    write_and_read(&Client::new(Arc::new(UnixTransport::new(&path)))).await;
    server.shutdown().await;
}
