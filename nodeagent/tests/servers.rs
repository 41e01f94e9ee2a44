//! A file server that hangs holds nobody up but those who want it, and everything goes on when it is back.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod harness;

use harness::{Cluster, claim, pod};
use orlop_objects::kind;
use serde_json::{Value, json};

const SERVER: &str = "nfs";
const SHARE: &str = "/srv";

async fn start() -> Cluster {
    let cluster = Cluster::start().await;
    cluster.machine.serve(SERVER, SHARE, 1 << 30);
    let class = json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "shared"},
        "provisioner": "nfs.csi.k8s.io", "parameters": {"server": SERVER, "share": SHARE}});
    cluster.create(&kind::STORAGE_CLASS, class).await;
    cluster
}

async fn create_shared_claim(cluster: &Cluster, name: &str) {
    let body = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name},
        "spec": {"storageClassName": "shared", "accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Mi"}}}});
    cluster.create(&kind::PERSISTENT_VOLUME_CLAIM, body).await;
}

fn by_path() -> Value {
    json!({"volumes": [{"name": "data", "nfs": {"server": SERVER, "path": SHARE}}],
        "containers": [{"name": "main", "image": "busybox", "command": ["sleep", "1000"],
            "volumeMounts": [{"name": "data", "mountPath": "/data"}]}]})
}

/// Waits until an Event on the pod says so.
async fn until_told(cluster: &Cluster, pod: &str, reason: &str) -> String {
    let told = async {
        loop {
            let events = cluster.client.list(&kind::EVENT, Some("default"), &[]).await.unwrap();
            let of = |e: &&Value| e["involvedObject"]["name"] == pod && e["reason"] == reason;
            let events: Vec<Value> = events.iter().map(|event| event.value()).collect();
            if let Some(event) = events.iter().find(of) {
                return event["message"].as_str().unwrap().to_owned();
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), told).await.expect("an Event")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_holds_up_only_who_wants_it() {
    let cluster = start().await;
    let agent = cluster.agent().await;
    create_shared_claim(&cluster, "before").await;
    cluster.create_pod("user", Some("before"), json!({})).await;
    cluster.create_pod("by-path", None, by_path()).await;
    cluster.until_running("user").await;
    cluster.until_running("by-path").await;

    cluster.machine.let_server_hang(SERVER, true);
    create_shared_claim(&cluster, "during").await;
    cluster.create_pod("waiting", Some("during"), json!({})).await;
    cluster.create_pod("second", Some("before"), json!({})).await;
    // Who does not want it starts; who used it goes.
    cluster.create_claim("local").await;
    cluster.create_pod("local", Some("local"), json!({})).await;
    cluster.until_running("local").await;
    for gone in ["user", "by-path", "local"] {
        cluster.delete(&pod(gone)).await;
        cluster.until_gone(&pod(gone)).await;
    }
    for gone in ["user", "by-path"] {
        let said = until_told(&cluster, gone, "VolumeServerSilent").await;
        assert!(said.contains("did not answer") && said.contains("lost if the node goes down"), "{said}");
    }
    for held in ["waiting", "second"] {
        assert_ne!(cluster.get(&pod(held)).await["status"]["phase"], "Running", "{held}");
    }

    cluster.machine.let_server_hang(SERVER, false);
    cluster.until_running("waiting").await;
    cluster.until_running("second").await;
    for name in ["waiting", "second"] {
        cluster.delete(&pod(name)).await;
        cluster.until_gone(&pod(name)).await;
    }
    for name in ["before", "during", "local"] {
        cluster.delete(&claim(name)).await;
        cluster.until_gone(&claim(name)).await;
    }
    agent.stop().await;
    cluster.stop().await;
}
