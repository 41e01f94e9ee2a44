//! A pod with a claim on a shared pool moves between two nodes, each on a machine of its own that sees the same files.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod harness;

use std::path::Path;

use harness::{Cluster, claim, pod};
use orlop_backends::host::{
    Host,
    fake::{Content, Fake},
};
use orlop_objects::{Key, kind};
use serde_json::{Value, json};

const NODES: [&str; 2] = ["one", "two"];
const MOVES: u64 = 6;

/// What the writer of one visit does: it goes on from what the last one left.
fn visit(machine: &Fake, mount: &Path, number: u64) {
    let file = mount.join("count");
    let found = match machine.read(&file) {
        Some(Content::Data(data)) => String::from_utf8(data).unwrap().parse().unwrap(),
        _ => 0,
    };
    assert_eq!(found, number, "what the last visit wrote is there");
    machine.write(&file, (number + 1).to_string().as_bytes()).unwrap();
}

async fn begin(cluster: &Cluster) {
    let class = json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "common"},
        "provisioner": "loop.orlop.dev", "parameters": {"pool": "common"},
        "volumeBindingMode": "WaitForFirstConsumer"});
    cluster.create(&kind::STORAGE_CLASS, class).await;
    let body = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "common",
            "resources": {"requests": {"storage": "64Mi"}}}});
    cluster.create(&kind::PERSISTENT_VOLUME_CLAIM, body).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_of_a_shared_pool_moves_with_its_pod() {
    let cluster = Cluster::start().await;
    let machines = [cluster.machine.clone(), cluster.machine.neighbour()];
    let mut agents = Vec::new();
    for (name, machine) in NODES.iter().zip(&machines) {
        agents.push(cluster.member(name, machine.clone()).await);
    }
    begin(&cluster).await;
    let name = |number: u64| format!("writer-{number}");
    for number in 0..MOVES {
        let at = usize::try_from(number % 2).unwrap();
        let selector = json!({"nodeSelector": {"kubernetes.io/hostname": NODES[at]}});
        // The next one is there before the last one goes: it waits until the volume has been let go.
        cluster.create_pod(&name(number), Some("data"), selector).await;
        if let Some(last) = number.checked_sub(1) {
            cluster.delete(&pod(&name(last))).await;
        }
        let running = cluster.until_running(&name(number)).await;
        assert_eq!(running["spec"]["nodeName"], NODES[at]);
        let bound = cluster.get(&claim("data")).await;
        let (uid, volume) =
            (running["metadata"]["uid"].as_str().unwrap(), bound["spec"]["volumeName"].as_str().unwrap());
        let mount = cluster.data_of(NODES[at]).join("kubelet/pods").join(uid);
        visit(&machines[at], &mount.join("volumes/kubernetes.io~csi").join(volume).join("mount"), number);
    }
    assert_eq!(cluster.machine.doubled(), 0, "never two devices for one file");
    check_volume(&cluster).await;
    end(&cluster, &machines, &name(MOVES - 1)).await;
    for agent in agents {
        agent.stop().await;
    }
    cluster.stop().await;
}

/// The first node made it; its handle says in which pool it lies, and its affinity which nodes see that.
async fn check_volume(cluster: &Cluster) {
    let node = cluster.get(&Key::cluster(&kind::NODE, "two")).await;
    let pool = &node["metadata"]["labels"]["topology.orlop.dev/pool-common"];
    let bound = cluster.get(&claim("data")).await;
    let name = bound["spec"]["volumeName"].as_str().unwrap();
    let volume = cluster.get(&Key::cluster(&kind::PERSISTENT_VOLUME, name)).await;
    assert_eq!(volume["spec"]["csi"]["volumeHandle"], format!("common/{name}"));
    assert_eq!(volume["metadata"]["annotations"]["volume.orlop.dev/keeper"], "one");
    let has = &volume["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"][0]["matchExpressions"][0];
    assert_eq!((&has["key"], &has["values"][0]), (&json!("topology.orlop.dev/pool-common"), pool));
}

async fn end(cluster: &Cluster, machines: &[Fake], last: &str) {
    let bound = cluster.get(&claim("data")).await;
    let volume = bound["spec"]["volumeName"].as_str().unwrap();
    cluster.delete(&pod(last)).await;
    cluster.delete(&claim("data")).await;
    cluster.until_gone(&Key::cluster(&kind::PERSISTENT_VOLUME, volume)).await;
    let left: Vec<String> = machines[0].list_dir(&cluster.common()).unwrap();
    let left: Vec<&String> = left.iter().filter(|name| !name.starts_with('.')).collect();
    assert_eq!(left, Vec::<&String>::new());
    assert!(machines.iter().all(|machine| machine.loops().unwrap().is_empty()));
}

/// A class whose pool no node has: the pod is told which pools there are, and what to do.
#[tokio::test(flavor = "multi_thread")]
async fn a_pool_that_no_node_has_is_told() {
    let cluster = Cluster::start().await;
    let agent = cluster.member("one", cluster.machine.clone()).await;
    let class = json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "fast"},
        "provisioner": "loop.orlop.dev", "parameters": {"pool": "fast"},
        "volumeBindingMode": "WaitForFirstConsumer"});
    cluster.create(&kind::STORAGE_CLASS, class).await;
    let body = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "fast",
            "resources": {"requests": {"storage": "64Mi"}}}});
    cluster.create(&kind::PERSISTENT_VOLUME_CLAIM, body).await;
    cluster.create_pod("web", Some("data"), json!({})).await;
    let told = |pod: &Value| {
        let message = pod["status"]["conditions"][0]["message"].as_str().unwrap_or_default();
        message.contains("had no pool \"fast\"") && message.contains("(pools there: common)")
    };
    cluster.until(&pod("web"), "the reason", told).await;
    agent.stop().await;
    cluster.stop().await;
}
