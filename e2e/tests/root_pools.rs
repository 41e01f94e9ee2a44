//! A shared pool on the real kernel: two agents on one machine see one directory, and a pod moves between them with its volume.
//!
//! `ORLOP_MOVES` says how often (4 by default; 50 is what the volume is to bear).

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use orlop_e2e::{
    cluster::{Cluster, PATIENCE, said},
    images, machine, manifests,
    member::Member,
};
use orlop_objects::kind;
use serde_json::{Value, json};
use tempfile::TempDir;

const NODES: [&str; 2] = ["one", "two"];
/// Numbers that a visit writes at least.
const LINES: u64 = 20;

/// What was seen of a directory's loop devices.
#[derive(Default)]
struct Seen {
    /// The most that there were at once.
    most: AtomicUsize,
    looks: AtomicUsize,
    done: AtomicBool,
}

/// Looks all the time, until it is dropped.
struct Watch {
    seen: Arc<Seen>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Watch {
    fn over(pool: &Path) -> Self {
        let (seen, pool) = (Arc::new(Seen::default()), pool.to_owned());
        let shared = seen.clone();
        let thread = std::thread::spawn(move || {
            while !shared.done.load(Ordering::Relaxed) {
                shared.most.fetch_max(machine::left_below(&pool).len(), Ordering::Relaxed);
                shared.looks.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        Self { seen, thread: Some(thread) }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.seen.done.store(true, Ordering::Relaxed);
        // A thread that panicked has nothing left to tell.
        let _ = self.thread.take().map(std::thread::JoinHandle::join);
    }
}

/// Checks that all numbers from 1 on are there, at least as many as were seen written, and writes on until it is told to end.
fn writer(at_least: u64) -> String {
    format!(
        "touch /data/log; n=$(wc -l < /data/log); seq 1 $n > /want; cmp /want /data/log || exit 7; \
         test $n -ge {at_least} || exit 6; trap 'exit 0' TERM; \
         while :; do n=$((n+1)); echo $n >> /data/log; echo $n; sleep 0.01; done"
    )
}

/// The highest number that a pod has said, once it has gone on from `from` for a while.
async fn written(cluster: &Cluster, pod: &str, from: u64) -> Result<u64> {
    let started = Instant::now();
    loop {
        let answer =
            cluster.client.raw(&format!("/api/v1/namespaces/default/pods/{pod}/log?tailLines=2")).await;
        let text = answer.map(|text| String::from_utf8_lossy(&text).into_owned()).unwrap_or_default();
        // The last line may be on its way still.
        let number = text.lines().next().and_then(|line| line.parse().ok()).unwrap_or(0);
        if number >= from + LINES {
            return Ok(number);
        }
        ensure!(started.elapsed() < PATIENCE, "{pod} wrote no {}: {text}", from + LINES);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A directory that two agents of a cluster have as their pool `common`.
struct Site {
    // Dropped in this order: agents before the directory and before their server.
    members: Vec<Member>,
    cluster: Cluster,
    dir: TempDir,
}

impl Site {
    async fn begin() -> Result<Self> {
        let cluster = Cluster::start_server()?;
        let dir = tempfile::Builder::new().prefix("orlop-pool.").tempdir()?;
        let flag = format!("common={},shared", dir.path().display());
        let mut members = Vec::new();
        for name in NODES {
            let member = cluster.join(name, &["--pool", &flag]).await?;
            images::load_busybox_on(&member)?;
            members.push(member);
        }
        cluster.create(&kind::STORAGE_CLASS, class("common")).await?;
        Ok(Self { members, cluster, dir })
    }

    fn pool(&self) -> PathBuf {
        self.dir.path().to_owned()
    }

    /// Files in the pool that are somebody's volume or say something about one.
    fn files(&self) -> Result<BTreeSet<String>> {
        let mut names = BTreeSet::new();
        for entry in fs::read_dir(self.pool())? {
            names.insert(entry?.file_name().to_string_lossy().into_owned());
        }
        names.retain(|name| !name.starts_with('.'));
        Ok(names)
    }
}

fn class(pool: &str) -> Value {
    json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": pool},
        "provisioner": "loop.orlop.dev", "parameters": {"pool": pool}, "volumeBindingMode": "WaitForFirstConsumer"})
}

fn claim() -> Value {
    let mut claim = manifests::claim("data", "32Mi");
    claim["spec"]["storageClassName"] = json!("common");
    claim
}

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
    site.cluster.create(&kind::PERSISTENT_VOLUME_CLAIM, claim()).await?;
    let begun = Instant::now();
    let numbers = move_about(&site, moves).await?;
    let took = begun.elapsed();
    let (most, looks) = (watch.seen.most.load(Ordering::Relaxed), watch.seen.looks.load(Ordering::Relaxed));
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
    site.cluster.create(&kind::PERSISTENT_VOLUME_CLAIM, claim()).await?;
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
