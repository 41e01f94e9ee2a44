//! Who may in, by which door; and what is told about the server itself.

mod support;

use std::sync::Arc;

use orlop_apiserver::{Identity, pki::Pki};
use orlop_client::{Client, Error, TlsTransport};
use orlop_objects::kind;
use serde_json::json;
use support::Harness;

#[tokio::test]
async fn tls_asks_for_a_certificate() {
    let h = Harness::new().await;
    let dir = tempfile::tempdir().expect("has a temporary directory");
    let pki = Pki::ensure(&dir.path().join("pki"), &["localhost"], &[std::net::Ipv4Addr::LOCALHOST.into()])
        .expect("is made");
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let address = h.server.serve_tls(listener, &pki).await.expect("serves");
    let client = |user: &str, group: &str| {
        let path = dir.path().join("kubeconfig");
        pki.write_kubeconfig(&path, &format!("https://{address}"), user, group).expect("is written");
        let text = std::fs::read_to_string(path).expect("is there");
        Client::new(Arc::new(TlsTransport::from_kubeconfig(&text).expect("is a kubeconfig")))
    };
    let admin = client("system:admin", "system:masters");
    let body = json!({"metadata": {"name": "x"}});
    admin.create(&kind::CONFIG_MAP, "default", &body).await.expect("may");
    let user = client("jane", "developers");
    let refused = user.create(&kind::CONFIG_MAP, "default", &body).await;
    assert!(
        matches!(&refused, Err(Error::Refused { code: 403, message, .. }) if message.starts_with(
        "configmaps is forbidden: User \"jane\" cannot create resource \"configmaps\"")),
        "{refused:?}"
    );
    // A certificate for a node does not make one: the Node that remembers its key does.
    let stranger = client("system:node:n", "system:nodes");
    let own = stranger.create(&kind::NODE, "", &json!({"metadata": {"name": "n"}})).await;
    assert!(matches!(own, Err(Error::Refused { code: 401, .. })), "{own:?}");
    h.server.shutdown().await;
}

#[tokio::test]
async fn without_a_certificate_there_is_little_to_see() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let h = Harness::new().await;
    let dir = tempfile::tempdir().expect("has a temporary directory");
    let pki = Pki::ensure(dir.path(), &["localhost"], &[]).expect("is made");
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let address = h.server.serve_tls(listener, &pki).await.expect("serves");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    let authority =
        rustls::pki_types::pem::PemObject::from_pem_slice(pki.authority().as_bytes()).expect("is PEM");
    roots.add(authority).expect("is a certificate");
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("has versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    for (path, expected) in [
        ("/readyz", "200"),
        ("/livez", "200"),
        ("/version", "200"),
        ("/api", "401"),
        ("/api/v1/pods", "401"),
        ("/nothing", "401"),
        ("/openapi/v3", "401"),
    ] {
        let stream = tokio::net::TcpStream::connect(address).await.expect("connects");
        let name = "localhost".try_into().expect("is a name");
        let mut stream = connector.connect(name, stream).await.expect("shakes hands");
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("is sent");
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer).await;
        assert_eq!(answer.split(' ').nth(1), Some(expected), "{path}: {answer}");
    }
}

#[tokio::test]
async fn health_and_version() {
    let h = Harness::new().await;
    assert_eq!(h.get("/readyz").await.text, "ok");
    assert_eq!(h.get("/readyz?verbose").await.text, "[+]ping ok\n[+]store ok\nreadyz check passed\n");
    assert_eq!(h.get("/livez?verbose&exclude=ping").await.text, "livez check passed\n");
    assert_eq!(h.get("/healthz/store").await.code, 200);
    assert_eq!(h.get("/readyz/nothing").await.code, 404);
    assert_eq!(h.get("/version").await.json()["minor"], "36");
    assert_eq!(h.ask("POST /version", &[], "").await.code, 405);
}

