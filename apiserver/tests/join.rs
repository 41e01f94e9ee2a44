//! Machines become nodes by token, stay nodes by renewing, and cease to be when their Node goes.

mod support;

use std::sync::Arc;

use jiff::{Timestamp, ToSpan};
use orlop_apiserver::{ApiServer, pki::Pki};
use orlop_client::{Client, Error, PinnedTransport, TlsTransport};
use orlop_objects::{
    Key,
    join::{JOIN, RENEW, Token, hex, stored_token},
    kind,
};
use orlop_registry::Registry;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use support::{Harness, NoNodes, tester};

struct Cluster {
    h: Harness,
    registry: Registry,
    pki: Arc<Pki>,
    url: String,
    server: ApiServer,
    _dir: tempfile::TempDir,
}

/// A machine with a key of its own.
struct Machine {
    key: KeyPair,
}

impl Machine {
    fn new() -> Self {
        Self { key: KeyPair::generate().expect("a key can be made") }
    }

    fn request(&self, name: &str) -> String {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, format!("system:node:{name}"));
        params.serialize_request(&self.key).expect("a request can be made").pem().expect("and written")
    }
}

impl Cluster {
    async fn start() -> Self {
        let h = Harness::new().await;
        let registry = h.registry.clone();
        let body = json!({"metadata": {"name": "kube-system"}});
        registry.create(&kind::NAMESPACE, "", body, &tester(), false).await.expect("is created");
        let dir = tempfile::tempdir().expect("has a temporary directory");
        let local = std::net::Ipv4Addr::LOCALHOST.into();
        let pki = Arc::new(Pki::ensure(dir.path(), &["localhost"], &[local]).expect("is made"));
        let server = ApiServer::joinable(registry.clone(), Arc::new(NoNodes), pki.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let url = format!("https://{}", server.serve_tls(listener, &pki).await.expect("serves"));
        Self { h, registry, pki, url, server, _dir: dir }
    }

    /// A token that lives for so many hours.
    async fn token(&self, id: u8, hours: i64) -> Token {
        let token = Token::new([id; 8], [id; 32], &self.pki.authority_hash());
        let expires = Timestamp::now().checked_add(hours.hours()).expect("in range");
        let body = stored_token(&token.id, &hex(&Sha256::digest(&token.secret)), expires);
        self.registry.create(&kind::SECRET, "kube-system", body, &tester(), false).await.expect("is created");
        token
    }

    async fn join(&self, token: &Token, machine: &Machine, name: &str) -> Result<String, Error> {
        let transport = PinnedTransport::new(&self.url, &token.authority).expect("an address");
        let ask =
            json!({"token": {"id": token.id, "secret": token.secret}, "request": machine.request(name)});
        let answer = Client::new(Arc::new(transport)).ask(JOIN, &ask).await?;
        Ok(answer["certificate"].as_str().expect("there is one").to_owned())
    }

    fn client(&self, machine: &Machine, certificate: &str) -> Client {
        let key = machine.key.serialize_pem();
        let transport = TlsTransport::new(&self.url, self.pki.authority(), certificate, &key);
        Client::new(Arc::new(transport.expect("papers that fit")))
    }
}

fn words<T: std::fmt::Debug>(outcome: Result<T, Error>, code: u16) -> String {
    match outcome {
        Err(Error::Refused { code: found, message, .. }) if found == code => message,
        other => panic!("{other:?} instead of {code}"),
    }
}

#[tokio::test]
async fn a_token_lets_one_machine_in_once() {
    let cluster = Cluster::start().await;
    let (one, two) = (Machine::new(), Machine::new());
    let token = cluster.token(1, 24).await;
    let certificate = cluster.join(&token, &one, "one").await.expect("is let in");
    let node = Key::cluster(&kind::NODE, "one");
    assert!(cluster.client(&one, &certificate).get(&node).await.expect("may").is_some());

    cluster.join(&token, &one, "one").await.expect("an answer that was lost is given again");
    let used = words(cluster.join(&token, &two, "two").await, 401);
    assert!(used.starts_with("the token was used by node \"one\" at "), "{used}");
    let taken = words(cluster.join(&cluster.token(2, 24).await, &two, "one").await, 409);
    assert!(taken.contains("`orlop node rm one`"), "{taken}");
    let late = words(cluster.join(&cluster.token(3, -1).await, &two, "two").await, 401);
    assert!(late.starts_with("the token ended at "), "{late}");
    let mut guessed = cluster.token(4, 24).await;
    guessed.secret = "00".repeat(32);
    assert!(words(cluster.join(&guessed, &two, "two").await, 401).starts_with("there is no such token"));
    let wish = words(cluster.join(&cluster.token(5, 24).await, &two, "Two").await, 400);
    assert!(wish.contains("\"Two\" cannot be a node's name"), "{wish}");
    let shown = cluster.h.get("/api/v1/namespaces/kube-system/secrets").await.text;
    assert!(!shown.contains(&token.secret), "the secret is stored as a hash");
    cluster.server.shutdown().await;
}

#[tokio::test]
async fn two_machines_with_one_token_are_one_node() {
    let cluster = Cluster::start().await;
    let (one, two) = (Machine::new(), Machine::new());
    let token = cluster.token(1, 24).await;
    let (first, second) = tokio::join!(cluster.join(&token, &one, "a"), cluster.join(&token, &two, "b"));
    assert!(first.is_ok() != second.is_ok(), "{first:?} {second:?}");
    assert_eq!(cluster.registry.snapshot().list(&kind::NODE, None, None).count(), 1);
    cluster.server.shutdown().await;
}

#[tokio::test]
async fn another_authority_is_told_nothing() {
    let cluster = Cluster::start().await;
    let mut token = cluster.token(1, 24).await;
    token.authority = "00".repeat(32);
    let error = cluster.join(&token, &Machine::new(), "one").await.expect_err("is not believed");
    let said = format!("{error}: {}", std::error::Error::source(&error).expect("has a cause"));
    assert!(
        said.contains("the token is of another cluster") && said.contains("nothing was told to it"),
        "{said}"
    );
    cluster.server.shutdown().await;
}

#[tokio::test]
async fn a_node_renews_itself_and_nobody_else() {
    let cluster = Cluster::start().await;
    let (one, two) = (Machine::new(), Machine::new());
    let first = cluster.join(&cluster.token(1, 24).await, &one, "one").await.expect("is let in");
    let client = cluster.client(&one, &first);
    let answer = client.ask(RENEW, &json!({"request": one.request("one")})).await.expect("is renewed");
    let next = answer["certificate"].as_str().expect("there is one");
    let node = Key::cluster(&kind::NODE, "one");
    assert!(cluster.client(&one, next).get(&node).await.expect("may").is_some());
    for request in [one.request("two"), two.request("one")] {
        let said = words(client.ask(RENEW, &json!({"request": request})).await, 403);
        assert!(said.contains("only renew its own certificate"), "{said}");
    }
    cluster.server.shutdown().await;
}

#[tokio::test]
async fn a_removed_node_is_nobody() {
    let cluster = Cluster::start().await;
    let one = Machine::new();
    let certificate = cluster.join(&cluster.token(1, 24).await, &one, "one").await.expect("is let in");
    let client = cluster.client(&one, &certificate);
    let node = Key::cluster(&kind::NODE, "one");
    assert!(client.get(&node).await.expect("may").is_some());
    cluster.h.ask("DELETE /api/v1/nodes/one", &[], "").await;
    let said = words(client.get(&node).await, 401);
    assert!(said.contains("`orlop token create`"), "{said}");
    let again = words(client.create(&kind::NODE, "", &json!({"metadata": {"name": "one"}})).await, 401);
    assert!(again.contains("is no node of this cluster"), "{again}");
    words(client.ask(RENEW, &json!({"request": one.request("one")})).await, 401);

    // Another machine takes the name: the old certificate is not the new node's.
    let other = Machine::new();
    cluster.join(&cluster.token(2, 24).await, &other, "one").await.expect("the name is free");
    words(client.get(&node).await, 401);
    cluster.server.shutdown().await;
}

#[tokio::test]
async fn a_watch_of_a_removed_node_tells_nothing_more() {
    let cluster = Cluster::start().await;
    let one = Machine::new();
    let certificate = cluster.join(&cluster.token(1, 24).await, &one, "one").await.expect("is let in");
    let client = cluster.client(&one, &certificate);
    // From the version that was listed on, so that it does not matter when the watch begins.
    let list: Value =
        serde_json::from_slice(&client.raw("/api/v1/pods").await.expect("may")).expect("is JSON");
    let version = list["metadata"]["resourceVersion"].as_str().expect("has a version");
    let path = format!("/api/v1/pods?watch=true&resourceVersion={version}");
    let watch = client.raw(&path);
    let removal = async {
        cluster.h.pod("before", Some("one")).await;
        // Told before the node goes, or not at all: either is right, and what comes after must not be.
        cluster.h.ask("DELETE /api/v1/nodes/one", &[], "").await;
        cluster.h.pod("after", Some("one")).await;
    };
    let (told, ()) = tokio::join!(watch, removal);
    match told {
        Ok(told) => {
            let told = String::from_utf8_lossy(&told).into_owned();
            assert!(told.contains("\"code\":401") && !told.contains("after"), "{told}");
        }
        // It was so slow that it had not begun.
        refused => assert!(words(refused, 401).contains("is no node of this cluster")),
    }
    cluster.server.shutdown().await;
}

/// What an answer says of the caller, for the one who did not bring a certificate.
#[tokio::test]
async fn nobody_renews_without_a_certificate() {
    let cluster = Cluster::start().await;
    let transport = PinnedTransport::new(&cluster.url, &cluster.pki.authority_hash()).expect("an address");
    let ask: Value = json!({"request": Machine::new().request("one")});
    assert_eq!(words(Client::new(Arc::new(transport)).ask(RENEW, &ask).await, 401), "Unauthorized");
    cluster.server.shutdown().await;
}
