//! Shared volumes of Orlop's own: against loop volumes, which are the same file without the export, and what a pod of the
//! serving node sees against the directory that is exported.

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use orlop_e2e::sample::Sample;

use crate::{connection::Endpoint, scenarios};

/// A class of loop volumes that binds at once, as `nfs` does.
const LOOP: &str = "loop-now";
/// The class that exists from the start.
const SHARED: &str = "nfs";
/// Writes of one round, each made durable.
const WRITES: usize = 100;
const BLOCK: usize = 64 << 10;

/// Measures and reports, interleaved.
pub(crate) async fn measure(rounds: usize, endpoint: &Endpoint, data: &Path) -> Result<()> {
    scenarios::class(&mut endpoint.connect().await?, LOOP, "loop.orlop.dev").await?;
    // One export stays: with it the server runs, as it does in a cluster that uses shared volumes.
    let kept = Kept::new(endpoint, data).await?;
    let (mut loop_bound, mut shared_bound) = (Sample::default(), Sample::default());
    let (mut loop_running, mut shared_running) = (Sample::default(), Sample::default());
    let (mut bare, mut bind) = (Sample::default(), Sample::default());
    for round in 0..rounds {
        let name = |what: &str| format!("{what}-{round}");
        loop_bound.push(scenarios::claims_bound(endpoint, &name("own"), (1, "1Gi"), LOOP).await?);
        shared_bound.push(scenarios::claims_bound(endpoint, &name("shared"), (1, "1Gi"), SHARED).await?);
        loop_running.push(scenarios::pod_running(endpoint, &name("own-pod"), LOOP).await?.0);
        shared_running.push(scenarios::pod_running(endpoint, &name("shared-pod"), SHARED).await?.0);
        bare.push(write(&kept.served)?);
        bind.push(write(&kept.published)?);
    }
    let times = |a: &Sample, b: &Sample| a.ratio(b.median());
    println!("claim → Bound, loop               {loop_bound}");
    println!(
        "claim → Bound, own export         {shared_bound}   {:.2} × loop",
        times(&shared_bound, &loop_bound)
    );
    println!("pod with claim → Running, loop    {loop_running}");
    println!(
        "pod with claim → Running, export  {shared_running}   {:.2} × loop",
        times(&shared_running, &loop_running)
    );
    println!("{WRITES} × 64 KiB + fsync, directory  {bare}");
    println!(
        "{WRITES} × 64 KiB + fsync, in a pod   {bind}   {:.2} of the directory's speed",
        times(&bare, &bind)
    );
    println!(
        "SKIPPED own export through a client, against the pool's directory: measured between guests, by \
         `make test-vm` (e2e/tests/vm_bench.rs)"
    );
    kept.end(endpoint).await
}

/// A shared volume with a pod that has it.
struct Kept {
    served: PathBuf,
    published: PathBuf,
}

const KEPT: &str = "kept";

impl Kept {
    async fn new(endpoint: &Endpoint, data: &Path) -> Result<Self> {
        let mut api = endpoint.connect().await?;
        api.call("POST", scenarios::CLAIMS, &scenarios::claim(KEPT, SHARED, "256Mi")).await?;
        api.call("POST", scenarios::PODS, &scenarios::pod(KEPT, KEPT)).await?;
        let begun = Instant::now();
        let pod = loop {
            let pod = api.get(&format!("{}/{KEPT}", scenarios::PODS)).await?;
            if pod["status"]["phase"] == "Running" {
                break pod;
            }
            ensure!(begun.elapsed() < Duration::from_secs(60), "the pod does not run: {pod:#}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        let claim = api.get(&format!("{}/{KEPT}", scenarios::CLAIMS)).await?;
        let volume = claim["spec"]["volumeName"].as_str().context("bound")?;
        let uid = pod["metadata"]["uid"].as_str().context("a uid")?;
        Ok(Self {
            served: data.join("nfs/volumes").join(volume),
            published: data
                .join("kubelet/pods")
                .join(uid)
                .join("volumes/kubernetes.io~csi")
                .join(volume)
                .join("mount"),
        })
    }

    async fn end(&self, endpoint: &Endpoint) -> Result<()> {
        let mut api = endpoint.connect().await?;
        for path in [scenarios::PODS, scenarios::CLAIMS] {
            scenarios::delete(&mut api, path, KEPT).await?;
            scenarios::until_gone(&mut api, path, KEPT).await?;
        }
        Ok(())
    }
}

/// Writes a new file, block by block, each on disk before the next.
fn write(dir: &Path) -> Result<Duration> {
    let (path, block) = (dir.join("written"), vec![7; BLOCK]);
    let begun = Instant::now();
    let mut file = File::create(&path)?;
    for _ in 0..WRITES {
        file.write_all(&block)?;
        file.sync_data()?;
    }
    let took = begun.elapsed();
    fs::remove_file(&path)?;
    Ok(took)
}
