//! A shared pool on the real kernel: two agents on one machine see one directory, and a pod moves between them with its volume.
//!
//! `ORLOP_MOVES` says how often (4 by default; 50 is what the volume is to bear).

use std::{collections::BTreeSet, fs, time::Instant};

use anyhow::{Context, Result, ensure};
use orlop_e2e::{
    cluster::{Cluster, said},
    machine, manifests,
    shared_pool::{NODES, Site, Watch, claim, writer, written},
};
use orlop_objects::kind;

async fn move_about(site: &Site, moves: u64) -> Result<u64> {
    let cluster = &site.cluster;
    let name = |number: u64| format!("writer-{number}");
    let mut last = 0;
    for number in 0..=moves {
        let node = NODES[usize::try_from(number % 2)?];
        let pod = manifests::pod_on(node, &name(number), &writer(last), Some("data"));
        // It is there before the one before it goes, and waits for the volume.
        cluster.create(&kind::POD, pod).await?;
        if let Some(before) = number.checked_sub(1) {
            cluster.delete(&kind::POD, &name(before)).await?;
        }
        cluster
            .phase(&kind::POD, &name(number), "Running")
            .await
            .with_context(|| format!("move {number}"))?;
        last = written(cluster, &name(number), last).await?;
    }
    cluster.delete(&kind::POD, &name(moves)).await?;
    Ok(last)
}

#[tokio::test(flavor = "multi_thread")]
async fn root_a_volume_of_a_shared_pool_moves_with_its_pod() -> Result<()> {
    if !machine::can_run("root_a_volume_of_a_shared_pool_moves_with_its_pod") {
        return Ok(());
    }
    let moves = std::env::var("ORLOP_MOVES").ok().map_or(Ok(4), |text| text.parse::<u64>())?;
    let site = Site::begin().await?;
    let watch = Watch::over(&site.pool());
    site.cluster.create(&kind::PERSISTENT_VOLUME_CLAIM, claim("data")).await?;
    let begun = Instant::now();
    let numbers = move_about(&site, moves).await?;
    let took = begun.elapsed();
    let (most, looks) = watch.most();
    assert_eq!(most, 1, "never two devices, in {looks} looks");
    eprintln!(
        "{moves} moves in {took:.1?}, {numbers} numbers, none lost; at most {most} device in {looks} looks"
    );

    site.cluster.delete(&kind::PERSISTENT_VOLUME_CLAIM, "data").await?;
    site.cluster.none(&kind::PERSISTENT_VOLUME).await?;
    assert_eq!(site.files()?, BTreeSet::new(), "the volume is gone, and so is what was said of it");
    Ok(())
}

/// A node's end is not its pool's.
#[tokio::test(flavor = "multi_thread")]
async fn root_a_shared_pool_outlives_a_node() -> Result<()> {
    if !machine::can_run("root_a_shared_pool_outlives_a_node") {
        return Ok(());
    }
    let mut site = Site::begin().await?;
    site.cluster.create(&kind::PERSISTENT_VOLUME_CLAIM, claim("data")).await?;
    site.cluster
        .create(&kind::POD, manifests::pod_on("one", "writer", "echo kept > /data/note", Some("data")))
        .await?;
    site.cluster.phase(&kind::POD, "writer", "Succeeded").await?;
    site.cluster.delete(&kind::POD, "writer").await?;
    site.cluster.none(&kind::VOLUME_ATTACHMENT).await?;
    let volumes =
        || site.files().map(|files| files.into_iter().filter(|name| name.ends_with(".img")).count());
    assert_eq!(volumes()?, 1);
    let mut one = site.members.remove(0);
    one.stop()?;
    let output = one.command(&["reset", "--yes"]).output()?;
    ensure!(output.status.success(), "reset: {}", said(&output));
    let words = format!("left {}: a pool outside of the data directory", site.pool().display());
    assert!(said(&output).contains(&words), "{}", said(&output));
    let files = site.files()?;
    assert_eq!(files.iter().filter(|name| name.ends_with(".img")).count(), 1, "{files:?}");
    let reader = manifests::pod_on("two", "reader", "grep -qx kept /data/note", Some("data"));
    site.cluster.create(&kind::POD, reader).await?;
    site.cluster.phase(&kind::POD, "reader", "Succeeded").await?;
    Ok(())
}

#[tokio::test]
async fn root_a_pool_that_cannot_be_one_is_refused_in_words() -> Result<()> {
    if !machine::can_run("root_a_pool_that_cannot_be_one_is_refused_in_words") {
        return Ok(());
    }
    let cluster = Cluster::prepared()?;
    let dir = tempfile::tempdir()?;
    fs::create_dir(dir.path().join("below"))?;
    let (top, below) = (dir.path().display(), dir.path().join("below"));
    let (below, here) = (below.display(), format!("{top}"));
    for (flags, words) in [
        (vec!["fast".to_owned()], "NAME=DIR"),
        (vec!["Fast=/srv".to_owned()], "cannot be a pool's name"),
        (vec!["fast=srv".to_owned()], "absolute path"),
        (vec![format!("fast={here},ro")], "only `shared` is"),
        (vec![format!("fast={here}/missing")], "does not exist; create it, or mount what belongs there"),
        (vec![format!("a={here}"), format!("a={below}")], "named twice"),
        (vec![format!("a={here}"), format!("b={below}")], "lie in one another"),
    ] {
        let mut command = cluster.command(&["up", "--listen", "127.0.0.1:0"]);
        for flag in &flags {
            command.args(["--pool", flag]);
        }
        let output = command.output()?;
        assert!(!output.status.success() && said(&output).contains(words), "{flags:?}: {}", said(&output));
    }
    Ok(())
}
