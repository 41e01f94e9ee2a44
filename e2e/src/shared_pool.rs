//! Two agents on one machine that see one directory as their pool `common`, and a writer that checks its own sequence.

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

use anyhow::{Result, ensure};
use orlop_objects::kind;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    cluster::{Cluster, PATIENCE},
    images, machine, manifests,
    member::Member,
};

/// The nodes of a site.
pub const NODES: [&str; 2] = ["one", "two"];
/// Numbers that a writer writes at least before it is believed to go on.
const LINES: u64 = 20;

/// A directory that two agents of a cluster have as their pool `common`.
pub struct Site {
    // Dropped in this order: agents before the directory and before their server.
    /// The agents, as far as they have joined.
    pub members: Vec<Member>,
    /// The server.
    pub cluster: Cluster,
    dir: TempDir,
}

impl Site {
    /// A site with both nodes.
    pub async fn begin() -> Result<Self> {
        let mut site = Self::without_nodes(&[]).await?;
        for name in NODES {
            site.join(name).await?;
        }
        Ok(site)
    }

    /// A server with these arguments, the pool and its class; nodes join later.
    pub async fn without_nodes(arguments: &[&str]) -> Result<Self> {
        let mut cluster = Cluster::prepared()?;
        cluster.serve_with(arguments)?;
        let dir = tempfile::Builder::new().prefix("orlop-pool.").tempdir()?;
        cluster.create(&kind::STORAGE_CLASS, class()).await?;
        Ok(Self { members: Vec::new(), cluster, dir })
    }

    /// A node joins, with the pool and the image.
    pub async fn join(&mut self, name: &str) -> Result<()> {
        let flag = format!("common={},shared", self.dir.path().display());
        let member = self.cluster.join(name, &["--pool", &flag]).await?;
        images::load_busybox_on(&member)?;
        self.members.push(member);
        Ok(())
    }

    /// The pool's directory.
    pub fn pool(&self) -> PathBuf {
        self.dir.path().to_owned()
    }

    /// Files in the pool that are somebody's volume or say something about one.
    pub fn files(&self) -> Result<BTreeSet<String>> {
        let mut names = BTreeSet::new();
        for entry in fs::read_dir(self.pool())? {
            names.insert(entry?.file_name().to_string_lossy().into_owned());
        }
        names.retain(|name| !name.starts_with('.'));
        Ok(names)
    }
}

/// A class whose volumes lie in the pool `common`.
pub fn class() -> Value {
    json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "common"},
        "provisioner": "loop.orlop.dev", "parameters": {"pool": "common"},
        "volumeBindingMode": "WaitForFirstConsumer"})
}

/// A claim of the pool.
pub fn claim(name: &str) -> Value {
    let mut claim = manifests::claim(name, "32Mi");
    claim["spec"]["storageClassName"] = json!("common");
    claim
}

/// Checks that all numbers from 1 on are there, says the last one, and writes on until it is told to end. Fails when
/// there are fewer than `at_least`.
pub fn writer(at_least: u64) -> String {
    format!(
        "touch /data/log; n=$(wc -l < /data/log); seq 1 $n > /want; cmp /want /data/log || exit 7; \
         test $n -ge {at_least} || exit 6; trap 'exit 0' TERM; \
         while :; do n=$((n+1)); echo $n >> /data/log; echo $n; sleep 0.01; done"
    )
}

/// The highest number that a pod has said, once it has gone on from `from` for a while.
pub async fn written(cluster: &Cluster, pod: &str, from: u64) -> Result<u64> {
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

/// What was seen of a directory's loop devices and the mounts of its volumes.
#[derive(Default)]
struct Seen {
    most: AtomicUsize,
    looks: AtomicUsize,
    done: AtomicBool,
}

/// Looks all the time, until it is dropped.
pub struct Watch {
    seen: Arc<Seen>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Watch {
    /// Over a pool's devices.
    pub fn over(pool: &Path) -> Self {
        let (seen, pool) = (Arc::new(Seen::default()), pool.to_owned());
        let shared = seen.clone();
        let thread = std::thread::spawn(move || {
            while !shared.done.load(Ordering::Relaxed) {
                shared.most.fetch_max(most_of_one(&pool), Ordering::Relaxed);
                shared.looks.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        Self { seen, thread: Some(thread) }
    }

    /// The most devices that one volume had at once, and in how many looks.
    pub fn most(&self) -> (usize, usize) {
        (self.seen.most.load(Ordering::Relaxed), self.seen.looks.load(Ordering::Relaxed))
    }
}

/// The most loop devices that any file of the pool has now.
fn most_of_one(pool: &Path) -> usize {
    let files: Vec<PathBuf> = machine::loops().into_iter().map(|(_, file)| file).collect();
    let of = |file: &&PathBuf| files.iter().filter(|other| other == file).count();
    files.iter().filter(|file| file.starts_with(pool)).map(|file| of(&file)).max().unwrap_or(0)
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.seen.done.store(true, Ordering::Relaxed);
        // A thread that panicked has nothing left to tell.
        let _ = self.thread.take().map(std::thread::JoinHandle::join);
    }
}
