//! Bodies in protobuf, as stock clients send them, through the whole server: the same objects, answers and refusals as for
//! JSON. What a message says is tested where it is read.

mod support;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use support::{Answer, Harness};

/// Bodies that kubectl 1.32 sent.
const DEPLOYMENT: &str = "azhzAAoVCgdhcHBzL3YxEgpEZXBsb3ltZW50EqcBChsKAXoSABoAIgAqADIAOABCAFoICgNhcHASAXoSeggAEgoKCAoDYXBwEgF6GmIKGgoAEgAaACIAKgAyADgAQgBaCAoDYXBwEgF6EkQSJgoHYnVzeWJveBIHYnVzeWJveCoAQgBqAHIAgAEAiAEAkAEAogEAGgAyAEIASgBSAFgAYABoAIIBAIoBAJoBAMIBACICCgAoADgAGgwIABAAGAAgACgAOAAaACIA";
const SECRET: &str =
    "azhzAAoMCgJ2MRIGU2VjcmV0EjAKEQoBcxIAGgAiACoAMgA4AEIAEhEKB2Jpbi5kYXQSBgD/AWJpbhIGCgF4EgF5GgAaACIA";
const MAY_I: &str = "azhzAAoyChdhdXRob3JpemF0aW9uLms4cy5pby92MRIXU2VsZlN1YmplY3RBY2Nlc3NSZXZpZXcSPwoQCgASABoAIgAqADIAOABCABIhCh8KB2RlZmF1bHQSBmNyZWF0ZRoAIgAqBHBvZHMyADoAGggIABIAGgAgABoAIgA=";
const WHO_AM_I: &str = "azhzAAotChhhdXRoZW50aWNhdGlvbi5rOHMuaW8vdjESEVNlbGZTdWJqZWN0UmV2aWV3EhoKEAoAEgAaACIAKgAyADgAQgASBgoECgASABoAIgA=";
/// `DeleteOptions` with a grace of 1 s.
const DELETE: &str = "azhzAAoTCgJ2MRINRGVsZXRlT3B0aW9ucxICCAEaACIA";

fn recorded(body: &str) -> Vec<u8> {
    STANDARD.decode(body).expect("is base64")
}

/// A message by hand: strings and messages by their numbers, all short.
fn message(fields: &[(u8, &[u8])]) -> Vec<u8> {
    fields
        .iter()
        .flat_map(|(tag, bytes)| {
            [&[tag << 3 | 2, u8::try_from(bytes.len()).expect("short")], *bytes].concat()
        })
        .collect()
}

fn enclosed(api_version: &str, kind: &str, inner: &[u8]) -> Vec<u8> {
    let meta = message(&[(1, api_version.as_bytes()), (2, kind.as_bytes())]);
    [b"k8s\0".as_slice(), &message(&[(1, &meta), (2, inner)])].concat()
}

async fn send(h: &Harness, what: &str, body: Vec<u8>) -> Answer {
    let headers = [
        "content-type: application/vnd.kubernetes.protobuf",
        "accept: application/vnd.kubernetes.protobuf,application/json",
    ];
    h.ask(what, &headers, body).await
}

#[tokio::test]
async fn what_typed_clients_write_is_stored_and_answered_as_json() {
    let h = Harness::new().await;
    let path = "/apis/apps/v1/namespaces/default/deployments";
    let tried =
        send(&h, &format!("POST {path}?dryRun=All&fieldValidation=Strict"), recorded(DEPLOYMENT)).await;
    assert_eq!(
        (tried.code, h.send(&format!("GET {path}/z"), &json!({})).await.code),
        (201, 404),
        "{tried:?}"
    );
    let made = send(&h, &format!("POST {path}?fieldValidation=Strict"), recorded(DEPLOYMENT)).await;
    assert_eq!((made.code, made.header("content-type")), (201, "application/json"), "{made:?}");
    let spec = &made.json()["spec"];
    assert_eq!(
        (&spec["replicas"], &spec["revisionHistoryLimit"]),
        (&json!(0), &json!(10)),
        "0 is kept, nothing is filled in"
    );
    assert_eq!(spec["template"]["spec"]["containers"][0]["terminationMessagePolicy"], "File");
    assert_eq!((made.header("warning"), spec["template"]["spec"].get("nodeName")), ("", None));
    let again = send(&h, &format!("POST {path}"), recorded(DEPLOYMENT)).await;
    assert_eq!((again.code, again.json()["reason"].as_str()), (409, Some("AlreadyExists")));

    let made = send(&h, "POST /api/v1/namespaces/default/secrets", recorded(SECRET)).await;
    assert_eq!(
        (made.code, &made.json()["data"]),
        (201, &json!({"bin.dat": "AP8BYmlu", "x": "eQ=="})),
        "{made:?}"
    );
    assert_eq!(made.json()["type"], "Opaque");
    // An update in protobuf: the name, the version that is replaced, and another entry.
    let version = made.json()["metadata"]["resourceVersion"].as_str().expect("has a version").to_owned();
    let meta = message(&[(1, b"s"), (6, version.as_bytes())]);
    let entry = message(&[(1, b"x"), (2, b"z")]);
    let body = enclosed("v1", "Secret", &message(&[(1, &meta), (2, &entry), (3, b"Opaque")]));
    let changed = send(&h, "PUT /api/v1/namespaces/default/secrets/s", body.clone()).await;
    assert_eq!((changed.code, &changed.json()["data"]), (200, &json!({"x": "eg=="})), "{changed:?}");
    let stale = send(&h, "PUT /api/v1/namespaces/default/secrets/s", body).await;
    assert_eq!((stale.code, stale.json()["reason"].as_str()), (409, Some("Conflict")), "{stale:?}");
}

