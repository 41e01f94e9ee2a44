//! Volumes that a node serves to others, in a whole cluster on a machine in memory.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod harness;

use harness::{Cluster, NODE, claim, pod};
use orlop_backends::host::{Host, NfsServer};
use orlop_nodeagent::teardown;
use orlop_objects::{Key, exports, kind};
use serde_json::{Value, json};
use std::sync::Arc;

/// The claim once it is bound, and the name of its volume.
async fn bound(cluster: &Cluster, name: &str) -> String {
    let is_bound = |claim: &Value| claim["status"]["phase"] == "Bound";
    let claim = cluster.until(&claim(name), "bound", is_bound).await;
    claim["spec"]["volumeName"].as_str().unwrap().to_owned()
}

fn volume(name: &str) -> Key {
    Key::cluster(&kind::PERSISTENT_VOLUME, name)
}

/// Waits for an Event about an object that says this.
async fn until_told(cluster: &Cluster, name: &str, words: &str) {
    let about = format!("involvedObject.name={name}");
    let mut mirror = cluster.client.mirror(&kind::EVENT, &[("fieldSelector", &about)]);
    let said = async {
        loop {
            let all = mirror.ready().await;
            let mut said =
                all.values().map(|event| event.value()["message"].as_str().unwrap_or("").to_owned());
            if said.any(|message| message.contains(words)) {
                return;
            }
            mirror.changed().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), said).await.expect(words);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shared_volume_is_there_for_all_pods_of_its_node_and_exported_to_the_others() {
    let cluster = Cluster::start().await;
    let agent = cluster.agent().await;
    cluster.create_shared_claim("data").await;
    let name = bound(&cluster, "data").await;
    let made = cluster.get(&volume(&name)).await;
    assert_eq!(made["spec"]["nodeAffinity"], Value::Null, "pods of every node can have it");
    assert_eq!(made["spec"]["csi"]["volumeAttributes"]["node"], NODE);
    for pod in ["one", "two", "three"] {
        cluster.create_pod(pod, Some("data"), json!({})).await;
    }
    for pod in ["one", "two", "three"] {
        cluster.until_running(pod).await;
    }
    assert_eq!(cluster.machine.loops().unwrap().len(), 1, "one device for all");
    cluster.add_node("other", "10.9.9.9").await;
    cluster.until_exported_to(&name, "10.9.9.9").await;
    cluster.add_node("third", "10.9.9.8").await;
    cluster.until_exported_to(&name, "10.9.9.8,10.9.9.9").await;
    cluster.delete(&Key::cluster(&kind::NODE, "other")).await;
    cluster.until_exported_to(&name, "10.9.9.8").await;
    assert_eq!(cluster.machine.nfs_server_starts(), 1, "without a restart");
    for name in ["one", "two", "three"] {
        cluster.delete(&pod(name)).await;
        cluster.until_gone(&pod(name)).await;
    }
    cluster.delete(&claim("data")).await;
    cluster.until_gone(&volume(&name)).await;
    assert_eq!(cluster.leftovers(), Vec::<String>::new());
    agent.stop().await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_outlives_the_agent_and_is_started_again_when_it_dies() {
    let cluster = Cluster::start().await;
    let agent = cluster.agent().await;
    cluster.add_node("other", "10.9.9.9").await;
    cluster.create_shared_claim("data").await;
    let name = bound(&cluster, "data").await;
    cluster.until_exported_to(&name, "10.9.9.9").await;
    agent.stop().await;
    let agent = cluster.agent().await;
    cluster.create_pod("web", Some("data"), json!({})).await;
    cluster.until_running("web").await;
    assert_eq!(cluster.machine.nfs_server_starts(), 1, "adopted");
    cluster.machine.kill_nfs_server();
    until_told(&cluster, NODE, "NFS server").await;
    let started = async {
        while cluster.machine.nfs_server_starts() < 2 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), started).await.expect("it is started again");
    cluster.until_exported_to(&name, "10.9.9.9").await;
    agent.stop().await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn down_takes_the_export_down_and_the_next_agent_brings_it_back() {
    let cluster = Cluster::start().await;
    let agent = cluster.agent().await;
    cluster.add_node("other", "10.9.9.9").await;
    cluster.create_shared_claim("data").await;
    let name = bound(&cluster, "data").await;
    cluster.create_pod("web", Some("data"), json!({})).await;
    cluster.until_running("web").await;
    cluster.until_exported_to(&name, "10.9.9.9").await;
    let number = |c: &Cluster| c.machine.table().unwrap().unwrap().exports[0].number;
    let before = number(&cluster);
    agent.stop().await;
    let report = teardown(cluster.parts(Arc::new(cluster.machine.clone()))).await.unwrap();
    assert!(report.is_clean(), "{report}");
    assert_eq!((cluster.machine.loops().unwrap(), cluster.machine.server().unwrap()), (vec![], None));
    let agent = cluster.agent().await;
    cluster.until_running("web").await;
    cluster.until_exported_to(&name, "10.9.9.9").await;
    assert_eq!(number(&cluster), before, "clients' file handles hold it");
    agent.stop().await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_server_pods_of_the_node_run_and_the_packages_are_named() {
    let cluster = Cluster::start().await;
    cluster.machine.remove_nfs_server();
    let agent = cluster.agent().await;
    cluster.add_node("other", "10.9.9.9").await;
    cluster.create_shared_claim("data").await;
    let name = bound(&cluster, "data").await;
    cluster.create_pod("web", Some("data"), json!({})).await;
    cluster.until_running("web").await;
    until_told(&cluster, "data", "nfs-ganesha-vfs").await;
    let told = |v: &Value| {
        let error =
            v["metadata"]["annotations"][exports::EXPORT_ERROR].as_str().unwrap_or_default().to_owned();
        error.contains("nfs-ganesha and nfs-ganesha-vfs")
    };
    cluster.until(&volume(&name), "other nodes can know why", told).await;
    cluster.delete(&pod("web")).await;
    cluster.until_gone(&pod("web")).await;
    cluster.delete(&claim("data")).await;
    cluster.until_gone(&volume(&name)).await;
    assert_eq!(cluster.leftovers(), Vec::<String>::new());
    agent.stop().await;
    cluster.stop().await;
}

/// A PersistentVolume that goes without its data being asked for: what serves it goes, the file stays.
#[tokio::test(flavor = "multi_thread")]
async fn a_volume_whose_object_is_gone_is_served_no_more() {
    let cluster = Cluster::start().await;
    let agent = cluster.agent().await;
    cluster.create_shared_claim("data").await;
    let name = bound(&cluster, "data").await;
    let retain = json!({"spec": {"persistentVolumeReclaimPolicy": "Retain"}});
    cluster.client.patch(&volume(&name), None, &retain).await.unwrap();
    cluster.delete(&claim("data")).await;
    cluster.until_gone(&claim("data")).await;
    cluster.delete(&volume(&name)).await;
    cluster.until_gone(&volume(&name)).await;
    let down = async {
        while !cluster.machine.loops().unwrap().is_empty() || cluster.machine.server().unwrap().is_some() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), down).await.expect("it is served no more");
    assert_eq!(cluster.machine.list_dir(&cluster.data().join("pool")).unwrap(), [format!("{name}.img")]);
    agent.stop().await;
    cluster.stop().await;
}
