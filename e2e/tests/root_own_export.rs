//! Shared volumes of Orlop's own on the real kernel: pods of one node, the server's life, and what is left.
//!
//! Mounting them from other nodes needs a kernel with an NFS client: that is shown in guests.

#![allow(
    clippy::disallowed_methods,
    reason = "these tests look at processes by programs; that is what they are for"
)]

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use orlop_e2e::{
    cluster::{Cluster, PATIENCE},
    images, machine, manifests,
    member::Member,
    remains,
};
use orlop_objects::{Key, kind};
use serde_json::{Value, json};

/// Orlop, with a machine that it dies on.
const CRASHING: &str = env!("CARGO_BIN_EXE_crashing-orlop");

/// Whether an own export can be tried in full; says loudly why not.
fn can_run(test: &str) -> bool {
    if !machine::can_run(test) {
        return false;
    }
    let there = Path::new("/usr/bin/ganesha.nfsd").exists();
    if !there {
        machine::skipped(test, "needs nfs-ganesha and nfs-ganesha-vfs (make setup)");
    }
    there
}

fn shared_claim(name: &str, size: &str) -> Value {
    let mut claim = manifests::claim(name, size);
    claim["spec"]["storageClassName"] = "nfs".into();
    claim["spec"]["accessModes"] = json!(["ReadWriteMany"]);
    claim
}

/// The processes that serve this cluster's exports.
fn servers(cluster: &Cluster) -> BTreeSet<i64> {
    let config = cluster.dir().join("nfs/ganesha.conf").display().to_string();
    let is_its = |pid: &i64| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0).any(|word| word == config.as_bytes())
    };
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| is_its(pid) && machine::start_time(*pid).is_some()).collect()
}

