//! Requests whose body is held back: what is a node's is asked when its write is decided, and nobody is waited for for long.

mod support;

use orlop_apiserver::Identity;
use serde_json::{Value, json};
use support::Harness;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

/// A request of which the head is sent, and of which the server has begun to read the body.
struct HeldBack {
    stream: DuplexStream,
    body: String,
}

impl HeldBack {
    async fn begin(h: &Harness, who: Identity, what: &str, form: &str, body: &Value) -> Self {
        let body = body.to_string();
        let mut stream = h.server.connect(who);
        let head = format!(
            "{what} HTTP/1.1\r\nhost: test\r\ncontent-type: {form}\r\ncontent-length: {}\r\nexpect: 100-continue\r\n\
             connection: close\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).await.expect("is sent");
        let mut asked = [0; "HTTP/1.1 100 Continue\r\n\r\n".len()];
        stream.read_exact(&mut asked).await.expect("is asked for the body");
        assert!(asked.starts_with(b"HTTP/1.1 100"), "{}", String::from_utf8_lossy(&asked));
        Self { stream, body }
    }

    /// Sends the body; answers the code and the message.
    async fn end(mut self) -> (u16, String) {
        self.stream.write_all(self.body.as_bytes()).await.expect("is sent");
        answer(self.stream).await
    }
}

async fn answer(mut stream: DuplexStream) -> (u16, String) {
    let mut text = String::new();
    stream.read_to_string(&mut text).await.expect("is answered");
    let (head, body) = text.split_once("\r\n\r\n").expect("has a head");
    let code = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("has a code");
    let status: Value = serde_json::from_str(body).expect("is JSON");
    (code, status["message"].as_str().unwrap_or_default().to_owned())
}

const POD: &str = "/api/v1/namespaces/default/pods/web-0";

#[tokio::test]
async fn a_pod_that_left_while_the_body_was_held_back_is_no_more_the_nodes() {
    let merge = "application/merge-patch+json";
    let running = json!({"status": {"phase": "Running"}});
    let now = json!({"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0});
    let rows = [
        (format!("PATCH {POD}/status"), merge, running.clone(), "patch", "pods/status"),
        (format!("DELETE {POD}"), "application/json", now.clone(), "delete", "pods"),
    ];
    for (what, form, body, verb, resource) in rows {
        let h = Harness::new().await;
        h.pod("web-0", Some("a")).await;
        let held = HeldBack::begin(&h, Identity::node("a"), &what, form, &body).await;
        assert_eq!(h.send(&format!("DELETE {POD}"), &now).await.code, 200);
        let moved = h.pod("web-0", Some("b")).await;
        let (code, message) = held.end().await;
        let refused = format!(
            "pods \"web-0\" is forbidden: User \"system:node:a\" cannot {verb} resource \"{resource}\" in API group \"\" in \
             the namespace \"default\": node \"a\" can only change pods that are at it"
        );
        assert_eq!((code, message), (403, refused));
        let found = h.get(POD).await.json();
        assert_eq!(found["metadata"]["resourceVersion"], moved["metadata"]["resourceVersion"]);
        // Whose it is may, held back or not.
        let held = HeldBack::begin(&h, Identity::node("b"), &what, form, &body).await;
        assert_eq!(held.end().await.0, 200, "{what}");
    }
}

#[tokio::test]
async fn what_replaces_a_status_is_asked_again_as_well() {
    let h = Harness::new().await;
    let mut pod = h.pod("web-0", Some("a")).await;
    pod["metadata"] = json!({"name": "web-0"});
    let what = format!("PUT {POD}/status");
    let held = HeldBack::begin(&h, Identity::node("a"), &what, "application/json", &pod).await;
    assert_eq!(h.ask(&format!("DELETE {POD}?gracePeriodSeconds=0"), &[], "").await.code, 200);
    h.pod("web-0", Some("b")).await;
    assert_eq!(held.end().await.0, 403);
}

#[tokio::test]
async fn a_claim_given_to_another_node_gets_no_volume_of_the_first() {
    let h = Harness::new().await;
    let class = json!({"metadata": {"name": "c"}, "provisioner": "loop.orlop.dev"});
    assert_eq!(h.send("POST /apis/storage.k8s.io/v1/storageclasses", &class).await.code, 201);
    let claims = "/api/v1/namespaces/default/persistentvolumeclaims";
    let claim = json!({"metadata": {"name": "data", "annotations": {"volume.kubernetes.io/selected-node": "a"}},
        "spec": {"storageClassName": "c", "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}});
    let claim = h.send(&format!("POST {claims}"), &claim).await.json();
    let uid = claim["metadata"]["uid"].as_str().expect("has one").to_owned();
    let volume = |node: &str| {
        let name = format!("pvc-{uid}");
        json!({"metadata": {"name": name, "annotations":
                {"volume.orlop.dev/keeper": node, "pv.kubernetes.io/provisioned-by": "loop.orlop.dev"}},
            "spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": "c",
                "persistentVolumeReclaimPolicy": "Delete",
                "claimRef": {"namespace": "default", "name": "data", "uid": uid},
                "csi": {"driver": "loop.orlop.dev", "volumeHandle": name}}})
    };
    let what = "POST /api/v1/persistentvolumes";
    let held = HeldBack::begin(&h, Identity::node("a"), what, "application/json", &volume("a")).await;
    let merge = ["content-type: application/merge-patch+json"];
    let given = json!({"metadata": {"annotations": {"volume.kubernetes.io/selected-node": "b"}}});
    assert_eq!(h.ask(&format!("PATCH {claims}/data"), &merge, given.to_string()).await.code, 200);
    let (code, message) = held.end().await;
    assert_eq!(code, 403, "{message}");
    assert!(message.ends_with("it is for no claim whose volume this node is to make"), "{message}");
    let held = HeldBack::begin(&h, Identity::node("b"), what, "application/json", &volume("b")).await;
    assert_eq!(held.end().await.0, 201);
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let h = Harness::new().await;
    let body = json!({"metadata": {"name": "x"}});
    let what = "POST /api/v1/namespaces/default/configmaps";
    let mut held = HeldBack::begin(&h, Identity::admin(), what, "application/json", &body).await;
    held.stream.write_all(&held.body.as_bytes()[..5]).await.expect("is sent");
    // Nothing else is left to happen: the clock goes on to the next thing that waits for it.
    tokio::time::pause();
    let refused = "the request body did not come within 30 s; send it again".to_owned();
    assert_eq!(answer(held.stream).await, (408, refused));
}
