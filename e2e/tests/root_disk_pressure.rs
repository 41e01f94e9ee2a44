//! Others fill the disk below a pool: what a pod in its volume sees, what the node says, and what is left afterwards. And who
//! loads an image into room that volumes were promised is told so.
#![allow(clippy::disallowed_methods, reason = "these tests run programs and mount disks of their own")]

use std::{
    fs::File,
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use nix::fcntl::FallocateFlags;
use orlop_e2e::{
    cluster::{Cluster, PATIENCE, said},
    images, machine, manifests,
    member::Member,
};
use orlop_objects::{Key, kind};
use serde_json::{Value, json};
use tempfile::TempDir;

const MIB: u64 = 1 << 20;

/// A small disk of its own, mounted as long as this lives.
struct Disk(TempDir);

impl Disk {
    fn new(bytes: u64) -> Result<Self> {
        let disk = Self(tempfile::Builder::new().prefix("orlop-disk.").tempdir()?);
        let (image, place) = (disk.0.path().join("image"), disk.place());
        File::create(&image)?.set_len(bytes)?;
        std::fs::create_dir(&place)?;
        let made = Command::new("mkfs.ext4").args(["-q", "-m", "0"]).arg(&image).output()?;
        ensure!(made.status.success(), "{}", said(&made));
        let mounted = Command::new("mount").args(["-o", "loop"]).args([&image, &place]).output()?;
        ensure!(mounted.status.success(), "{}", said(&mounted));
        Ok(disk)
    }

    fn place(&self) -> PathBuf {
        self.0.path().join("disk")
    }

    fn filler(&self) -> PathBuf {
        self.place().join("somebody-elses")
    }

    /// Fills it, but for that much.
    fn fill(&self, left: u64) -> Result<()> {
        let found = nix::sys::statvfs::statvfs(&self.place())?;
        let bytes = (found.blocks_available() * found.fragment_size()).saturating_sub(left);
        nix::fcntl::fallocate(File::create(self.filler())?, FallocateFlags::empty(), 0, bytes.try_into()?)?;
        Ok(())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // What is left mounted is seen by who looks after leftovers.
        let _ = Command::new("umount").arg(self.place()).stderr(Stdio::null()).status();
    }
}

/// A node with a large disk, and a small one below its pool `small`.
struct Site {
    // Dropped in this order: the agent before its disk and its server.
    _member: Member,
    disk: Disk,
    cluster: Cluster,
}

impl Site {
    async fn begin() -> Result<Self> {
        let cluster = Cluster::start_server()?;
        let disk = Disk::new(64 * MIB)?;
        let large = cluster.dir().with_file_name("large");
        std::fs::create_dir(&large)?;
        let [large, small] = [("default", large), ("small", disk.place())]
            .map(|(name, dir)| format!("{name}={}", dir.display()));
        let member = cluster.join("n", &["--pool", &large, "--pool", &small]).await?;
        images::load_busybox_on(&member)?;
        let class = json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "small"},
            "provisioner": "loop.orlop.dev", "parameters": {"pool": "small"}});
        cluster.create(&kind::STORAGE_CLASS, class).await?;
        let mut claim = manifests::claim("data", "40Mi");
        claim["spec"]["storageClassName"] = json!("small");
        cluster.create(&kind::PERSISTENT_VOLUME_CLAIM, claim).await?;
        Ok(Self { _member: member, disk, cluster })
    }

    async fn run(&self, name: &str, script: &str) -> Result<()> {
        self.cluster.create(&kind::POD, manifests::pod(name, script, Some("data"))).await?;
        self.cluster.phase(&kind::POD, name, "Succeeded").await?;
        self.cluster.delete(&kind::POD, name).await
    }

    /// What a pod has said, once it has said this.
    async fn said_by(&self, pod: &str, words: &str) -> Result<String> {
        let begun = Instant::now();
        let path = format!("/api/v1/namespaces/default/pods/{pod}/log");
        loop {
            let answer = self.cluster.client.raw(&path).await.unwrap_or_default();
            let text = String::from_utf8_lossy(&answer).into_owned();
            if text.contains(words) {
                return Ok(text);
            }
            ensure!(begun.elapsed() < PATIENCE, "{pod} has not said {words:?}: {text}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// What the Node says of its disks, once it says this status.
    async fn pressure(&self, status: &str) -> Result<String> {
        let find = |node: &Value| {
            let conditions = node["status"]["conditions"].as_array().cloned().unwrap_or_default();
            conditions.into_iter().find(|c| c["type"] == "DiskPressure" && c["status"] == status)
        };
        let key = Key::cluster(&kind::NODE, "n");
        let node =
            self.cluster.until(&key, status, |node| node.is_some_and(|node| find(node).is_some())).await?;
        let condition = node.as_ref().and_then(find).unwrap_or_default();
        Ok(condition["message"].as_str().unwrap_or_default().to_owned())
    }
}

/// The content of file N of a pod is its number, again and again.
const CONTENT: &str = "content() { yes $1 | head -c 65536; }";

#[tokio::test(flavor = "multi_thread")]
async fn root_a_full_disk_below_a_volume_loses_nothing_that_was_synced() -> Result<()> {
    if !machine::can_run("root_a_full_disk_below_a_volume_loses_nothing_that_was_synced") {
        return Ok(());
    }
    let site = Site::begin().await?;
    site.run(
        "maker",
        &format!("{CONTENT}; for n in 0 1 2; do content $n | dd of=/data/$n conv=fsync || exit 1; done"),
    )
    .await?;
    site.pressure("False").await?;
    site.disk.fill(2 * MIB)?;

    // A volume that is far from full: its writer is told, by the first write that there is no room for.
    let script = format!(
        "{CONTENT}; n=3; while content $n | dd of=/data/$n conv=fsync 2>/why; do n=$((n+1)); echo kept $n; done; \
         cat /why; echo the end; exec sleep 1000"
    );
    site.cluster.create(&kind::POD, manifests::pod("writer", &script, Some("data"))).await?;
    let words = site.said_by("writer", "the end").await?;
    let told = ["No space left on device", "I/O error", "Read-only file system"];
    assert!(told.iter().any(|error| words.contains(error)), "{words}");
    let last = words.lines().rev().find_map(|line| line.strip_prefix("kept ")).unwrap_or("3");
    let kept: u64 = last.parse()?;
    assert!((4..100).contains(&kept), "some fit and 40 MiB do not: {words}");

    // The node says why, of that disk alone.
    let why = site.pressure("True").await?;
    for part in ["the disk of pool small: 40 MiB are promised to volumes", "Remove other files"] {
        assert!(why.contains(part), "{part:?} is not in {why}");
    }
    assert!(!why.contains("default") && !why.contains("image"), "{why}");
    site.cluster.told("n", &["NodeHasDiskPressure", "the disk of pool small"]).await?;

    // With room again, the next pod finds all that was synced and writes on, whatever became of the file system meanwhile.
    std::fs::remove_file(site.disk.filler())?;
    site.cluster.delete(&kind::POD, "writer").await?;
    site.cluster.none(&kind::VOLUME_ATTACHMENT).await?;
    let script = format!(
        "{CONTENT}; n=0; while [ $n -lt {kept} ]; do content $n | cmp - /data/$n || exit 1; n=$((n+1)); done; \
         content again | dd of=/data/again conv=fsync"
    );
    site.run("reader", &script).await?;
    site.pressure("False").await?;
    eprintln!("{kept} files of 64 KiB were kept; then: {}", words.lines().rev().nth(1).unwrap_or_default());
    Ok(())
}

#[test]
fn root_an_image_that_takes_promised_room_is_loaded_with_a_warning() -> Result<()> {
    if !machine::can_run("root_an_image_that_takes_promised_room_is_loaded_with_a_warning") {
        return Ok(());
    }
    let cluster = Cluster::start()?;
    let archive = cluster.dir().with_file_name("busybox.tar");
    images::write_busybox(&archive)?;
    let load = || cluster.run(&["image", "load", &archive.to_string_lossy()]);
    let promised = cluster.dir().join("pool/pvc-0b6ad0f6-94a5-4b0e-a8c4-3d1b8d1f2a77.img");
    let before = load()?;
    // As a volume of a class that promises what there is not.
    File::create(&promised)?.set_len(15 << 40)?;
    let words = load()?;
    std::fs::remove_file(&promised)?;
    for part in [
        "loaded ",
        "warning: the disk of pool default and the node's own files: 15728640 MiB are promised",
        "image rm",
    ] {
        assert!(words.contains(part), "{part:?} is not in {words}");
    }
    // A machine whose disk is nearly full may warn of that.
    assert!(!before.contains("are promised"), "{before}");
    Ok(())
}