/// Waits until one server runs that is not `but`.
async fn until_served(cluster: &Cluster, but: Option<i64>) -> Result<i64> {
    let begun = Instant::now();
    loop {
        let pids: Vec<i64> = servers(cluster).into_iter().collect();
        if let [pid] = pids[..]
            && Some(pid) != but
        {
            return Ok(pid);
        }
        ensure!(begun.elapsed() < PATIENCE, "servers are {pids:?}\n{}", cluster.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until the server's file exports that many volumes.
async fn until_exported(cluster: &Cluster, count: usize) -> Result<()> {
    let begun = Instant::now();
    loop {
        let text = fs::read_to_string(cluster.dir().join("nfs/ganesha.conf")).unwrap_or_default();
        if text.matches("EXPORT {").count() == count {
            return Ok(());
        }
        ensure!(begun.elapsed() < PATIENCE, "not {count} exports: {text}\n{}", cluster.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn root_three_pods_share_one_volume_with_a_hard_limit() -> Result<()> {
    if !can_run("root_three_pods_share_one_volume_with_a_hard_limit") {
        return Ok(());
    }
    let cluster = Cluster::start()?;
    images::load_busybox(&cluster)?;
    cluster.create(&kind::PERSISTENT_VOLUME_CLAIM, shared_claim("shared", "32Mi")).await?;
    cluster.phase(&kind::PERSISTENT_VOLUME_CLAIM, "shared", "Bound").await?;
    // Each writes its own file and waits until it has seen those of all others.
    let meet = "echo $HOSTNAME > /data/$HOSTNAME; until test -f /data/one -a -f /data/two -a -f /data/three; do \
                sleep 0.1; done; grep -qx one /data/one && grep -qx three /data/three";
    for name in ["one", "two", "three"] {
        cluster.create(&kind::POD, manifests::pod(name, meet, Some("shared"))).await?;
    }
    for name in ["one", "two", "three"] {
        cluster.phase(&kind::POD, name, "Succeeded").await?;
    }
    let full = "dd if=/dev/zero of=/data/x bs=1M count=40 2>&1 | grep -q 'No space left'";
    cluster.create(&kind::POD, manifests::pod("greedy", full, Some("shared"))).await?;
    cluster.phase(&kind::POD, "greedy", "Succeeded").await?;
    fs::write(cluster.dir().join("outside"), vec![1; 40 << 20]).context("the node's own disk is not full")?;
    fs::remove_file(cluster.dir().join("outside"))?;
    until_served(&cluster, None).await?;
    for name in ["one", "two", "three", "greedy"] {
        cluster.delete(&kind::POD, name).await?;
    }
    cluster.delete(&kind::PERSISTENT_VOLUME_CLAIM, "shared").await?;
    cluster.none(&kind::PERSISTENT_VOLUME).await?;
    assert_eq!(remains::of(&cluster.dir()), Vec::<String>::new(), "no file, device, mount or process");
    assert_eq!(servers(&cluster), BTreeSet::new());
    Ok(())
}

#[tokio::test]
async fn root_an_export_outlives_the_agent_and_its_server_is_started_again() -> Result<()> {
    if !can_run("root_an_export_outlives_the_agent_and_its_server_is_started_again") {
        return Ok(());
    }
    let mut cluster = Cluster::start()?;
    images::load_busybox(&cluster)?;
    for name in ["first", "second"] {
        cluster.create(&kind::PERSISTENT_VOLUME_CLAIM, shared_claim(name, "16Mi")).await?;
        cluster.phase(&kind::PERSISTENT_VOLUME_CLAIM, name, "Bound").await?;
    }
    until_exported(&cluster, 2).await?;
    let server = until_served(&cluster, None).await?;
    let started = machine::start_time(server);

    cluster.kill()?;
    assert_eq!(machine::start_time(server), started, "it goes on without orlop");
    cluster.up(&[])?;
    cluster.create(&kind::PERSISTENT_VOLUME_CLAIM, shared_claim("third", "16Mi")).await?;
    until_exported(&cluster, 3).await?;
    assert_eq!(until_served(&cluster, None).await?, server, "adopted, and told of the third");
    assert_eq!(machine::start_time(server), started);

    let killed = Command::new("kill").args(["-9", &server.to_string()]).status()?;
    ensure!(killed.success(), "kill: {killed}");
    let next = until_served(&cluster, Some(server)).await?;
    until_exported(&cluster, 3).await?;

    cluster.run(&["down"])?;
    cluster.wait()?;
    assert_eq!(remains::at_work(&cluster.dir()), Vec::<String>::new(), "down leaves nothing at work");
    assert!(!servers(&cluster).contains(&next), "its server is gone");
    cluster.up(&[])?;
    until_served(&cluster, None).await?;
    let write = "echo kept > /data/note";
    cluster.create(&kind::POD, manifests::pod("writer", write, Some("first"))).await?;
    cluster.phase(&kind::POD, "writer", "Succeeded").await?;
    cluster.delete(&kind::POD, "writer").await?;
    for name in ["first", "second", "third"] {
        cluster.delete(&kind::PERSISTENT_VOLUME_CLAIM, name).await?;
    }
    cluster.none(&kind::PERSISTENT_VOLUME).await?;
    assert_eq!(remains::of(&cluster.dir()), Vec::<String>::new());
    Ok(())
}

/// Killed at effects of serving, on the real machine: the next orlop comes to the same end.
#[tokio::test]
async fn root_death_while_serving_leaves_nothing_behind() -> Result<()> {
    if !can_run("root_death_while_serving_leaves_nothing_behind") {
        return Ok(());
    }
    for plan in [
        "before write_table 1",
        "after mount(device) 1",
        "after start_nfs_server 1",
        "before stop_nfs_server 1",
        "after detach_loop 1",
    ] {
        die_at(plan).await.with_context(|| plan.to_owned())?;
    }
    Ok(())
}

async fn die_at(plan: &str) -> Result<()> {
    let mut cluster = Cluster::prepared()?;
    cluster.up_by(Path::new(CRASHING), &[("ORLOP_CRASH", plan)])?;
    // Whatever it was told before it died, it does after: what fails now is asked for again.
    let _ = cluster.create(&kind::PERSISTENT_VOLUME_CLAIM, shared_claim("shared", "16Mi")).await;
    let going_down = plan.contains("stop") || plan.contains("detach");
    if going_down {
        cluster.phase(&kind::PERSISTENT_VOLUME_CLAIM, "shared", "Bound").await?;
        until_served(&cluster, None).await?;
        let claim = Key::new(&kind::PERSISTENT_VOLUME_CLAIM, "default", "shared");
        cluster.client.delete(&claim, &json!({})).await?;
    }
    let begun = Instant::now();
    while cluster.ended()?.is_none() {
        ensure!(begun.elapsed() < PATIENCE, "it did not die\n{}", cluster.log());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    cluster.up(&[])?;
    if !going_down {
        cluster.phase(&kind::PERSISTENT_VOLUME_CLAIM, "shared", "Bound").await?;
        until_served(&cluster, None).await?;
        cluster.delete(&kind::PERSISTENT_VOLUME_CLAIM, "shared").await?;
    }
    cluster.none(&kind::PERSISTENT_VOLUME).await?;
    let left = remains::of(&cluster.dir());
    ensure!(left.is_empty() && servers(&cluster).is_empty(), "{left:?}, servers {:?}", servers(&cluster));
    Ok(())
}

/// The keeper has another address: other nodes would ask in vain, and it says so; with the old one back it goes on.
#[tokio::test]
async fn root_an_export_whose_keeper_has_another_address_says_so() -> Result<()> {
    if !can_run("root_an_export_whose_keeper_has_another_address_says_so") {
        return Ok(());
    }
    let cluster = Cluster::start_server()?;
    let mut member = Member::prepared("one", cluster.url(), &[])?;
    member.join_with(&cluster.run(&["token", "create", "--quiet"])?, &["--address", "127.0.0.2"])?;
    cluster.node_ready("one").await?;
    cluster.create(&kind::PERSISTENT_VOLUME_CLAIM, shared_claim("shared", "16Mi")).await?;
    cluster.phase(&kind::PERSISTENT_VOLUME_CLAIM, "shared", "Bound").await?;
    member.stop()?;
    member.start_with(&["--address", "127.0.0.3"])?;
    let begun = Instant::now();
    let words = "know this volume by the address 127.0.0.2, and this node has 127.0.0.3 now; give the node its old address";
    loop {
        let reasons = cluster.reasons("shared").await?;
        if reasons.iter().any(|reason| reason.contains(words)) {
            break;
        }
        ensure!(begun.elapsed() < PATIENCE, "{reasons:#?}\n{}", member.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    member.stop()?;
    member.start_with(&["--address", "127.0.0.2"])?;
    cluster.delete(&kind::PERSISTENT_VOLUME_CLAIM, "shared").await?;
    cluster.none(&kind::PERSISTENT_VOLUME).await?;
    assert_eq!(remains::of(&member.dir()), Vec::<String>::new());
    Ok(())
}

/// A node whose only pool lies elsewhere and is not called `default`.
#[tokio::test]
async fn root_an_export_lies_in_the_pool_that_its_class_names() -> Result<()> {
    if !can_run("root_an_export_lies_in_the_pool_that_its_class_names") {
        return Ok(());
    }
    let (cluster, disk) = (Cluster::start_server()?, tempfile::tempdir()?);
    let keeper = cluster.join("keeper", &["--pool", &format!("fast={}", disk.path().display())]).await?;
    images::load_busybox_on(&keeper)?;
    for pool in ["fast", "slow"] {
        let class = json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": pool},
            "provisioner": "nfs.orlop.dev", "parameters": {"pool": pool}});
        cluster.create(&kind::STORAGE_CLASS, class).await?;
        let mut claim = shared_claim(pool, "16Mi");
        claim["spec"]["storageClassName"] = pool.into();
        cluster.create(&kind::PERSISTENT_VOLUME_CLAIM, claim).await?;
    }
    let node = cluster.client.get(&Key::cluster(&kind::NODE, "keeper")).await?.context("the node")?.value();
    assert_eq!(node["metadata"]["labels"]["topology.orlop.dev/serves-nfs"], "true");
    cluster.create(&kind::POD, manifests::pod("writer", "echo kept > /data/file", Some("fast"))).await?;
    cluster.phase(&kind::POD, "writer", "Succeeded").await?;
    let files = || -> Result<usize> {
        let names = fs::read_dir(disk.path())?.map(|entry| Ok(entry?.file_name()));
        let names = names.collect::<Result<Vec<_>>>()?;
        Ok(names.iter().filter(|name| name.to_string_lossy().starts_with("pvc-")).count())
    };
    assert_eq!(files()?, 1);
    let said = cluster.reasons("slow").await?;
    let words = "node keeper had no pool \"slow\", which class \"slow\" names in its parameter pool (pools there: fast)";
    assert!(said.iter().any(|said| said.contains(words)), "{said:?}");
    cluster.delete(&kind::POD, "writer").await?;
    for claim in ["fast", "slow"] {
        cluster.delete(&kind::PERSISTENT_VOLUME_CLAIM, claim).await?;
    }
    cluster.none(&kind::PERSISTENT_VOLUME).await?;
    assert_eq!(files()?, 0);
    Ok(())
}