#[tokio::test]
async fn discovery_in_both_forms() {
    let h = Harness::new().await;
    let aggregated = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
    let accept = format!(
        "accept: {aggregated},application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json"
    );
    let answer = h.ask("GET /apis", &[&accept], "").await;
    assert_eq!(answer.header("content-type"), aggregated);
    let groups: Vec<_> = answer.json()["items"]
        .as_array()
        .expect("has groups")
        .iter()
        .map(|g| g["metadata"]["name"].clone())
        .collect();
    assert!(
        groups.contains(&json!("storage.k8s.io")) && groups.contains(&json!("events.k8s.io")),
        "{groups:?}"
    );
    let unchanged =
        h.ask("GET /apis", &[&accept, &format!("if-none-match: {}", answer.header("etag"))], "").await;
    assert_eq!((unchanged.code, unchanged.text.as_str()), (304, ""));
    let core = h.ask("GET /api", &[&accept], "").await.json();
    let pods = core["items"][0]["versions"][0]["resources"]
        .as_array()
        .expect("has resources")
        .iter()
        .find(|r| r["resource"] == "pods")
        .cloned()
        .expect("has pods");
    assert_eq!(
        (&pods["shortNames"], &pods["categories"], &pods["scope"]),
        (&json!(["po"]), &json!(["all"]), &json!("Namespaced"))
    );
    let binding = json!({"subresource": "binding", "verbs": ["create"],
        "responseKind": {"group": "", "version": "v1", "kind": "Binding"}});
    assert!(pods["subresources"].as_array().is_some_and(|subs| subs.contains(&binding)), "{pods}");
    // By these words kubectl drain knows that it may evict.
    let core = h.get("/api/v1").await.json();
    let eviction = json!({"name": "pods/eviction", "singularName": "", "namespaced": true, "group": "policy",
        "version": "v1", "kind": "Eviction", "verbs": ["create"]});
    assert!(core["resources"].as_array().is_some_and(|all| all.contains(&eviction)), "{core}");
    assert_eq!(h.get("/api").await.json()["versions"], json!(["v1"]));
    assert_eq!(h.get("/apis").await.json()["kind"], "APIGroupList");
    assert_eq!(h.get("/apis/apps").await.json()["preferredVersion"]["groupVersion"], "apps/v1");
    let list = h.get("/apis/storage.k8s.io/v1").await.json();
    let names: Vec<_> =
        list["resources"].as_array().expect("has resources").iter().map(|r| r["name"].clone()).collect();
    assert!(names.contains(&json!("volumeattachments/status")), "{names:?}");
    assert_eq!(h.get("/apis/nothing/v1").await.code, 404);
}

#[tokio::test]
async fn schemas_are_served() {
    let h = Harness::new().await;
    let index = h.get("/openapi/v3").await.json();
    let url =
        index["paths"]["api/v1"]["serverRelativeURL"].as_str().expect("names the core group").to_owned();
    assert!(h.get(&url).await.json()["components"]["schemas"].is_object());
    assert_eq!(h.get(&url).await.header("cache-control"), "public, max-age=31536000, immutable");
    let stale = h.get("/openapi/v3/api/v1?hash=other").await;
    assert_eq!((stale.code, stale.header("cache-control")), (200, "no-cache, private"));
    assert_eq!(h.get("/openapi/v3/apis/nothing/v1").await.code, 404);
    let old = h.get("/openapi/v2").await;
    assert_eq!((old.code, &old.json()["swagger"]), (200, &serde_json::json!("2.0")));
    let accept = ["accept: application/com.github.proto-openapi.spec.v2@v1.0+protobuf"];
    assert_eq!(h.ask("GET /openapi/v2", &accept, "").await.text, "\n\u{3}2.0");
}

#[tokio::test]
async fn one_can_ask_who_one_is_and_what_one_may() {
    let h = Harness::new().await.as_user(Identity::node("n")).await;
    let me = h.send("POST /apis/authentication.k8s.io/v1/selfsubjectreviews", &json!({})).await;
    assert_eq!((me.code, &me.json()["status"]["userInfo"]["username"]), (201, &json!("system:node:n")));
    let path = "POST /apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    for (verb, allowed) in [("list", true), ("create", false)] {
        let wish = json!({"spec": {"resourceAttributes": {"verb": verb, "resource": "pods", "namespace": "default"}}});
        assert_eq!(h.send(path, &wish).await.json()["status"]["allowed"], allowed, "{verb}");
    }
}
