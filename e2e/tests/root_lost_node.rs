//! A node that is lost: what it has it keeps, everybody is told why; it goes on where it was when it is back, and another
//! takes over when a person has said that it is off.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use orlop_e2e::{
    cluster::{Cluster, PATIENCE},
    images, machine, manifests,
    member::Member,
    power, remains,
    shared_pool::{Site, Watch},
    writers,
};
use orlop_objects::{Key, kind};
use serde_json::{Value, json};

const UNREACHABLE: &str = "node.kubernetes.io/unreachable";

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

fn signal(member: &Member, signal: Signal) -> Result<()> {
    Ok(kill(Pid::from_raw(member.pid().context("it runs")?.try_into()?), signal)?)
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

    signal(&one, Signal::SIGSTOP)?;
    let node = Key::cluster(&kind::NODE, "one");
    cluster.until(&node, "tainted", |node| has_taint(node, UNREACHABLE)).await?;
    let going = |pod: Option<&Value>| pod.is_some_and(|pod| pod["metadata"]["deletionTimestamp"].is_string());
    cluster.until(&key("web"), "asked to go", going).await?;
    // The volume's own node says where it can be; a pod that is put elsewhere nevertheless waits for its attachment.
    let mut mover = manifests::pod("mover", "sleep 3600", Some("data"));
    mover["spec"]["nodeName"] = "two".into();
    cluster.create(&kind::POD, mover).await?;
    cluster.told("mover", &["Node one has it and has not been Ready since"]).await?;
    cluster.told("web", &["its containers may still run there"]).await?;
    assert_eq!(attached_to(&cluster).await?, ["one"], "what it has stays attached");
    cluster.delete(&kind::POD, "mover").await?;

    signal(&one, Signal::SIGCONT)?;
    cluster.until(&key("web"), "ended by its own node", |pod| pod.is_none()).await?;
    cluster.node_ready("one").await?;
    cluster.until(&node, "untainted", |node| !has_taint(node, UNREACHABLE)).await?;
    cluster.none(&kind::VOLUME_ATTACHMENT).await?;
    cluster.create(&kind::POD, impatient("one", "web", Some("data"))).await?;
    cluster.phase(&kind::POD, "web", "Running").await?;
    cluster.delete(&kind::POD, "web").await?;
    cluster.delete(&kind::PERSISTENT_VOLUME_CLAIM, "data").await?;
    cluster.none(&kind::PERSISTENT_VOLUME).await
}

/// The volumes of a shared pool could be on the other node; they stay, since the node that has them may still write.
#[tokio::test(flavor = "multi_thread")]
async fn root_volumes_of_a_shared_pool_stay_with_a_node_that_is_cut_off() -> Result<()> {
    if !machine::can_run("root_volumes_of_a_shared_pool_stay_with_a_node_that_is_cut_off") {
        return Ok(());
    }
    let (site, before) = two_writers_on_one().await?;
    let watch = Watch::over(&site.pool());
    signal(&site.members[0], Signal::SIGSTOP)?;
    let begun = Instant::now();
    until_told_why(&site.cluster).await?;
    assert_eq!(attached_to(&site.cluster).await?, ["one", "one"], "both stay where they are");
    let told = begun.elapsed();

    signal(&site.members[0], Signal::SIGCONT)?;
    let begun = Instant::now();
    site.cluster.node_ready("one").await?;
    let after = writers::go_on(&site.cluster, None, before).await?;
    let (most, looks) = watch.most();
    assert_eq!(most, 1, "never two devices of one volume, in {looks} looks");
    eprintln!(
        "cut off: everybody was told why after {told:.1?}; back, both wrote on after {:.1?}: {before:?} before, \
         {after:?} after; at most {most} device per volume in {looks} looks",
        begun.elapsed()
    );
    Ok(())
}

/// The node is really off, and a person says so in the words of the Event.
#[tokio::test(flavor = "multi_thread")]
async fn root_a_node_that_is_off_and_said_to_be_is_taken_over_from() -> Result<()> {
    if !machine::can_run("root_a_node_that_is_off_and_said_to_be_is_taken_over_from") {
        return Ok(());
    }
    let (mut site, before) = two_writers_on_one().await?;
    let watch = Watch::over(&site.pool());
    power::off(&mut site.members[0])?;
    let command = until_told_why(&site.cluster).await?;
    assert_eq!(attached_to(&site.cluster).await?, ["one", "one"], "nobody has said that it is off");

    let begun = Instant::now();
    let out_of_service = taint_of(&command)?;
    let node = Key::cluster(&kind::NODE, "one");
    set_taint(&site.cluster, &node, &out_of_service, true).await?;
    let after = writers::go_on(&site.cluster, Some("two"), before).await?;
    assert_eq!(attached_to(&site.cluster).await?, ["two", "two"]);
    let took = begun.elapsed();

    // It comes back, to a cluster that goes on without it: it has nothing, and touches nothing.
    site.members[0].start()?;
    site.cluster.node_ready("one").await?;
    until_nothing_at_work(&site.members[0]).await?;
    set_taint(&site.cluster, &node, &out_of_service, false).await?;
    let last = writers::go_on(&site.cluster, Some("two"), after).await?;
    assert_eq!(attached_to(&site.cluster).await?, ["two", "two"]);
    // Whatever it may have written would break a sequence: both are read again from the start, and by the node itself.
    site.cluster.delete(&kind::DEPLOYMENT, "web").await?;
    site.cluster.delete(&kind::STATEFUL_SET, "db").await?;
    site.cluster.none(&kind::POD).await?;
    site.cluster.none(&kind::VOLUME_ATTACHMENT).await?;
    for (claim, at_least) in writers::CLAIMS.iter().zip(last) {
        let script = format!("n=$(wc -l < /data/log); seq 1 $n | cmp - /data/log && test $n -ge {at_least}");
        let name = format!("check-{claim}");
        site.cluster.create(&kind::POD, manifests::pod_on("one", &name, &script, Some(claim))).await?;
        site.cluster.phase(&kind::POD, &name, "Succeeded").await?;
    }
    let (most, looks) = watch.most();
    assert_eq!(most, 1, "never two devices of one volume, in {looks} looks");
    eprintln!(
        "off and said to be: both wrote on elsewhere {took:.1?} after the taint: {before:?} before, {after:?} after, \
         {last:?} with the node back; at most {most} device per volume in {looks} looks"
    );
    Ok(())
}

