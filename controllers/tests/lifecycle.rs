//! Nodes that fall silent, come back, or are called off: what becomes of their pods, and that a volume never has two
//! writers. The clock is the test's, so that minutes pass in no time.

mod cluster;

use std::time::Duration;

use cluster::{Clock, Cluster, pod_key};
use orlop_objects::{Key, index::Index, kind};
use orlop_registry::Part;
use orlop_store::Snapshot;
use serde_json::{Value, json};

const MINUTE: Duration = Duration::from_secs(60);

/// A pod with or without the claim, on one node or wherever there is room.
fn pod(name: &str, with_claim: bool, node: Option<&str>) -> Value {
    let mut pod =
        json!({"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "busybox"}]}});
    if with_claim {
        pod["spec"]["volumes"] = json!([{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]);
    }
    if let Some(node) = node {
        pod["spec"]["nodeSelector"] = json!({"kubernetes.io/hostname": node});
    }
    pod
}

fn node(name: &str) -> Key {
    Key::cluster(&kind::NODE, name)
}

/// `key:effect` of each taint, each with its time.
fn taints(node: &Value) -> Vec<String> {
    let all = node["spec"]["taints"].as_array().cloned().unwrap_or_default();
    let ours = all.iter().filter(|taint| taint["key"] != "node.kubernetes.io/out-of-service");
    ours.map(|taint| {
        assert!(taint["timeAdded"].is_string(), "{taint}");
        format!(
            "{}:{}",
            taint["key"].as_str().unwrap_or_default(),
            taint["effect"].as_str().unwrap_or_default()
        )
    })
    .collect()
}

fn conditions(node: &Value) -> Vec<String> {
    let all = node["status"]["conditions"].as_array().cloned().unwrap_or_default();
    all.iter()
        .map(|c| format!("{}={}", c["type"].as_str().unwrap_or(""), c["status"].as_str().unwrap_or("")))
        .collect()
}

fn said(snapshot: &Snapshot, about: &str, reason: &str) -> Vec<String> {
    let events = snapshot.list(&kind::EVENT, None, None).map(|event| event.value());
    let wanted = events.filter(|event| event["involvedObject"]["name"] == about && event["reason"] == reason);
    wanted.filter_map(|event| event["message"].as_str().map(str::to_owned)).collect()
}

fn attached_to(snapshot: &Snapshot) -> Vec<String> {
    let all = snapshot.having(Index::AttachmentsByVolume, "v").map(|attachment| attachment.value());
    all.map(|attachment| attachment["spec"]["nodeName"].as_str().unwrap_or_default().to_owned()).collect()
}

fn is_going(snapshot: &Snapshot, name: &str) -> bool {
    snapshot.get(&pod_key(name)).is_some_and(|pod| pod.meta.is_terminating())
}

async fn until_running(cluster: &Cluster, clock: &Clock, name: &str) {
    let running =
        |s: &Snapshot| s.get(&pod_key(name)).is_some_and(|pod| pod.value()["status"]["phase"] == "Running");
    clock.until(cluster, &format!("{name} runs"), running).await;
}

async fn call_out_of_service(cluster: &Cluster, name: &str) {
    let taint =
        json!({"key": "node.kubernetes.io/out-of-service", "value": "nodeshutdown", "effect": "NoExecute"});
    cluster
        .change(&node(name), Part::Main, |node| {
            let spec = node["spec"].as_object_mut().expect("a node has one");
            spec.entry("taints")
                .or_insert_with(|| json!([]))
                .as_array_mut()
                .expect("a list")
                .push(taint.clone());
        })
        .await;
}

async fn call_in_service(cluster: &Cluster, name: &str) {
    cluster
        .change(&node(name), Part::Main, |node| {
            if let Some(taints) = node["spec"]["taints"].as_array_mut() {
                taints.retain(|taint| taint["key"] != "node.kubernetes.io/out-of-service");
            }
        })
        .await;
}

/// Node n1 has the volume and pod `web`, and was cut off so long ago that its pods were asked to go.
async fn with_n1_lost() -> (Cluster, Clock) {
    let (cluster, clock) = Cluster::living(&["n1", "n2"], MINUTE).await;
    cluster.create(&kind::POD, pod("web", true, Some("n1"))).await;
    cluster.create(&kind::POD, pod("plain", false, Some("n1"))).await;
    until_running(&cluster, &clock, "web").await;
    until_running(&cluster, &clock, "plain").await;
    cluster.agent("n1").cut_off();
    clock.pass(&cluster, Duration::from_secs(26)).await;
    let silent = |s: &Snapshot| {
        s.get(&node("n1")).is_some_and(|n| {
            conditions(&n.value())
                == ["Ready=Unknown", "MemoryPressure=Unknown", "DiskPressure=Unknown", "PIDPressure=Unknown"]
        })
    };
    clock.until(&cluster, "n1 is silent", silent).await;
    (cluster, clock)
}

#[tokio::test]
async fn a_silent_nodes_pods_go_when_they_tolerate_it_no_longer_and_its_volume_stays() {
    let (cluster, clock) = with_n1_lost().await;
    let unreachable =
        ["node.kubernetes.io/unreachable:NoSchedule", "node.kubernetes.io/unreachable:NoExecute"];
    assert_eq!(taints(&cluster.get(&node("n1"))), unreachable);
    assert_eq!(taints(&cluster.get(&node("n2"))), Vec::<String>::new());
    let snapshot = cluster.registry.snapshot();
    assert!(said(&snapshot, "n1", "NodeNotReady")[0].starts_with("Node n1 status is now: NodeNotReady"));
    // Tolerated for 300 s.
    clock.pass(&cluster, Duration::from_secs(290)).await;
    assert!(!is_going(&cluster.registry.snapshot(), "web"), "{}", cluster.describe());
    clock.pass(&cluster, Duration::from_secs(16)).await;
    clock.until(&cluster, "both go", |s| is_going(s, "web") && is_going(s, "plain")).await;
    let web = cluster.get(&pod_key("web"));
    let disrupted = web["status"]["conditions"]
        .as_array()
        .expect("some")
        .iter()
        .find(|c| c["type"] == "DisruptionTarget");
    assert_eq!(disrupted.expect("it did not ask for it")["reason"], "DeletionByTaintManager");
    let stuck = |s: &Snapshot| {
        said(s, "web", "NodeNotReady").iter().any(|text| text.contains("its containers may still run"))
    };
    clock.until(&cluster, "why it stays is said", stuck).await;
    assert_eq!(
        said(&cluster.registry.snapshot(), "web", "TaintManagerEviction"),
        ["Marking for deletion Pod default/web"]
    );

    cluster.create(&kind::POD, pod("plain-2", false, None)).await;
    until_running(&cluster, &clock, "plain-2").await;
    cluster.create(&kind::POD, pod("web-2", true, None)).await;
    let since = cluster.get(&node("n1"))["status"]["conditions"][0]["lastTransitionTime"]
        .as_str()
        .unwrap_or("")
        .to_owned();
    let words = format!(
        "Multi-Attach error for volume \"v\" Volume is already exclusively attached to one node and can't be attached to \
         another. Node n1 has it and has not been Ready since {since}. Orlop does not force the detach, since that node may \
         still write to the volume. Bring node n1 back; or power it off and run: kubectl taint node n1 \
         node.kubernetes.io/out-of-service=nodeshutdown:NoExecute"
    );
    clock
        .until(&cluster, "the wait is told", |s| said(s, "web-2", "FailedAttachVolume") == [words.as_str()])
        .await;
    clock.pass(&cluster, 5 * MINUTE).await;
    assert_eq!(attached_to(&cluster.registry.snapshot()), ["n1"]);
    assert!(is_going(&cluster.registry.snapshot(), "web"), "only its agent removes it");
    assert_eq!(cluster.get(&pod_key("web-2"))["spec"]["nodeName"], "n2");

    cluster.agent("n1").power_off();
    call_out_of_service(&cluster, "n1").await;
    until_running(&cluster, &clock, "web-2").await;
    assert_eq!(attached_to(&cluster.registry.snapshot()), ["n2"]);
    assert!(cluster.get(&pod_key("web")).is_null() && cluster.get(&pod_key("plain")).is_null());

    cluster.agent("n1").bring_back();
    clock.pass(&cluster, Duration::from_secs(12)).await;
    clock.until(&cluster, "n1 is back", |s| !said(s, "n1", "NodeReady").is_empty()).await;
    let heard = |s: &Snapshot| {
        said(s, "n1", "OutOfServiceTaintIgnored").iter().any(|text| text.contains("was heard after"))
    };
    clock.until(&cluster, "its taint is believed no more", heard).await;
    assert_eq!(taints(&cluster.get(&node("n1"))), Vec::<String>::new());
    assert_eq!(attached_to(&cluster.registry.snapshot()), ["n2"]);
    assert_eq!(cluster.machine.accidents(), Vec::<String>::new());
}

#[tokio::test]
async fn a_node_that_comes_back_lets_go_by_its_own_hand() {
    let (cluster, clock) = with_n1_lost().await;
    clock.pass(&cluster, 6 * MINUTE).await;
    cluster.create(&kind::POD, pod("web-2", true, Some("n2"))).await;
    clock.until(&cluster, "it waits", |s| !said(s, "web-2", "FailedAttachVolume").is_empty()).await;
    cluster.agent("n1").bring_back();
    clock.pass(&cluster, Duration::from_secs(12)).await;
    until_running(&cluster, &clock, "web-2").await;
    let back = |s: &Snapshot| s.get(&node("n1")).is_some_and(|n| taints(&n.value()).is_empty());
    clock.until(&cluster, "n1 is untainted", back).await;
    assert!(cluster.get(&pod_key("web")).is_null());
    assert_eq!(attached_to(&cluster.registry.snapshot()), ["n2"]);
    assert_eq!(cluster.machine.accidents(), Vec::<String>::new());
}

#[tokio::test]
async fn a_node_that_is_back_in_time_keeps_its_pods() {
    let (cluster, clock) = with_n1_lost().await;
    clock.pass(&cluster, 2 * MINUTE).await;
    cluster.agent("n1").bring_back();
    clock.pass(&cluster, 6 * MINUTE).await;
    let snapshot = cluster.registry.snapshot();
    assert!(!is_going(&snapshot, "web") && !is_going(&snapshot, "plain"));
    assert!(
        said(&snapshot, "web", "TaintManagerEviction")
            .contains(&"Cancelling deletion of Pod default/web".to_owned())
    );
    assert_eq!(conditions(&cluster.get(&node("n1")))[0], "Ready=True");
}

#[tokio::test]
async fn nobody_is_sent_away_where_no_other_node_is_alive() {
    let (cluster, clock) = Cluster::living(&["n1"], MINUTE).await;
    cluster.create(&kind::POD, pod("web", true, None)).await;
    until_running(&cluster, &clock, "web").await;
    cluster.agent("n1").cut_off();
    clock.pass(&cluster, 7 * MINUTE).await;
    assert_eq!(taints(&cluster.get(&node("n1"))), ["node.kubernetes.io/unreachable:NoSchedule"]);
    assert!(!is_going(&cluster.registry.snapshot(), "web"));
    cluster.create(&kind::POD, pod("late", false, None)).await;
    let words =
        "0/1 nodes are available: 1 node(s) had untolerated taint {node.kubernetes.io/unreachable: }.";
    let told = |s: &Snapshot| said(s, "late", "FailedScheduling").iter().any(|text| text.starts_with(words));
    clock.until(&cluster, "why nothing is placed is said", told).await;
}

#[tokio::test]
async fn who_is_called_off_and_heard_after_that_is_not_believed_to_be_off_when_it_is_cut_off_later() {
    let (cluster, clock) = Cluster::living(&["n1", "n2"], MINUTE).await;
    cluster.create(&kind::POD, pod("web", true, Some("n1"))).await;
    until_running(&cluster, &clock, "web").await;
    call_out_of_service(&cluster, "n1").await;
    let ignored =
        |s: &Snapshot| said(s, "n1", "OutOfServiceTaintIgnored").iter().any(|text| text.contains("is Ready"));
    clock.until(&cluster, "that it is ignored is said", ignored).await;
    clock.pass(&cluster, MINUTE).await;
    assert!(!is_going(&cluster.registry.snapshot(), "web"), "it is ignored");
    cluster.agent("n1").cut_off();
    clock.pass(&cluster, 7 * MINUTE).await;
    cluster.create(&kind::POD, pod("web-2", true, Some("n2"))).await;
    clock.until(&cluster, "it waits", |s| !said(s, "web-2", "FailedAttachVolume").is_empty()).await;
    assert!(is_going(&cluster.registry.snapshot(), "web"));
    assert_eq!(attached_to(&cluster.registry.snapshot()), ["n1"]);
    // The way out: really off, and called so anew.
    cluster.agent("n1").power_off();
    call_in_service(&cluster, "n1").await;
    clock.pass(&cluster, Duration::from_secs(10)).await;
    call_out_of_service(&cluster, "n1").await;
    until_running(&cluster, &clock, "web-2").await;
    assert_eq!(cluster.machine.accidents(), Vec::<String>::new());
}

#[tokio::test]
async fn who_is_off_and_called_so_at_once_is_believed_when_it_is_missed() {
    let (cluster, clock) = Cluster::living(&["n1", "n2"], MINUTE).await;
    cluster.create(&kind::POD, pod("web", true, Some("n1"))).await;
    until_running(&cluster, &clock, "web").await;
    cluster.agent("n1").power_off();
    clock.pass(&cluster, Duration::from_secs(4)).await;
    call_out_of_service(&cluster, "n1").await;
    cluster.create(&kind::POD, pod("web-2", true, Some("n2"))).await;
    clock.pass(&cluster, Duration::from_secs(10)).await;
    assert_eq!(attached_to(&cluster.registry.snapshot()), ["n1"], "nobody knows yet");
    clock.pass(&cluster, Duration::from_secs(20)).await;
    until_running(&cluster, &clock, "web-2").await;
    assert_eq!(cluster.machine.accidents(), Vec::<String>::new());
}

#[tokio::test]
async fn pods_of_a_node_that_is_no_more_go_and_its_volume_waits() {
    let (cluster, clock) = with_n1_lost().await;
    cluster.delete(&node("n1")).await;
    clock.pass(&cluster, Duration::from_secs(50)).await;
    clock
        .until(&cluster, "its pods go", |s| {
            s.get(&pod_key("web")).is_none() && s.get(&pod_key("plain")).is_none()
        })
        .await;
    cluster.create(&kind::POD, pod("web-2", true, None)).await;
    let told = |s: &Snapshot| {
        said(s, "web-2", "FailedAttachVolume")
            .iter()
            .any(|text| text.contains("is no part of the cluster any more"))
    };
    clock.until(&cluster, "the wait is told", told).await;
    clock.pass(&cluster, 7 * MINUTE).await;
    assert_eq!(attached_to(&cluster.registry.snapshot()), ["n1"]);
}
