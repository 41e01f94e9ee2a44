//! What a node may do, row by row, in a cluster of two nodes with a pod each.

use orlop_objects::{keeper, kind};
use orlop_registry::{Registry, Who};
use orlop_store::Store;
use serde_json::json;

use super::*;

async fn cluster() -> Snapshot {
    let registry = Registry::new(Store::in_memory());
    let who = Who { user: "test".into(), manager: "test".into() };
    registry
        .create(&kind::NAMESPACE, "", json!({"metadata": {"name": "a"}}), &who, false)
        .await
        .expect("is created");
    for node in ["mine", "other"] {
        let body = json!({"metadata": {"name": format!("on-{node}")}, "spec": {
            "nodeName": node,
            "imagePullSecrets": [{"name": format!("for-{node}")}],
            "containers": [{"name": "c", "image": "i"}]}});
        registry.create(&kind::POD, "a", body, &who, false).await.expect("is created");
        let body = json!({"metadata": {"name": format!("to-{node}")}, "spec": {"attacher": "x.example",
            "nodeName": node, "source": {"persistentVolumeName": "pv"}}});
        registry.create(&kind::VOLUME_ATTACHMENT, "", body, &who, false).await.expect("is created");
        let body = json!({
            "metadata": {"name": format!("for-{node}"), "annotations": {"volume.kubernetes.io/selected-node": node}},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}});
        registry.create(&kind::PERSISTENT_VOLUME_CLAIM, "a", body, &who, false).await.expect("is created");
        let terms = json!([{"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}]}]);
        let body = json!({"metadata": {"name": format!("of-{node}")}, "spec": {"capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"], "csi": {"driver": "x.example", "volumeHandle": format!("h-{node}")},
            "nodeAffinity": {"required": {"nodeSelectorTerms": terms}}}});
        registry.create(&kind::PERSISTENT_VOLUME, "", body, &who, false).await.expect("is created");
        // On a pool that all nodes see: the keeper is who may change it.
        let name = format!("pvc-kept-by-{node}");
        let made_by = json!({keeper::PROVISIONED_BY: "x.example", keeper::KEEPER: node});
        let body = json!({"metadata": {"name": name, "annotations": made_by}, "spec": {
            "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"],
            "csi": {"driver": "x.example", "volumeHandle": name}}});
        registry.create(&kind::PERSISTENT_VOLUME, "", body, &who, false).await.expect("is created");
    }
    registry.snapshot()
}