#[tokio::test]
async fn fields_that_are_not_known_are_told_and_never_refused() {
    let h = Harness::new().await;
    let body = || enclosed("v1", "ConfigMap", &message(&[(1, &message(&[(1, b"x")])), (15, b"new")]));
    let path = "/api/v1/namespaces/default/configmaps";
    // Kubernetes knows of none in protobuf, whatever is asked: a newer kubectl asks for Strict, and sends what is newer.
    for how in ["&fieldValidation=Strict", "&fieldValidation=Warn", ""] {
        let told = send(&h, &format!("POST {path}?dryRun=All{how}"), body()).await;
        let warning = "299 - \"unknown field \\\"field 15 of ConfigMap\\\"\"";
        assert_eq!((told.code, told.header("warning")), (201, warning), "{how}");
    }
    let ignore = send(&h, &format!("POST {path}?fieldValidation=Ignore"), body()).await;
    assert_eq!((ignore.code, ignore.header("warning")), (201, ""));
}

#[tokio::test]
async fn every_body_that_is_read_is_read_as_protobuf() {
    let h = Harness::new().await;
    h.send("POST /api/v1/nodes", &json!({"metadata": {"name": "n1"}})).await;
    for name in ["bound", "evicted", "deleted"] {
        h.pod(name, None).await;
    }
    let pods = "/api/v1/namespaces/default/pods";
    let binding = message(&[(2, &message(&[(1, b"Node"), (3, b"n1")]))]);
    let bound = send(&h, &format!("POST {pods}/bound/binding"), enclosed("v1", "Binding", &binding)).await;
    assert_eq!(bound.code, 201, "{bound:?}");
    assert_eq!(h.send(&format!("GET {pods}/bound"), &json!({})).await.json()["spec"]["nodeName"], "n1");

    let eviction = message(&[(1, &message(&[(1, b"evicted"), (3, b"default")])), (2, b"\x08\x00")]);
    let evicted =
        send(&h, &format!("POST {pods}/evicted/eviction"), enclosed("policy/v1", "Eviction", &eviction))
            .await;
    assert_eq!(evicted.code, 201, "{evicted:?}");
    let deleted = send(&h, &format!("DELETE {pods}/deleted"), recorded(DELETE)).await;
    assert_eq!(deleted.code, 200, "{deleted:?}");
    for name in ["evicted", "deleted"] {
        assert_eq!(h.send(&format!("GET {pods}/{name}"), &json!({})).await.code, 404, "{name}");
    }
    let other = send(&h, &format!("DELETE {pods}/bound"), recorded(SECRET)).await;
    assert_eq!(
        (other.code, other.message().as_str()),
        (400, "the body must be a message of DeleteOptions, not of Secret")
    );

    let deployments = "/apis/apps/v1/namespaces/default/deployments";
    send(&h, &format!("POST {deployments}"), recorded(DEPLOYMENT)).await;
    let scale = message(&[(1, &message(&[(1, b"z")])), (2, b"\x08\x03")]);
    let scaled =
        send(&h, &format!("PUT {deployments}/z/scale"), enclosed("autoscaling/v1", "Scale", &scale)).await;
    assert_eq!((scaled.code, &scaled.json()["spec"]["replicas"]), (200, &json!(3)), "{scaled:?}");

    let may = send(&h, "POST /apis/authorization.k8s.io/v1/selfsubjectaccessreviews", recorded(MAY_I)).await;
    assert_eq!((may.code, &may.json()["status"]), (201, &json!({"allowed": true})), "{may:?}");
    let who = send(&h, "POST /apis/authentication.k8s.io/v1/selfsubjectreviews", recorded(WHO_AM_I)).await;
    assert!(who.code == 201 && who.json()["status"]["userInfo"]["username"].is_string(), "{who:?}");

    let event = message(&[
        (1, &message(&[(1, b"e"), (3, b"default")])),
        (4, b"x.example"),
        (5, b"x-1"),
        (6, b"Did"),
        (7, b"Tested"),
        (8, &message(&[(1, b"Pod"), (2, b"default"), (3, b"bound")])),
        (10, b"a note"),
        (11, b"Normal"),
        (2, b"\x08\x80\x8c\xdd\xca\x06"),
    ]);
    let event = send(
        &h,
        "POST /apis/events.k8s.io/v1/namespaces/default/events",
        enclosed("events.k8s.io/v1", "Event", &event),
    )
    .await;
    assert_eq!(event.code, 201, "{event:?}");
    let stored = h.send("GET /api/v1/namespaces/default/events/e", &json!({})).await.json();
    let shown: [&Value; 3] =
        [&stored["message"], &stored["involvedObject"]["name"], &stored["reportingComponent"]];
    assert_eq!(shown, [&json!("a note"), &json!("bound"), &json!("x.example")]);
}

#[tokio::test]
async fn a_patch_is_never_protobuf() {
    let h = Harness::new().await;
    h.config_map("x", &json!({})).await;
    let answer = send(&h, "PATCH /api/v1/namespaces/default/configmaps/x", recorded(SECRET)).await;
    assert_eq!(
        (answer.code, answer.json()["reason"].as_str()),
        (415, Some("UnsupportedMediaType")),
        "{answer:?}"
    );
}
