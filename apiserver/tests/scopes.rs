//! What a node's lists and watches show: its own objects, as they become so and cease to be.

mod support;

use orlop_apiserver::Identity;
use serde_json::{Value, json};
use support::{Harness, Lines};

const CLAIMS: &str = "/api/v1/namespaces/default/persistentvolumeclaims";
const VOLUMES: &str = "/api/v1/persistentvolumes";
const PODS: &str = "/api/v1/namespaces/default/pods";

async fn created(h: &Harness, path: &str, body: Value) {
    let answer = h.send(&format!("POST {path}"), &body).await;
    assert_eq!(answer.code, 201, "{answer:?}");
}

fn claim(name: &str, volume: Option<&str>) -> Value {
    json!({"metadata": {"name": name}, "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "c",
        "volumeName": volume, "resources": {"requests": {"storage": "1Gi"}}}})
}

fn volume(name: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"],
        "storageClassName": "c", "csi": {"driver": "x.example", "volumeHandle": name}}})
}

fn pod(name: &str, node: &str, claim: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {"nodeName": node, "containers": [{"name": "c", "image": "i"}],
        "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": claim}}]}})
}

/// Lists as the node, and watches on from there.
async fn follow(node: &Harness, path: &str) -> (Vec<String>, Lines) {
    let list = node.get(path).await.json();
    let items = list["items"].as_array().expect("is a list").iter();
    let names = items.map(|item| item["metadata"]["name"].as_str().expect("has a name").to_owned()).collect();
    let version = list["metadata"]["resourceVersion"].as_str().expect("has a version");
    let watch = node.open(&format!("GET {path}?watch=true&resourceVersion={version}"), &[], "").await;
    (names, Lines::new(watch))
}

#[tokio::test]
async fn a_claim_and_its_volume_are_a_nodes_as_long_as_a_pod_names_them() {
    let h = Harness::new().await;
    let node = h.as_user(Identity::node("n")).await;
    created(&h, VOLUMES, volume("pv")).await;
    created(&h, CLAIMS, claim("data", Some("pv"))).await;
    let (claims, mut claim_events) = follow(&node, "/api/v1/persistentvolumeclaims").await;
    let (volumes, mut volume_events) = follow(&node, VOLUMES).await;
    let (pods, mut pod_events) = follow(&node, "/api/v1/pods").await;
    assert!(claims.is_empty() && volumes.is_empty() && pods.is_empty(), "{claims:?} {volumes:?} {pods:?}");

    created(&h, PODS, pod("elsewhere", "m", "data")).await;
    created(&h, PODS, pod("here", "n", "data")).await;
    assert_eq!(pod_events.event().await, "ADDED here");
    assert_eq!(claim_events.event().await, "ADDED data");
    assert_eq!(volume_events.event().await, "ADDED pv");
    let label = json!({"metadata": {"labels": {"a": "b"}}}).to_string();
    let merge = ["content-type: application/merge-patch+json"];
    assert_eq!(h.ask(&format!("PATCH {CLAIMS}/data"), &merge, label.clone()).await.code, 200);
    assert_eq!(h.ask(&format!("PATCH {VOLUMES}/pv"), &merge, label).await.code, 200);
    assert_eq!(claim_events.event().await, "MODIFIED data");
    assert_eq!(volume_events.event().await, "MODIFIED pv");
    assert_eq!(follow(&node, VOLUMES).await.0, ["pv"]);

    assert_eq!(h.ask(&format!("DELETE {PODS}/here?gracePeriodSeconds=0"), &[], "").await.code, 200);
    assert_eq!(pod_events.event().await, "DELETED here");
    assert_eq!(claim_events.event().await, "DELETED data");
    assert_eq!(volume_events.event().await, "DELETED pv");
    assert_eq!(node.get(&format!("{VOLUMES}/pv")).await.code, 403);
}

#[tokio::test]
async fn an_attached_volume_is_a_nodes_as_long_as_it_is_attached() {
    let h = Harness::new().await;
    let node = h.as_user(Identity::node("n")).await;
    for name in ["pv", "other"] {
        created(&h, VOLUMES, volume(name)).await;
    }
    let (_, mut events) = follow(&node, VOLUMES).await;
    let attachments = "/apis/storage.k8s.io/v1/volumeattachments";
    for (node, volume) in [("m", "other"), ("n", "pv")] {
        let body = json!({"metadata": {"name": format!("to-{node}")}, "spec": {"attacher": "x.example",
            "nodeName": node, "source": {"persistentVolumeName": volume}}});
        created(&h, attachments, body).await;
    }
    assert_eq!(events.event().await, "ADDED pv");
    assert_eq!(h.ask(&format!("DELETE {attachments}/to-n"), &[], "").await.code, 200);
    assert_eq!(events.event().await, "DELETED pv");
}

#[tokio::test]
async fn a_view_that_is_no_longer_known_is_listed_again() {
    let h = Harness::new().await;
    let node = h.as_user(Identity::node("n")).await;
    let list = node.get(VOLUMES).await.json();
    let version = list["metadata"]["resourceVersion"].as_str().expect("has a version").to_owned();
    // Lists that somebody else continues are kept; this many take the place of the first.
    for n in 0..70 {
        h.config_map(&format!("m{n}"), &json!({})).await;
        node.get(VOLUMES).await;
    }
    let watch = node.open(&format!("GET {VOLUMES}?watch=true&resourceVersion={version}"), &[], "").await;
    let event = Lines::new(watch).next().await.expect("says so");
    assert_eq!((&event["type"], &event["object"]["code"]), (&json!("ERROR"), &json!(410)));
}

#[tokio::test]
async fn a_node_changes_nothing_that_others_decide() {
    let h = Harness::new().await;
    let node = h.as_user(Identity::node("n")).await;
    let own = json!({"metadata": {"name": "n", "annotations": {"orlop.dev/node-key": "sha256:1"}}});
    created(&h, "/api/v1/nodes", own).await;
    let merge = ["content-type: application/merge-patch+json"];
    let rows = [
        (json!({"metadata": {"labels": {"a": "b"}}}), 200),
        (json!({"spec": {"taints": [{"key": "k", "effect": "NoSchedule"}]}}), 403),
        (json!({"spec": {"unschedulable": true}}), 403),
        (json!({"metadata": {"annotations": {"orlop.dev/node-key": "sha256:2"}}}), 200),
    ];
    for (patch, code) in rows {
        let answer = node.ask("PATCH /api/v1/nodes/n", &merge, patch.to_string()).await;
        assert_eq!(answer.code, code, "{patch}: {answer:?}");
    }
    let bare = json!({"metadata": {"name": "n"}});
    assert_eq!(h.send("PUT /api/v1/nodes/n", &bare).await.code, 200);
    let key = h.get("/api/v1/nodes/n").await.json()["metadata"]["annotations"]["orlop.dev/node-key"].clone();
    assert_eq!(key, "sha256:1", "nobody changes who speaks for a node");
}
