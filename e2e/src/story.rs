//! The main job as a story that goes on after a crash: whoever tells it starts Orlop again when it has died, and asks again.

use std::{
    collections::{BTreeMap, VecDeque},
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use orlop_objects::{Key, Kind, kind};
use serde_json::{Value, json};
use tokio::task::block_in_place;

use crate::{
    cluster::{Cluster, PATIENCE, said},
    images, manifests,
    remains::{self, Process},
};

/// Writes what the reader looks for, says in `runs` that it did, and stays until it is asked to go.
const WRITER: &str =
    "echo run >> /data/runs; echo kept > /data/note; trap 'exit 0' TERM; while :; do sleep 3600 & wait; done";
/// Succeeds when the file is there and was written by a single run of the writer.
const READER: &str = "grep -qx kept /data/note && test $(wc -l < /data/runs) = 1";
/// How long leftovers that no object speaks of may stay.
const SWEEPING: Duration = Duration::from_secs(15);

/// One life of Orlop: a program, and the variable that says how it ends.
#[derive(Clone, Debug)]
pub struct Life {
    /// The program.
    pub program: PathBuf,
    /// The variable.
    pub variable: &'static str,
    /// Its value.
    pub value: String,
}

/// A cluster, and what must not change when Orlop dies. To be told on a runtime of several threads: starting and stopping
/// block one, and an Orlop that stops waits for the answers of its clients' connections.
pub struct Story {
    /// The cluster.
    pub cluster: Cluster,
    lives: VecDeque<Life>,
    deaths: usize,
    ran: BTreeMap<String, Process>,
    formats: BTreeMap<PathBuf, Vec<u8>>,
    writer_may_go: bool,
}

impl Story {
    /// A cluster with the image that the story needs.
    pub fn prepare() -> Result<Self> {
        let cluster = Cluster::start()?;
        images::load_busybox(&cluster)?;
        Ok(Self {
            cluster,
            lives: VecDeque::new(),
            deaths: 0,
            ran: BTreeMap::new(),
            formats: BTreeMap::new(),
            writer_may_go: false,
        })
    }

    /// Tells it once. Orlop is, in this order, what `lives` says, each until it dies, and then the ordinary one. Answers
    /// how often it died. At the end nothing may be left.
    pub async fn tell(&mut self, lives: Vec<Life>) -> Result<usize> {
        self.forget();
        self.lives = lives.into();
        block_in_place(|| {
            self.cluster.stop()?;
            self.live()
        })?;
        self.write().await.context("a pod writes")?;
        self.read().await.context("another pod reads")?;
        self.remove().await.context("everything is deleted")?;
        Ok(self.deaths)
    }

    /// A pod writes and runs; Orlop stops, `orlop down` is what `life` says, and is then run once more. Nothing may be at
    /// work after that, and with the next `up` the pod runs again on what it wrote. Answers whether `down` died.
    pub async fn take_down(&mut self, life: Life) -> Result<bool> {
        self.forget();
        self.write().await.context("a pod writes")?;
        let died = block_in_place(|| {
            self.cluster.stop()?;
            let mut down = self.cluster.command_of(&life.program, &["down"]);
            let output = down.env(life.variable, &life.value).output()?;
            let died = output.status.signal() == Some(9);
            ensure!(died || output.status.success(), "down: {}", said(&output));
            self.cluster.run(&["down"])?;
            let left = remains::at_work(&self.cluster.dir());
            ensure!(left.is_empty(), "left on the machine by down: {left:#?}");
            self.cluster.up(&[])?;
            Ok(died)
        })?;
        let writer = Key::new(&kind::POD, "default", "writer");
        let again = |pod: Option<&Value>| {
            let status = pod.map(|pod| &pod["status"]["containerStatuses"][0]);
            status.is_some_and(|s| s["state"]["running"].is_object() && s["restartCount"] == 1)
        };
        self.until(&writer, "its second run", again).await?;
        self.until_it_has_written("runs", "run\nrun\n").await?;
        self.delete(&kind::POD, "writer").await?;
        self.remove().await.context("everything is deleted")?;
        Ok(died)
    }

    /// A container ends by itself while no Orlop lives: how it ended is told all the same, and it is not run again.
    pub async fn end_unwatched(&mut self) -> Result<()> {
        self.forget();
        let script = "until test -e /data/go; do sleep 0.02; done; exit 7";
        self.create(&kind::PERSISTENT_VOLUME_CLAIM, manifests::claim("data", "16Mi")).await?;
        self.create(&kind::POD, manifests::pod("short", script, Some("data"))).await?;
        self.phase("short", "Running").await?;
        let dir = self.cluster.dir();
        let volume = published(&dir).pop().context("its volume is shown to it")?;
        block_in_place(|| self.cluster.kill())?;
        std::fs::write(volume.join("go"), "")?;
        let begun = Instant::now();
        while !remains::running(&dir).is_empty() {
            ensure!(begun.elapsed() < PATIENCE, "the container has not ended");
            pause().await;
        }
        block_in_place(|| self.cluster.up(&[]))?;
        self.phase("short", "Failed").await?;
        let pod = self.get(&Key::new(&kind::POD, "default", "short")).await?.context("it is there")?;
        let status = &pod["status"]["containerStatuses"][0];
        ensure!(status["state"]["terminated"]["exitCode"] == 7 && status["restartCount"] == 0, "{status:#}");
        self.delete(&kind::POD, "short").await?;
        self.remove().await.context("everything is deleted")
    }

    fn forget(&mut self) {
        (self.deaths, self.writer_may_go) = (0, false);
        (self.ran, self.formats) = Default::default();
    }

    async fn write(&mut self) -> Result<()> {
        self.create(&kind::PERSISTENT_VOLUME_CLAIM, manifests::claim("data", "16Mi")).await?;
        let mut writer = manifests::pod("writer", WRITER, Some("data"));
        writer["spec"]["restartPolicy"] = "Always".into();
        self.create(&kind::POD, writer).await?;
        self.phase("writer", "Running").await?;
        self.until_it_has_written("note", "kept\n").await?;
        self.witness().await
    }

    async fn read(&mut self) -> Result<()> {
        self.writer_may_go = true;
        self.delete(&kind::POD, "writer").await?;
        self.create(&kind::POD, manifests::pod("reader", READER, Some("data"))).await?;
        self.phase("reader", "Succeeded").await?;
        self.delete(&kind::POD, "reader").await
    }

    async fn remove(&mut self) -> Result<()> {
        self.look_at_formats()?;
        self.delete(&kind::PERSISTENT_VOLUME_CLAIM, "data").await?;
        self.none(&kind::VOLUME_ATTACHMENT).await?;
        self.none(&kind::PERSISTENT_VOLUME).await?;
        let begun = Instant::now();
        loop {
            self.revive()?;
            let left = remains::of(&self.cluster.dir());
            if left.is_empty() {
                return Ok(());
            }
            ensure!(begun.elapsed() < SWEEPING, "left on the machine: {left:#?}");
            pause().await;
        }
    }

    /// The next life of Orlop; and the one after, if it dies before it is ready.
    fn live(&mut self) -> Result<()> {
        while let Some(life) = self.lives.pop_front() {
            let environment = [(life.variable, life.value.as_str())];
            match self.cluster.up_by(&life.program, &environment) {
                Ok(()) => return Ok(()),
                Err(error) if error.to_string().contains("SIGKILL") => self.deaths += 1,
                Err(error) => return Err(error),
            }
        }
        self.cluster.up(&[])
    }

    /// Starts the next Orlop when the one before has died, and notes what must be the same afterwards.
    fn revive(&mut self) -> Result<()> {
        let Some(status) = self.cluster.ended()? else { return Ok(()) };
        ensure!(status.signal() == Some(9), "orlop ended by itself: {status}");
        self.deaths += 1;
        let running = remains::running(&self.cluster.dir());
        if !self.writer_may_go {
            self.ran.extend(running);
        }
        self.look_at_formats()?;
        block_in_place(|| self.live())
    }

    /// A volume that was once complete is never formatted again.
    fn look_at_formats(&mut self) -> Result<()> {
        for (path, format) in remains::formats(&self.cluster.dir()) {
            let known = self.formats.entry(path.clone()).or_insert_with(|| format.clone());
            ensure!(*known == format, "{} was formatted a second time", path.display());
        }
        Ok(())
    }

    /// What ran when Orlop died still runs, the same process, and nothing was restarted.
    async fn witness(&mut self) -> Result<()> {
        self.look_at_formats()?;
        let running = remains::running(&self.cluster.dir());
        for (id, process) in &self.ran {
            ensure!(running.get(id) == Some(process), "{id} was {process:?} and is {:?}", running.get(id));
        }
        let pod =
            self.get(&Key::new(&kind::POD, "default", "writer")).await?.context("the writer is there")?;
        let status = &pod["status"]["containerStatuses"][0];
        ensure!(status["restartCount"] == 0 && status["state"]["running"].is_object(), "{status:#}");
        ensure!(running.len() == 1, "one container, one process: {running:?}");
        Ok(())
    }

    /// Until a file of the volume holds this, seen from outside the pod.
    async fn until_it_has_written(&mut self, file: &str, content: &str) -> Result<()> {
        let begun = Instant::now();
        loop {
            self.revive()?;
            let there =
                |dir: PathBuf| std::fs::read_to_string(dir.join(file)).is_ok_and(|found| found == content);
            if published(&self.cluster.dir()).into_iter().any(there) {
                return Ok(());
            }
            ensure!(begun.elapsed() < PATIENCE, "the writer has not written {file}\n{}", self.cluster.log());
            pause().await;
        }
    }

    async fn get(&mut self, key: &Key) -> Result<Option<Value>> {
        let begun = Instant::now();
        loop {
            self.revive()?;
            match self.cluster.client.get(key).await {
                Ok(object) => return Ok(object.map(|o| o.value())),
                Err(error) if begun.elapsed() > PATIENCE => return Err(error.into()),
                Err(_) => pause().await,
            }
        }
    }

    async fn create(&mut self, kind: &'static Kind, body: Value) -> Result<()> {
        let begun = Instant::now();
        loop {
            self.revive()?;
            match self.cluster.client.create(kind, "default", &body).await {
                Ok(_) => return Ok(()),
                // The answer to an earlier attempt was lost.
                Err(error) if error.code() == Some(409) => return Ok(()),
                Err(error) if begun.elapsed() > PATIENCE => return Err(error.into()),
                Err(_) => pause().await,
            }
        }
    }

    async fn delete(&mut self, kind: &'static Kind, name: &str) -> Result<()> {
        let key = Key::new(kind, "default", name);
        let begun = Instant::now();
        loop {
            self.revive()?;
            match self.cluster.client.delete(&key, &json!({})).await {
                Err(error) if error.code() != Some(404) => {
                    ensure!(begun.elapsed() < PATIENCE, "delete {key}: {error}");
                    pause().await;
                }
                _ => break,
            }
        }
        self.until(&key, "deletion", |value| value.is_none()).await.map(drop)
    }

    async fn phase(&mut self, pod: &str, phase: &str) -> Result<()> {
        let key = Key::new(&kind::POD, "default", pod);
        let reached = |v: Option<&Value>| v.is_some_and(|v| v["status"]["phase"] == phase);
        self.until(&key, phase, reached).await.map(drop)
    }

    async fn until(
        &mut self,
        key: &Key,
        what: &str,
        reached: impl Fn(Option<&Value>) -> bool,
    ) -> Result<Option<Value>> {
        let begun = Instant::now();
        loop {
            let value = self.get(key).await?;
            if reached(value.as_ref()) {
                return Ok(value);
            }
            if begun.elapsed() > PATIENCE {
                bail!("{key}: {what} not reached; it is {value:#?}\n{}", self.cluster.log());
            }
            pause().await;
        }
    }

    async fn none(&mut self, kind: &'static Kind) -> Result<()> {
        let begun = Instant::now();
        loop {
            self.revive()?;
            let left = self.cluster.client.list(kind, None, &[]).await;
            if left.as_ref().is_ok_and(Vec::is_empty) {
                return Ok(());
            }
            if begun.elapsed() > PATIENCE {
                let left: Vec<Value> = left?.iter().map(|o| o.value()).collect();
                bail!("{} are left: {left:#?}\n{}", kind.plural, self.cluster.log());
            }
            pause().await;
        }
    }
}

async fn pause() {
    tokio::time::sleep(Duration::from_millis(10)).await;
}

/// Where pods see their volumes, from outside.
fn published(data: &Path) -> Vec<PathBuf> {
    let entries = |dir: PathBuf| std::fs::read_dir(dir).into_iter().flatten().flatten();
    let volumes = |pod: std::fs::DirEntry| entries(pod.path().join("volumes/kubernetes.io~csi"));
    entries(data.join("kubelet/pods")).flat_map(volumes).map(|volume| volume.path().join("mount")).collect()
}
