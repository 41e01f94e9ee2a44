//! What became of a volume whose making this node has not heard the end of: the journal's last words were lost, and others
//! went on meanwhile.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod harness;

use std::{fs, time::Duration};

use harness::{Cluster, claim};
use orlop_objects::{Key, kind};
use serde_json::{Value, json};

fn journal(cluster: &Cluster) -> String {
    fs::read_to_string(cluster.data().join("agent/journal")).unwrap_or_default()
}

/// Takes the ends of makings out of the journal, as a crash would before they are synced.
fn lose_ends(cluster: &Cluster) {
    let all = journal(cluster);
    let kept: String = all.lines().filter(|line| !is_end(line)).map(|line| format!("{line}\n")).collect();
    assert_ne!(kept, all, "there was an end to be lost");
    fs::write(cluster.data().join("agent/journal"), kept).unwrap();
}

fn is_end(line: &str) -> bool {
    line.contains(r#"{"End":{"Making""#)
}

async fn bound(cluster: &Cluster, name: &str) -> String {
    let is = |claim: &Value| claim["status"]["phase"] == "Bound";
    let claim = cluster.until(&claim(name), "bound", is).await;
    claim["spec"]["volumeName"].as_str().unwrap().to_owned()
}

/// Somebody wants to keep the data, and removes the object.
async fn retain_and_remove(cluster: &Cluster, volume: &Key) {
    let retain = json!({"spec": {"persistentVolumeReclaimPolicy": "Retain"}});
    cluster.client.patch(volume, None, &retain).await.unwrap();
    cluster.delete(&claim("data")).await;
    cluster.until_gone(&claim("data")).await;
    cluster.until(volume, "released", |v| v["status"]["phase"] == "Released").await;
    cluster.delete(volume).await;
    cluster.client.patch(volume, None, &json!({"metadata": {"finalizers": null}})).await.ok();
    cluster.until_gone(volume).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_that_other_nodes_may_have_used_is_kept() {
    let cluster = Cluster::start().await;
    let agent = cluster.agent().await;
    cluster.create_shared_claim("data").await;
    let name = bound(&cluster, "data").await;
    agent.stop().await;
    lose_ends(&cluster);
    retain_and_remove(&cluster, &Key::cluster(&kind::PERSISTENT_VOLUME, &name)).await;

    let agent = cluster.agent().await;
    let ended = async {
        while !journal(&cluster).lines().any(is_end) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), ended).await.expect("the making is forgotten");
    agent.stop().await;
    let file = format!("data/pool/{name}.img");
    assert!(cluster.leftovers().contains(&file), "{file} may hold data: {:?}", cluster.leftovers());
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_volume_is_attached_while_it_may_be_taken_for_one_never_used() {
    let cluster = Cluster::start().await;
    let class = json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "at-once"},
        "provisioner": "loop.orlop.dev", "volumeBindingMode": "Immediate"});
    cluster.create(&kind::STORAGE_CLASS, class).await;
    let agent = cluster.agent().await;
    let body = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "at-once",
            "resources": {"requests": {"storage": "64Mi"}}}});
    cluster.create(&kind::PERSISTENT_VOLUME_CLAIM, body).await;
    let name = bound(&cluster, "data").await;
    agent.stop().await;
    lose_ends(&cluster);
    // The attachment is there before the agent is.
    cluster.create_pod("web", Some("data"), json!({})).await;
    let attached = async {
        while cluster.client.list(&kind::VOLUME_ATTACHMENT, None, &[]).await.unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), attached).await.expect("it is to be attached");

    let agent = cluster.agent().await;
    cluster.until_running("web").await;
    let all = journal(&cluster);
    let line = |is: &dyn Fn(&str) -> bool| all.lines().position(is);
    let (ended, began) = (line(&is_end), line(&|l| l.contains(r#"{"Begin":{"Volume""#) && l.contains(&name)));
    assert!(ended.is_some() && ended < began, "the end of its making is on disk with what follows: {all}");
    agent.stop().await;
    cluster.stop().await;
}
