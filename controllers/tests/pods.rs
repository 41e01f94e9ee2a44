//! How pods find their places, or hear why not.

mod cluster;

use cluster::{Cluster, claim, claim_key, pod, pod_key, volume_key};
use orlop_objects::{Key, kind};
use orlop_registry::Part;
use serde_json::{Value, json};

fn shared(name: &str, nodes: &[&str]) -> Value {
    json!({"metadata": {"name": name}, "spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"],
        "persistentVolumeReclaimPolicy": "Retain", "storageClassName": "manual",
        "csi": {"driver": "net.example.com", "volumeHandle": name},
        "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [
            {"key": "kubernetes.io/hostname", "operator": "In", "values": nodes}]}]}}}})
}

fn on(node: &str, mut pod: Value) -> Value {
    pod["spec"]["nodeName"] = node.into();
    pod
}

fn manual(name: &str) -> Value {
    let mut claim = claim(name);
    claim["spec"]["storageClassName"] = "manual".into();
    claim
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_that_names_a_missing_claim_waits_for_it() {
    let cluster = Cluster::new(&["n1"]).await;
    cluster.create(&kind::POD, pod("web", "data")).await;
    cluster
        .until_said(
            "web",
            "FailedScheduling",
            "0/1 nodes are available: persistentvolumeclaim \"data\" not found.",
        )
        .await;
    let condition = cluster.get(&pod_key("web"))["status"]["conditions"][0].clone();
    assert_eq!((&condition["type"], &condition["reason"]), (&json!("PodScheduled"), &json!("Unschedulable")));
    cluster.create(&kind::PERSISTENT_VOLUME_CLAIM, claim("data")).await;
    cluster.until_is(&pod_key("web"), "/status/phase", json!("Running")).await;
    assert_eq!(cluster.get(&pod_key("web"))["status"]["conditions"][0]["status"], "True");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_waits_for_a_node() {
    let mut cluster = Cluster::without_nodes().await;
    cluster.create(&kind::PERSISTENT_VOLUME_CLAIM, claim("data")).await;
    cluster.create(&kind::POD, pod("web", "data")).await;
    cluster.until_said("web", "FailedScheduling", "no nodes available to schedule pods").await;
    cluster.add_node("n1").await;
    cluster.until_is(&pod_key("web"), "/status/phase", json!("Running")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_volume_for_one_node_is_not_attached_to_a_second_one() {
    let cluster = Cluster::new(&["n1", "n2"]).await;
    cluster.create(&kind::PERSISTENT_VOLUME, shared("v", &["n1", "n2"])).await;
    cluster.create(&kind::PERSISTENT_VOLUME_CLAIM, manual("data")).await;
    cluster.until_is(&claim_key("data"), "/status/phase", json!("Bound")).await;
    cluster.create(&kind::POD, on("n1", pod("first", "data"))).await;
    cluster.until_is(&pod_key("first"), "/status/phase", json!("Running")).await;
    cluster.create(&kind::POD, on("n2", pod("second", "data"))).await;
    cluster
        .until_said(
            "second",
            "FailedAttachVolume",
            "Multi-Attach error for volume \"v\" Volume is already used by pod(s) first",
        )
        .await;
    assert_eq!(cluster.names(&kind::VOLUME_ATTACHMENT).len(), 1);
    cluster.delete(&pod_key("first")).await;
    cluster.until_is(&pod_key("second"), "/status/phase", json!("Running")).await;
    assert_eq!(cluster.names(&kind::VOLUME_ATTACHMENT).len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_that_want_one_volume_at_once_get_it_one_after_the_other() {
    let mut cluster = Cluster::new(&["n1", "n2"]).await;
    cluster.create(&kind::PERSISTENT_VOLUME, shared("v", &["n1", "n2"])).await;
    cluster.create(&kind::PERSISTENT_VOLUME_CLAIM, manual("data")).await;
    cluster.until_is(&claim_key("data"), "/status/phase", json!("Bound")).await;
    cluster.stop().await;
    cluster.create(&kind::POD, on("n1", pod("a", "data"))).await;
    cluster.create(&kind::POD, on("n2", pod("b", "data"))).await;
    cluster.start();
    cluster.until_is(&pod_key("a"), "/status/phase", json!("Running")).await;
    cluster.until_said("b", "FailedAttachVolume", "Multi-Attach error").await;
    assert_eq!(cluster.names(&kind::VOLUME_ATTACHMENT).len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_one_pod_gets_at_a_read_write_once_pod_claim() {
    let cluster = Cluster::new(&["n1"]).await;
    let mut only = claim("data");
    only["spec"]["accessModes"] = json!(["ReadWriteOncePod"]);
    cluster.create(&kind::PERSISTENT_VOLUME_CLAIM, only).await;
    cluster.create(&kind::POD, pod("first", "data")).await;
    cluster.until_is(&pod_key("first"), "/status/phase", json!("Running")).await;
    cluster.create(&kind::POD, pod("second", "data")).await;
    cluster
        .until_said(
            "second",
            "FailedScheduling",
            "1 node has pod using PersistentVolumeClaim with the same name",
        )
        .await;
    cluster.delete(&pod_key("first")).await;
    cluster.until_is(&pod_key("second"), "/status/phase", json!("Running")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_volume_that_cannot_be_made_is_not_tried_without_pause() {
    let cluster = Cluster::new(&["n1"]).await;
    let mut huge = claim("data");
    huge["spec"]["resources"]["requests"]["storage"] = "9Ti".into();
    cluster.create(&kind::PERSISTENT_VOLUME_CLAIM, huge).await;
    let before = cluster.registry.snapshot().revision();
    cluster.create(&kind::POD, pod("web", "data")).await;
    cluster
        .until_said(
            "web",
            "FailedScheduling",
            "the volume of claim \"data\" could not be provisioned on node n1",
        )
        .await;
    let commits = cluster.commits_since(before).await;
    assert!(commits < 10, "{commits} commits");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cordoned_node_takes_pods_again_when_it_is_uncordoned() {
    let cluster = Cluster::new(&["n1"]).await;
    let node = Key::cluster(&kind::NODE, "n1");
    cluster.change(&node, Part::Main, |value| value["spec"]["unschedulable"] = true.into()).await;
    cluster.create(&kind::PERSISTENT_VOLUME_CLAIM, claim("data")).await;
    cluster.create(&kind::POD, pod("web", "data")).await;
    cluster
        .until_said("web", "FailedScheduling", "0/1 nodes are available: 1 node(s) were unschedulable.")
        .await;
    cluster.change(&node, Part::Main, |value| value["spec"]["unschedulable"] = false.into()).await;
    cluster.until_is(&pod_key("web"), "/status/phase", json!("Running")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_that_brings_its_node_gets_its_late_claim_there() {
    let cluster = Cluster::new(&["n1", "n2"]).await;
    cluster.create(&kind::POD, on("n2", pod("web", "data"))).await;
    cluster.create(&kind::PERSISTENT_VOLUME_CLAIM, claim("data")).await;
    cluster.until_is(&pod_key("web"), "/status/phase", json!("Running")).await;
    let name = cluster.get(&claim_key("data"))["spec"]["volumeName"].as_str().expect("bound").to_owned();
    let home = &cluster.get(&volume_key(&name))["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"][0];
    assert_eq!(home["matchExpressions"][0]["values"][0], "n2");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_volume_is_made_for_a_pod_that_finds_no_room() {
    let cluster = Cluster::new(&["n1", "n2"]).await;
    for n in 0..12 {
        cluster.create(&kind::PERSISTENT_VOLUME_CLAIM, claim(&format!("data-{n}"))).await;
        let mut hungry = pod(&format!("web-{n}"), &format!("data-{n}"));
        hungry["spec"]["containers"][0]["resources"] = json!({"requests": {"cpu": "2"}});
        cluster.create(&kind::POD, hungry).await;
    }
    let pods = |wanted: fn(&Value) -> bool| {
        let snapshot = cluster.registry.snapshot();
        let pods = snapshot.list(&kind::POD, None, None).map(|pod| pod.value());
        pods.filter(wanted).count()
    };
    let settled = |_: &orlop_store::Snapshot| {
        pods(|pod| pod["status"]["phase"] == "Running") == 4
            && pods(|pod| pod["status"]["conditions"][0]["reason"] == "Unschedulable") == 8
    };
    cluster.until("four run, eight wait", settled).await;
    assert_eq!(
        cluster.names(&kind::PERSISTENT_VOLUME).len(),
        4,
        "one for each that runs\n{}",
        cluster.describe()
    );
    for name in ["web-0", "web-1"] {
        cluster.delete(&pod_key(name)).await;
    }
    let more = |_: &orlop_store::Snapshot| pods(|pod| pod["status"]["phase"] == "Running") == 4;
    cluster.until_gone(&pod_key("web-0")).await;
    cluster.until("the next ones run", more).await;
}
