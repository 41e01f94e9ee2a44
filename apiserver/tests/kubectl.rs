//! The requests that stock kubectl 1.32 was seen to send, command by command, against a small cluster.
//!
//! What is checked is what kubectl needs: the code, the form, and that the right objects come.

mod support;

use serde_json::{Value, json};
use support::Harness;

const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";
/// What typed clients accept: they would like protobuf and take JSON.
const TYPED: &str = "application/vnd.kubernetes.protobuf,application/json";
const PLAIN: &str = "application/json";

async fn cluster() -> Harness {
    let h = Harness::new().await;
    let class = json!({"metadata": {"name": "std"}, "provisioner": "x.example"});
    let claim = json!({"metadata": {"name": "c1"}, "spec": {"storageClassName": "std", "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}}}});
    let node = json!({"metadata": {"name": "n1"}});
    let sts = json!({"metadata": {"name": "web"}, "spec": {"serviceName": "web", "selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}});
    for (path, body) in [
        ("/apis/storage.k8s.io/v1/storageclasses", class),
        ("/api/v1/namespaces/default/persistentvolumeclaims", claim),
        ("/api/v1/nodes", node),
        ("/apis/apps/v1/namespaces/default/statefulsets", sts),
    ] {
        let made = h.send(&format!("POST {path}"), &body).await;
        assert_eq!(made.code, 201, "{made:?}");
    }
    h.pod("p1", Some("n1")).await;
    h.pod("p2", None).await;
    h
}

/// The names that come, of items or rows; the one object's name; or the kind and code of a Status.
fn names(answer: &Value) -> String {
    let name = |object: &Value| object["metadata"]["name"].as_str().unwrap_or("-").to_owned();
    match (answer["items"].as_array(), answer["rows"].as_array()) {
        (Some(items), _) => items.iter().map(name).collect::<Vec<_>>().join(" "),
        (_, Some(rows)) => rows.iter().map(|row| name(&row["object"])).collect::<Vec<_>>().join(" "),
        _ if answer["kind"] == "Status" => {
            answer["reason"].as_str().or(answer["status"].as_str()).unwrap_or("").to_owned()
        }
        _ => name(answer),
    }
}

#[tokio::test]
async fn reading() {
    let h = cluster().await;
    let rows = [
        // get
        ("/api/v1/persistentvolumeclaims?limit=500", TABLE, "c1"),
        ("/api/v1/namespaces/default/pods?limit=500", TABLE, "p1 p2"),
        ("/api/v1/namespaces/default/pods?includeObject=Object", TABLE, "p1 p2"),
        ("/api/v1/namespaces/default/persistentvolumeclaims/c1/status", TABLE, "c1"),
        (
            "/api/v1/namespaces/default/pods?fieldSelector=status.phase%3DRunning&labelSelector=app%3Dx&limit=500",
            TABLE,
            "",
        ),
        ("/api/v1/namespaces/default/pods?labelSelector=a%3Db&limit=500", TABLE, ""),
        ("/api/v1/namespaces/default/persistentvolumeclaims/nope", PLAIN, "NotFound"),
        // describe: the claim, the pods that use it, its events with the selector's terms in any order
        ("/api/v1/namespaces/default/persistentvolumeclaims/c1", TYPED, "c1"),
        ("/api/v1/namespaces/default/pods?limit=500", TYPED, "p1 p2"),
        (
            "/api/v1/namespaces/default/events?fieldSelector=involvedObject.name%3Dc1%2CinvolvedObject.namespace%3Ddefault%2CinvolvedObject.kind%3DPersistentVolumeClaim%2CinvolvedObject.uid%3Du&limit=500",
            TYPED,
            "about-c1",
        ),
        (
            "/api/v1/namespaces/default/events?fieldSelector=involvedObject.kind%3DPersistentVolumeClaim%2CinvolvedObject.apiVersion%3Dv1%2CinvolvedObject.name%3Dc1&limit=500",
            TYPED,
            "about-c1",
        ),
        // describe node, drain
        (
            "/api/v1/events?fieldSelector=involvedObject.name%3Dn1%2CinvolvedObject.namespace%3D%2CinvolvedObject.kind%3DNode%2CinvolvedObject.uid%3Dn1&limit=500",
            TYPED,
            "",
        ),
        (
            "/api/v1/pods?fieldSelector=spec.nodeName%3Dn1%2Cstatus.phase%21%3DSucceeded%2Cstatus.phase%21%3DFailed&limit=500",
            TYPED,
            "p1",
        ),
        ("/api/v1/pods?fieldSelector=spec.nodeName%3Dn1&limit=500", TYPED, "p1"),
        ("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/n1", TYPED, "NotFound"),
        // wait, rollout
        (
            "/api/v1/namespaces/default/persistentvolumeclaims?fieldSelector=metadata.name%3Dc1&limit=500&resourceVersion=0",
            PLAIN,
            "c1",
        ),
        (
            "/apis/apps/v1/namespaces/default/statefulsets?fieldSelector=metadata.name%3Dweb&limit=500&resourceVersion=0",
            PLAIN,
            "web",
        ),
        ("/apis/apps/v1/namespaces/default/controllerrevisions?labelSelector=a%3Db", TYPED, ""),
        // cluster-info, and what is not served
        (
            "/api/v1/namespaces/kube-system/services?labelSelector=kubernetes.io%2Fcluster-service%3Dtrue",
            PLAIN,
            "",
        ),
        ("/apis/metrics.k8s.io/v1beta1/nodes", TYPED, "NotFound"),
        ("/apis/snapshot.storage.k8s.io/v1/namespaces/default/volumesnapshots/s1", PLAIN, "NotFound"),
    ];
    let event = json!({"metadata": {"name": "about-c1"}, "involvedObject": {"apiVersion": "v1", "namespace": "default",
        "kind": "PersistentVolumeClaim", "name": "c1", "uid": "u"}, "reason": "R", "message": "m", "type": "Normal"});
    assert_eq!(h.send("POST /api/v1/namespaces/default/events", &event).await.code, 201);
    for (path, accept, expected) in rows {
        let answer = h.ask(&format!("GET {path}"), &[&format!("accept: {accept}")], "").await;
        assert_eq!(answer.header("content-type"), "application/json", "{path}");
        assert_eq!(names(&answer.json()), expected, "{path}: {answer:?}");
    }
}

#[tokio::test]
async fn writing() {
    const STRATEGIC: &str = "application/strategic-merge-patch+json";
    let h = cluster().await;
    let config_map =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "cm1"}, "data": {"a": "1"}});
    let options = |policy: &str| json!({"propagationPolicy": policy});
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"creationTimestamp": null, "name": "p1"},
        "spec": {"ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}], "selector": {"a": "b"}},
        "status": {"loadBalancer": {}}});
    let taint = json!({"spec": {"taints": [{"effect": "NoExecute", "key": "node.kubernetes.io/out-of-service", "value": "nodeshutdown"}]}});
    let image = json!({"spec": {"template": {"spec": {"$setElementOrder/containers": [{"name": "c"}],
        "containers": [{"image": "busybox:2", "name": "c"}]}}}});
    let annotation = |name: &str| json!({"metadata": {"annotations": {name: "x"}}});
    let rows: Vec<(&str, &str, Value, u16, &str)> = vec![
        // apply, create, replace
        (
            "POST /api/v1/namespaces/default/configmaps?dryRun=All&fieldManager=kubectl-client-side-apply",
            PLAIN,
            config_map.clone(),
            201,
            "cm1",
        ),
        (
            "POST /api/v1/namespaces/default/configmaps?fieldManager=kubectl-client-side-apply&fieldValidation=Strict",
            PLAIN,
            config_map.clone(),
            201,
            "cm1",
        ),
        (
            "PATCH /api/v1/namespaces/default/configmaps/cm1?fieldManager=kubectl-client-side-apply&fieldValidation=Strict",
            STRATEGIC,
            json!({"data": {"a": "2"}}),
            200,
            "cm1",
        ),
        (
            "PATCH /api/v1/namespaces/default/configmaps/cm1?dryRun=All&fieldManager=kubectl-client-side-apply&fieldValidation=Strict",
            STRATEGIC,
            json!({"data": {"a": "3"}}),
            200,
            "cm1",
        ),
        (
            "PUT /api/v1/namespaces/default/configmaps/cm1?fieldManager=kubectl-replace&fieldValidation=Strict",
            PLAIN,
            config_map,
            200,
            "cm1",
        ),
        // label, annotate, taint, cordon, set image, rollout restart, expose
        (
            "PATCH /api/v1/namespaces/default/persistentvolumeclaims/c1?fieldManager=kubectl-label",
            "application/merge-patch+json",
            json!({"metadata": {"labels": {"x": "y"}}}),
            200,
            "c1",
        ),
        (
            "PATCH /api/v1/namespaces/default/persistentvolumeclaims/c1?fieldManager=kubectl-annotate",
            "application/merge-patch+json",
            annotation("x"),
            200,
            "c1",
        ),
        (
            "PATCH /api/v1/nodes/n1?fieldManager=kubectl-taint&fieldValidation=Strict",
            STRATEGIC,
            taint,
            200,
            "n1",
        ),
        ("PATCH /api/v1/nodes/n1", STRATEGIC, json!({"spec": {"unschedulable": true}}), 200, "n1"),
        (
            "PATCH /apis/apps/v1/namespaces/default/statefulsets/web?fieldManager=kubectl-set",
            STRATEGIC,
            image,
            200,
            "web",
        ),
        (
            "PATCH /apis/apps/v1/namespaces/default/statefulsets/web?fieldManager=kubectl-rollout",
            STRATEGIC,
            json!({"spec": {"template": {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "2026-01-01T00:00:00Z"}}}}}),
            200,
            "web",
        ),
        ("POST /api/v1/namespaces/default/services?fieldManager=kubectl-expose", PLAIN, service, 201, "p1"),
        // patch --subresource=status
        (
            "PATCH /api/v1/namespaces/default/persistentvolumeclaims/c1/status?fieldManager=kubectl-patch",
            "application/merge-patch+json",
            json!({"status": {"phase": "Lost"}}),
            200,
            "c1",
        ),
        // delete, delete --cascade=orphan, delete --force
        ("DELETE /api/v1/namespaces/default/configmaps/cm1", PLAIN, options("Background"), 200, "Success"),
        (
            "DELETE /apis/apps/v1/namespaces/default/statefulsets/web",
            PLAIN,
            options("Background"),
            200,
            "Success",
        ),
        (
            "DELETE /api/v1/namespaces/default/pods/p1",
            PLAIN,
            json!({"gracePeriodSeconds": 0, "propagationPolicy": "Background"}),
            200,
            "Success",
        ),
        ("DELETE /api/v1/namespaces/default/configmaps/cm1", PLAIN, options("Background"), 404, "NotFound"),
    ];
    for (what, content_type, body, code, expected) in rows {
        let headers = ["accept: application/json", &format!("content-type: {content_type}")];
        let answer = h.ask(what, &headers, body.to_string()).await;
        assert_eq!(
            (answer.code, names(&answer.json()).as_str()),
            (code, expected),
            "{what} {body}: {answer:?}"
        );
    }
    let sts = h.get("/api/v1/namespaces/default/configmaps").await.json();
    assert_eq!(names(&sts), "", "the dry runs left nothing");
}

/// `get -w` lists with a limit and watches in tables; `events -w` does both in one request with a limit.
#[tokio::test]
async fn watching() {
    let h = cluster().await;
    let accept = format!("accept: {TABLE}");
    let list = h.ask("GET /api/v1/namespaces/default/pods?limit=500", &[&accept], "").await.json();
    let version = list["metadata"]["resourceVersion"].as_str().expect("has a version");
    let path = format!("GET /api/v1/namespaces/default/pods?resourceVersion={version}&timeout=2s&watch=true");
    let mut watch = support::Lines::new(h.open(&path, &[&accept], "").await);
    h.pod("p3", None).await;
    let event = watch.next().await.expect("is told");
    assert_eq!((&event["type"], names(&event["object"]).as_str()), (&json!("ADDED"), "p3"));
    let path = "GET /api/v1/namespaces/default/pods?limit=500&watch=true";
    let mut watch = support::Lines::new(h.open(path, &[&format!("accept: {TYPED}")], "").await);
    for expected in ["ADDED p1", "ADDED p2", "ADDED p3"] {
        assert_eq!(watch.event().await, expected);
    }
}
