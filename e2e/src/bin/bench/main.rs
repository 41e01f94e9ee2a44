//! `make bench`: what a user waits for, against the floors of the same machine in the same run.
//!
//! Drives any Kubernetes API server by kubeconfig; without one it starts an Orlop of its own and also measures what only
//! the machine's owner can see (start, memory, size). Floors and scenarios are interleaved, medians and spreads reported.
//! A report, never a test: it fails only when something did not work.
#![allow(clippy::disallowed_methods, reason = "a benchmark runs programs and the floors' own system calls")]

mod bare;
mod connection;
mod floors;
mod kubeconfig;
mod scenarios;
mod shared;

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use clap::Parser;
use orlop_e2e::{
    cluster::{Cluster, binary},
    images,
    sample::Sample,
};

use crate::connection::Endpoint;

/// Measures a Kubernetes API server, or an Orlop that it starts itself.
#[derive(Debug, Parser)]
struct Flags {
    /// Measure this part alone
    #[arg(value_enum)]
    part: Option<Part>,
    /// Kubeconfig of the server; without it an Orlop is started in a scratch directory
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Provisioner of the class that is made for the measurement
    #[arg(long, default_value = "loop.orlop.dev")]
    provisioner: String,
    /// Rounds of everything that is quick
    #[arg(long, default_value_t = 15)]
    rounds: usize,
    /// Seconds of idleness before memory is read
    #[arg(long, default_value_t = 60)]
    idle: u64,
}

/// A part that can be measured alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// Shared volumes of Orlop's own, against loop volumes and the bare directory
    Nfs,
}

/// The class that claims are made of: bound at once.
const CLASS: &str = "loop-now";

fn main() -> Result<()> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let flags = Flags::parse();
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?.block_on(run(&flags))
}

async fn run(flags: &Flags) -> Result<()> {
    let mut own = match &flags.kubeconfig {
        Some(_) => None,
        None => {
            let cluster = Cluster::start()?;
            images::load_busybox(&cluster)?;
            Some(cluster)
        }
    };
    let config = match (&flags.kubeconfig, &own) {
        (Some(path), _) => path.clone(),
        (None, Some(cluster)) => cluster.dir().join("admin.kubeconfig"),
        (None, None) => unreachable!("an Orlop was started"),
    };
    let scratch = match &own {
        Some(cluster) => cluster.dir().with_file_name("floors"),
        None => tempfile::tempdir()?.keep(),
    };
    std::fs::create_dir_all(&scratch)?;
    let endpoint = kubeconfig::endpoint(&config)?;
    if flags.part == Some(Part::Nfs) {
        let data =
            own.as_ref().map(Cluster::dir).context("shared volumes are measured on an Orlop of its own")?;
        return shared::measure(flags.rounds.max(7), &endpoint, &data).await;
    }
    requests(flags, &endpoint, &scratch).await?;
    volumes(flags, &endpoint, &scratch).await?;
    if let Some(cluster) = &mut own {
        of_the_process(flags, cluster)?;
    }
    Ok(())
}

/// One create against one durable append and one echo.
async fn requests(flags: &Flags, endpoint: &Endpoint, scratch: &Path) -> Result<()> {
    let (mut append, mut echo, mut api) =
        (floors::Append::open(scratch)?, floors::echo().await?, endpoint.connect().await?);
    let (mut appends, mut echoes, mut creates) = (Sample::default(), Sample::default(), Sample::default());
    for round in 0..flags.rounds * 10 {
        appends.push(append.once()?);
        echoes.push(floors::echo_once(&mut echo).await?);
        creates.push(scenarios::create_one(&mut api, &format!("bench-{round}")).await?);
    }
    let floor = appends.median() + echoes.median();
    println!("floor: append 2 KiB + fdatasync   {appends}");
    println!("floor: echo over TLS              {echoes}");
    println!("create one object                 {creates}   {:.2} × (append + echo)", creates.ratio(floor));
    Ok(())
}

/// Claims and pods against the bare kernel work behind them.
async fn volumes(flags: &Flags, endpoint: &Endpoint, scratch: &Path) -> Result<()> {
    scenarios::class(&mut endpoint.connect().await?, CLASS, &flags.provisioner).await?;
    let bare = bare::Bare::new(scratch)?;
    let (mut volume, mut container) = (Sample::default(), Sample::default());
    let (mut bound, mut running, mut hundred) = (Sample::default(), Sample::default(), Sample::default());
    let mut commits = 0;
    for round in 0..flags.rounds.max(5) {
        volume.push(bare.volume()?);
        bound.push(scenarios::claims_bound(endpoint, &format!("one-{round}"), (1, "1Gi"), CLASS).await?);
        container.push(bare.container()?);
        let (took, way) = scenarios::pod_running(endpoint, &format!("pod-{round}"), CLASS).await?;
        running.push(took);
        if round == 0 {
            commits = way.commits(endpoint).await?;
        }
    }
    for round in 0..5 {
        // 100 GiB would not fit on every laptop; how long it takes does not depend on the size.
        hundred
            .push(scenarios::claims_bound(endpoint, &format!("many-{round}"), (100, "256Mi"), CLASS).await?);
    }
    println!("floor: mkfs + fsyncs, 1 GiB       {volume}");
    println!("floor: … to running container     {container}");
    println!("claim created → Bound             {bound}   {:.2} × its floor", bound.ratio(volume.median()));
    println!("100 claims at once → all Bound    {hundred}");
    println!(
        "pod with new claim → Running      {running}   {:.2} × its floor",
        running.ratio(container.median())
    );
    println!("  commits on the way              {commits}, the two creates among them");
    Ok(())
}

/// Start, memory and size of an Orlop of our own.
fn of_the_process(flags: &Flags, cluster: &mut Cluster) -> Result<()> {
    let mut starts = Sample::default();
    for _ in 0..5 {
        cluster.kill()?;
        let begun = Instant::now();
        cluster.up(&[])?;
        starts.push(begun.elapsed());
    }
    println!("second start → ready              {starts}");
    std::thread::sleep(Duration::from_secs(flags.idle));
    let pid = cluster.pid().context("it runs")?;
    println!("resident after {} s idle          {} KiB", flags.idle, resident(pid)?);
    println!("binary                            {} KiB", std::fs::metadata(binary())?.len() / 1024);
    Ok(())
}

fn resident(pid: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}