#[tokio::test]
async fn nodes() {
    let (snapshot, node) = (cluster().await, Identity::node("mine"));
    let check = |verb: &str, kind: &'static Kind, sub: &str, namespace: &str, name: &str| {
        let wish = Attributes { verb, kind, subresource: sub, namespace, name };
        decide(&snapshot, &node, wish).is_ok()
    };
    let rows: Vec<(&str, &'static Kind, &str, &str, &str, bool)> = vec![
        ("list", &kind::POD, "", "", "", true),
        ("watch", &kind::VOLUME_ATTACHMENT, "", "", "", true),
        ("list", &kind::PERSISTENT_VOLUME_CLAIM, "", "", "", true),
        ("create", &kind::NODE, "", "", "", true),
        ("patch", &kind::NODE, "", "", "mine", true),
        ("patch", &kind::NODE, "status", "", "mine", true),
        ("patch", &kind::NODE, "status", "", "other", false),
        ("delete", &kind::NODE, "", "", "mine", false),
        ("update", &kind::LEASE, "", "kube-node-lease", "mine", true),
        ("update", &kind::LEASE, "", "kube-node-lease", "other", false),
        ("create", &kind::LEASE, "", "kube-node-lease", "", true),
        ("create", &kind::LEASE, "", "a", "", false),
        ("update", &kind::LEASE, "", "a", "mine", false),
        ("patch", &kind::CSI_NODE, "", "", "mine", true),
        ("patch", &kind::CSI_NODE, "", "", "other", false),
        ("patch", &kind::POD, "status", "a", "on-mine", true),
        ("patch", &kind::POD, "status", "a", "on-other", false),
        ("delete", &kind::POD, "", "a", "on-mine", true),
        ("delete", &kind::POD, "", "a", "on-other", false),
        ("patch", &kind::POD, "", "a", "on-mine", false),
        ("create", &kind::POD, "", "a", "", false),
        ("create", &kind::POD, "binding", "a", "on-mine", false),
        ("create", &kind::PERSISTENT_VOLUME, "", "", "", true),
        ("patch", &kind::PERSISTENT_VOLUME, "", "", "of-mine", true),
        ("patch", &kind::PERSISTENT_VOLUME, "", "", "of-other", false),
        ("patch", &kind::PERSISTENT_VOLUME, "", "", "pvc-kept-by-mine", true),
        ("patch", &kind::PERSISTENT_VOLUME, "", "", "pvc-kept-by-other", false),
        ("delete", &kind::PERSISTENT_VOLUME, "", "", "pv", false),
        ("patch", &kind::PERSISTENT_VOLUME_CLAIM, "", "a", "for-mine", true),
        ("patch", &kind::PERSISTENT_VOLUME_CLAIM, "", "a", "for-other", false),
        ("delete", &kind::PERSISTENT_VOLUME_CLAIM, "", "a", "c", false),
        ("patch", &kind::VOLUME_ATTACHMENT, "status", "", "to-mine", true),
        ("patch", &kind::VOLUME_ATTACHMENT, "status", "", "to-other", false),
        ("patch", &kind::VOLUME_ATTACHMENT, "", "", "to-mine", true),
        ("patch", &kind::VOLUME_ATTACHMENT, "", "", "to-other", false),
        ("create", &kind::VOLUME_ATTACHMENT, "", "", "", false),
        ("create", &kind::EVENT, "", "a", "", true),
        ("create", &crate::events::SHOWN, "", "a", "", true),
        ("list", &kind::SECRET, "", "a", "", false),
        ("get", &kind::SECRET, "", "a", "for-mine", true),
        ("get", &kind::SECRET, "", "a", "for-other", false),
        ("get", &kind::SECRET, "", "b", "for-mine", false),
        ("create", &kind::STORAGE_CLASS, "", "", "", false),
        ("get", &kind::DEPLOYMENT, "", "a", "d", false),
    ];
    for (verb, kind, sub, namespace, name, allowed) in rows {
        let found = check(verb, kind, sub, namespace, name);
        assert_eq!(found, allowed, "{verb} {}/{sub} {namespace}/{name}", kind.plural);
    }
}

#[tokio::test]
async fn refusals_are_in_kubernetes_words() {
    let (snapshot, node) = (cluster().await, Identity::node("mine"));
    let wish =
        Attributes { verb: "get", kind: &kind::DEPLOYMENT, subresource: "", namespace: "y", name: "d" };
    let failure = check(&snapshot, &node, wish).expect_err("no rule allows it");
    assert_eq!(
        failure.message,
        "deployments.apps \"d\" is forbidden: User \"system:node:mine\" cannot get resource \"deployments\" in API \
         group \"apps\" in the namespace \"y\""
    );
    let wish = Attributes { verb: "list", kind: &kind::SECRET, subresource: "", namespace: "", name: "" };
    let stranger = Identity::named("x");
    let failure = check(&snapshot, &stranger, wish).expect_err("no rule allows it");
    assert_eq!(
        failure.message,
        "secrets is forbidden: User \"x\" cannot list resource \"secrets\" in API group \"\" at the cluster scope"
    );
}

#[tokio::test]
async fn what_is_created_must_carry_the_nodes_name() {
    let node = Identity::node("mine");
    let check = |kind, name| {
        let wish = Attributes { verb: "create", kind, subresource: "", namespace: "", name: "" };
        check_created(&node, wish, name).is_ok()
    };
    assert!(
        check(&kind::NODE, "mine") && check(&kind::CSI_NODE, "mine") && check(&kind::PERSISTENT_VOLUME, "pv")
    );
    assert!(!check(&kind::NODE, "other") && !check(&kind::LEASE, "other"));
}

#[tokio::test]
async fn administrators_may_do_everything() {
    let wish = Attributes { verb: "delete", kind: &kind::SECRET, subresource: "", namespace: "y", name: "s" };
    assert!(check(&cluster().await, &Identity::admin(), wish).is_ok());
}
