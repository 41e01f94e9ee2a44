//! A node that is cut off: what it has it keeps, everybody is told why, and it goes on where it was when it is back.

use anyhow::{Context, Result};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use orlop_e2e::{cluster::Cluster, images, machine, manifests};
use orlop_objects::{Key, kind};
use serde_json::{Value, json};

fn key(name: &str) -> Key {
    Key::new(&kind::POD, "default", name)
}

/// A pod that leaves its node a second after that is lost.
fn impatient(node: &str, name: &str, claim: Option<&str>) -> Value {
    let mut pod = manifests::pod_on(node, name, "sleep 3600", claim);
    let tolerates = |key: &str| {
        json!({"key": format!("node.kubernetes.io/{key}"), "operator": "Exists", "effect": "NoExecute",
            "tolerationSeconds": 1})
    };
    pod["spec"]["tolerations"] = json!([tolerates("unreachable"), tolerates("not-ready")]);
    pod
}

fn has_taint(node: Option<&Value>, taint: &str) -> bool {
    let taints = node.and_then(|node| node["spec"]["taints"].as_array());
    taints.into_iter().flatten().any(|t| t["key"] == taint && t["effect"] == "NoExecute")
}

#[tokio::test]
async fn root_a_node_that_is_cut_off_keeps_its_volume_and_lets_go_when_it_is_back() -> Result<()> {
    if !machine::can_run("root_a_node_that_is_cut_off_keeps_its_volume_and_lets_go_when_it_is_back") {
        return Ok(());
    }
    let mut cluster = Cluster::prepared()?;
    cluster.serve_with(&["--node-grace", "4s"])?;
    let (one, two) = (cluster.join("one", &[]).await?, cluster.join("two", &[]).await?);
    for member in [&one, &two] {
        images::load_busybox_on(member)?;
    }
    cluster.create(&kind::PERSISTENT_VOLUME_CLAIM, manifests::claim("data", "32Mi")).await?;
    cluster.create(&kind::POD, impatient("one", "web", Some("data"))).await?;
    cluster.phase(&kind::POD, "web", "Running").await?;

    let pid = Pid::from_raw(one.pid().context("it runs")?.try_into()?);
    kill(pid, Signal::SIGSTOP)?;
    let node = Key::cluster(&kind::NODE, "one");
    let unreachable = "node.kubernetes.io/unreachable";
    cluster.until(&node, "tainted", |node| has_taint(node, unreachable)).await?;
    let going = |pod: Option<&Value>| pod.is_some_and(|pod| pod["metadata"]["deletionTimestamp"].is_string());
    cluster.until(&key("web"), "asked to go", going).await?;
    // The volume's own node says where it can be; a pod that is put elsewhere nevertheless waits for its attachment.
    let mut mover = manifests::pod("mover", "sleep 3600", Some("data"));
    mover["spec"]["nodeName"] = "two".into();
    cluster.create(&kind::POD, mover).await?;
    told(&cluster, "mover", "Node one has it and has not been Ready since").await?;
    told(&cluster, "web", "its containers may still run there").await?;
    let attachments = cluster.client.list(&kind::VOLUME_ATTACHMENT, None, &[]).await?;
    let nodes: Vec<Value> = attachments.iter().map(|a| a.value()["spec"]["nodeName"].clone()).collect();
    assert_eq!(nodes, ["one"], "what it has stays attached");
    cluster.delete(&kind::POD, "mover").await?;

    kill(pid, Signal::SIGCONT)?;
    cluster.until(&key("web"), "ended by its own node", |pod| pod.is_none()).await?;
    cluster.node_ready("one").await?;
    cluster.until(&node, "untainted", |node| !has_taint(node, unreachable)).await?;
    cluster.none(&kind::VOLUME_ATTACHMENT).await?;
    cluster.create(&kind::POD, impatient("one", "web", Some("data"))).await?;
    cluster.phase(&kind::POD, "web", "Running").await?;
    cluster.delete(&kind::POD, "web").await?;
    cluster.delete(&kind::PERSISTENT_VOLUME_CLAIM, "data").await?;
    cluster.none(&kind::PERSISTENT_VOLUME).await
}

/// Waits until an Event about the object of this name says `words`.
async fn told(cluster: &Cluster, about: &str, words: &str) -> Result<()> {
    let started = std::time::Instant::now();
    loop {
        let reasons = cluster.reasons(about).await?;
        if reasons.iter().any(|reason| reason.contains(words)) {
            return Ok(());
        }
        anyhow::ensure!(started.elapsed() < orlop_e2e::cluster::PATIENCE, "{about}: {words}: {reasons:#?}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}