/// Two writers on node `one`, and node `two` with nothing yet. Answers what they have written.
async fn two_writers_on_one() -> Result<(Site, [u64; 2])> {
    let mut site = Site::without_nodes(&["--node-grace", "8s"]).await?;
    site.join("one").await?;
    writers::create(&site.cluster).await?;
    let before = writers::go_on(&site.cluster, Some("one"), [0, 0]).await?;
    site.join("two").await?;
    Ok((site, before))
}

fn name_of(pod: &Value) -> String {
    pod["metadata"]["name"].as_str().unwrap_or_default().to_owned()
}

/// Waits until everybody has been told what is the matter with node `one`, and that nothing has started elsewhere.
/// Answers the command by which a person says that the node is off.
async fn until_told_why(cluster: &Cluster) -> Result<String> {
    // The set of replicas has a new pod at once. It is on the other node, and waits for the volume.
    let begun = Instant::now();
    let replacement = loop {
        let pods = writers::pods_of(cluster, "web").await?;
        if let Some(pod) = pods.iter().find(|pod| pod["spec"]["nodeName"] == "two") {
            break name_of(pod);
        }
        ensure!(begun.elapsed() < PATIENCE, "no replacement: {pods:#?}\n{}", cluster.log());
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    let why = cluster.told(&replacement, &["Node one has it and has not been Ready since"]).await?;
    ensure!(why.contains("Multi-Attach error") && why.contains("Bring node one back"), "{why}");
    let command = why.split("power it off and run: ").nth(1).context("says how")?.to_owned();
    let pod = cluster.client.get(&key(&replacement)).await?.context("is there")?.value();
    ensure!(pod["status"]["phase"] == "Pending", "it has not started: {:#}", pod["status"]);
    // The set of numbered pods has none but the old one, which may still run; it says so, and waits.
    cluster.told("db-0", &["its containers may still run there"]).await?;
    cluster.told("db", &["db-0"]).await?;
    let pods = writers::pods_of(cluster, "db").await?;
    ensure!(pods.len() == 1 && pods[0]["spec"]["nodeName"] == "one", "one pod of a number: {pods:#?}");
    Ok(command)
}

/// The taint that `kubectl taint node NAME KEY=VALUE:EFFECT` would set.
fn taint_of(command: &str) -> Result<Value> {
    let words: Vec<&str> = command.split_whitespace().collect();
    let ["kubectl", "taint", "node", "one", taint] = words[..] else {
        anyhow::bail!("not a command as expected: {command}")
    };
    let (key, rest) = taint.split_once('=').context("KEY=VALUE")?;
    let (value, effect) = rest.split_once(':').context("VALUE:EFFECT")?;
    Ok(json!({"key": key, "value": value, "effect": effect}))
}

async fn set_taint(cluster: &Cluster, node: &Key, taint: &Value, there: bool) -> Result<()> {
    let mut value = cluster.client.get(node).await?.context("is there")?.value();
    let mut taints = value["spec"]["taints"].take().as_array().cloned().unwrap_or_default();
    taints.retain(|other| other["key"] != taint["key"]);
    taints.extend(there.then(|| taint.clone()));
    let version = &value["metadata"]["resourceVersion"];
    let patch = json!({"metadata": {"resourceVersion": version}, "spec": {"taints": taints}});
    cluster.client.patch(node, None, &patch).await?;
    Ok(())
}

/// The nodes that volumes are attached to.
async fn attached_to(cluster: &Cluster) -> Result<Vec<String>> {
    let all = cluster.client.list(&kind::VOLUME_ATTACHMENT, None, &[]).await?;
    Ok(all.iter().map(|a| a.value()["spec"]["nodeName"].as_str().unwrap_or_default().to_owned()).collect())
}

async fn until_nothing_at_work(member: &Member) -> Result<()> {
    let begun = Instant::now();
    loop {
        let left = remains::at_work(&member.dir());
        if left.is_empty() {
            return Ok(());
        }
        ensure!(begun.elapsed() < PATIENCE, "left: {left:#?}\n{}", member.log());
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}
