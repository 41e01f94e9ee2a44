//! An agent's identity: had once, kept, renewed, lost with its Node.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::{os::unix::fs::PermissionsExt, path::Path, sync::Arc};

use futures::future::BoxFuture;
use jiff::{Timestamp, ToSpan};
use orlop_apiserver::{ApiServer, Body, NodeCallError, NodeCalls, pki::Pki};
use orlop_nodeagent::identity::{IdentityError, NodeIdentity, Wish};
use orlop_objects::{
    Key,
    join::{Token, hex, stored_token},
    kind,
};
use orlop_registry::{DeleteOptions, Registry, Who};
use orlop_store::Store;
use serde_json::json;
use sha2::{Digest, Sha256};

struct NoCalls;

impl NodeCalls for NoCalls {
    fn logs(&self, node: &str, _: &str) -> BoxFuture<'_, Result<Body, NodeCallError>> {
        let error =
            NodeCallError::Unreachable { node: node.to_owned(), source: "nobody is called here".into() };
        Box::pin(async { Err(error) })
    }
}

struct Server {
    registry: Registry,
    pki: Arc<Pki>,
    url: String,
    api: ApiServer,
    dir: tempfile::TempDir,
}

fn who() -> Who {
    Who::new("test", "test")
}

impl Server {
    async fn start() -> Self {
        let registry = Registry::new(Store::in_memory());
        let body = json!({"metadata": {"name": "kube-system"}});
        registry.create(&kind::NAMESPACE, "", body, &who(), false).await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        let pki = Pki::ensure(&dir.path().join("server"), &["localhost"], &[[127, 0, 0, 1].into()]);
        let pki = Arc::new(pki.unwrap());
        let api = ApiServer::joinable(registry.clone(), Arc::new(NoCalls), pki.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", api.serve_tls(listener, &pki).await.unwrap());
        Self { registry, pki, url, api, dir }
    }

    async fn token(&self, id: u8) -> Token {
        let token = Token::new([id; 8], [id; 32], &self.pki.authority_hash());
        let expires = Timestamp::now().checked_add(1.hour()).unwrap();
        let body = stored_token(&token.id, &hex(&Sha256::digest(&token.secret)), expires);
        self.registry.create(&kind::SECRET, "kube-system", body, &who(), false).await.unwrap();
        token
    }

    /// Starts the agent of the directory `agent`, at a time that is so many days from now.
    async fn begin(
        &self,
        token: Option<Token>,
        name: Option<&str>,
        days: i64,
    ) -> Result<Arc<NodeIdentity>, IdentityError> {
        let wish = Wish {
            dir: self.dir.path().join("agent/pki"),
            server: self.url.clone(),
            token,
            name: name.map(str::to_owned),
        };
        NodeIdentity::begin(wish, in_days(days)).await
    }

    async fn remove(&self, node: &str) {
        let key = Key::cluster(&kind::NODE, node);
        self.registry.delete(&key, &DeleteOptions::default(), &who()).await.unwrap();
    }
}

fn in_days(days: i64) -> Timestamp {
    Timestamp::now().checked_add((days * 24).hours()).unwrap()
}

fn read(dir: &Path, file: &str) -> String {
    std::fs::read_to_string(dir.join(file)).unwrap()
}

/// What is wrong with an identity that cannot be had.
fn refused(outcome: Result<Arc<NodeIdentity>, IdentityError>) -> IdentityError {
    outcome.err().expect("is refused")
}

#[tokio::test]
async fn an_agent_joins_once_and_is_itself_from_then_on() {
    let server = Server::start().await;
    let error = refused(server.begin(None, Some("one"), 0).await);
    assert!(matches!(error, IdentityError::NoToken), "{error}");
    let identity = server.begin(Some(server.token(1).await), Some("one"), 0).await.unwrap();
    assert_eq!(identity.name().unwrap(), "one");
    let dir = server.dir.path().join("agent/pki");
    for file in ["node.key", "node.crt", "ca.crt"] {
        let mode = std::fs::metadata(dir.join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    assert_eq!(server.begin(None, None, 0).await.unwrap().name().unwrap(), "one");
    let error = refused(server.begin(None, Some("two"), 0).await);
    assert!(matches!(error, IdentityError::OtherName { .. }), "{error}");
    // A server that is away is no reason not to start.
    server.api.shutdown().await;
    assert_eq!(server.begin(None, None, 0).await.unwrap().name().unwrap(), "one");
}

#[tokio::test]
async fn a_certificate_is_renewed_in_time_and_in_use_at_once() {
    let server = Server::start().await;
    let identity = server.begin(Some(server.token(1).await), Some("one"), 0).await.unwrap();
    let dir = server.dir.path().join("agent/pki");
    let (key, first) = (read(&dir, "node.key"), read(&dir, "node.crt"));
    assert!(!identity.renew_when_due(in_days(300)).await.unwrap());
    assert!(identity.renew_when_due(in_days(340)).await.unwrap());
    assert_ne!(read(&dir, "node.crt"), first);
    assert_eq!(read(&dir, "node.key"), key, "the key that the Node remembers stays");
    let node = Key::cluster(&kind::NODE, "one");
    assert!(identity.client().get(&node).await.unwrap().is_some());
    server.api.shutdown().await;
}

#[tokio::test]
async fn a_wrong_clock_is_told_and_a_token_is_the_way_out() {
    let server = Server::start().await;
    server.begin(Some(server.token(1).await), Some("one"), 0).await.unwrap();
    let late = refused(server.begin(None, None, 400).await).to_string();
    assert!(
        late.starts_with("this node's certificate is valid until ") && late.contains("this machine says"),
        "{late}"
    );
    let early = refused(server.begin(None, None, -3).await).to_string();
    assert!(early.contains("not valid before") && early.contains("set the clock"), "{early}");
    let again = server.begin(Some(server.token(2).await), None, 400).await.unwrap();
    assert_eq!(again.name().unwrap(), "one", "the key is its own, so the name is");
    server.api.shutdown().await;
}

#[tokio::test]
async fn a_removed_node_joins_again_with_a_new_token_only() {
    let server = Server::start().await;
    let identity = server.begin(Some(server.token(1).await), Some("one"), 0).await.unwrap();
    server.remove("one").await;
    assert!(identity.renew_when_due(in_days(340)).await.is_err());
    let error = refused(server.begin(None, None, 0).await);
    assert!(
        matches!(&error, IdentityError::Revoked { message } if message.contains("orlop token create")),
        "{error}"
    );
    let again = server.begin(Some(server.token(2).await), None, 0).await.unwrap();
    assert!(again.client().get(&Key::cluster(&kind::NODE, "one")).await.unwrap().is_some());
    server.api.shutdown().await;
}
