//! A path of the machine behind which nobody answers: who mounted NFS by hand and hands it in by hostPath is there when the
//! server dies. Nothing waits but what needs that path, and everything goes on by itself when the server is back.
//!
//! Times are measured and told, never asserted.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use nix::unistd::Pid;
use orlop_e2e::{
    cluster::{Cluster, PATIENCE},
    images, machine, manifests,
    member::Member,
    remains, shared_pool,
    stalled::Stalling,
};
use orlop_objects::{Key, kind};
use serde_json::{Value, json};

/// Pods that are started one after another to see how long that takes.
const STARTS: usize = 8;

fn key(name: &str) -> Key {
    Key::new(&kind::POD, "default", name)
}

/// A pod that sees the path at `/host`, and a directory of its own at `/own`.
fn with_path(name: &str, path: &Path, script: &str) -> Value {
    let mut pod = manifests::pod(name, script, None);
    pod["spec"]["volumes"] = json!([{"name": "host", "hostPath": {"path": path, "type": "Directory"}}, {"name": "own", "emptyDir": {}}]);
    pod["spec"]["containers"][0]["volumeMounts"] =
        json!([{"name": "host", "mountPath": "/host"}, {"name": "own", "mountPath": "/own"}]);
    pod
}

/// Runs, and touches the path when it is told to: so no call is under way when its server stops.
const TOUCHES_WHEN_TOLD: &str = "echo here > /host/$HOSTNAME; until test -e /own/go; do sleep 0.02; done; \
                                 exec cat /host/$HOSTNAME";

/// Tells a pod to touch the path, and waits until its process waits for the answer.
async fn touch(member: &Member, pod: &Value) -> Result<()> {
    let uid = pod["metadata"]["uid"].as_str().context("a uid")?;
    let own = member.dir().join("kubelet/pods").join(uid).join("volumes/kubernetes.io~empty-dir/own");
    std::fs::write(own.join("go"), "")?;
    let begun = Instant::now();
    loop {
        let running = remains::running(&member.dir());
        let of_pod = running.iter().find(|(id, _)| id.contains(uid)).map(|(_, process)| process.pid);
        // `exec` made it another program, whose first look at the path is under way.
        if of_pod.is_some_and(|pid| waits_for_an_answer(Path::new(&format!("/proc/{pid}")))) {
            return Ok(());
        }
        ensure!(begun.elapsed() < PATIENCE, "{} does not touch the path", pod["metadata"]["name"]);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Whether a process, or a thread, is in a call that its file server is to answer.
fn waits_for_an_answer(task: &Path) -> bool {
    std::fs::read_to_string(task.join("stack")).is_ok_and(|stack| stack.contains("request_wait_answer"))
}

/// A server with one node that is looked at every second.
async fn prepared() -> Result<(Cluster, Member)> {
    let mut cluster = Cluster::prepared()?;
    cluster.serve_with(&["--node-grace", "4s"])?;
    let member = cluster.join("one", &[]).await?;
    images::load_busybox_on(&member)?;
    Ok((cluster, member))
}

/// What was measured, in milliseconds, smallest first.
#[derive(Default)]
struct Measured {
    starts: Vec<u128>,
    gets: Vec<u128>,
    renewals: Vec<u128>,
}

impl Measured {
    fn tell(&self, when: &str) {
        let line = |values: &[u128]| {
            let mut sorted = values.to_vec();
            sorted.sort_unstable();
            let at = |percent: usize| sorted.get((sorted.len().saturating_sub(1)) * percent / 100).copied();
            let [half, most, max] = [50, 95, 100].map(|percent| at(percent).unwrap_or_default());
            format!("{half}/{most}/{max} ms of {}", sorted.len())
        };
        eprintln!(
            "{when}: p50/p95/max: pod starts {}, GETs {}, between renewals of the lease {}",
            line(&self.starts),
            line(&self.gets),
            line(&self.renewals)
        );
    }
}

/// Starts pods one after another, asks the API all the while, and sees the node's lease renewed at least twice.
async fn measure(cluster: &Cluster, when: &str) -> Result<()> {
    let mut measured = Measured::default();
    let lease = Key::new(&kind::LEASE, "kube-node-lease", "one");
    let (mut renewed, mut last) = (Value::Null, None::<Instant>);
    let mut look = async |measured: &mut Measured| -> Result<()> {
        let asked = Instant::now();
        let value = cluster.client.get(&lease).await?.context("a lease")?.value();
        measured.gets.push(asked.elapsed().as_millis());
        if value["spec"]["renewTime"] != renewed {
            renewed = value["spec"]["renewTime"].clone();
            measured.renewals.extend(last.replace(Instant::now()).map(|last| last.elapsed().as_millis()));
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
        Ok(())
    };
    for number in 0..STARTS {
        let name = format!("{when}-{number}");
        let begun = Instant::now();
        cluster.create(&kind::POD, manifests::pod(&name, "exec sleep 3600", None)).await?;
        while cluster.client.get(&key(&name)).await?.context("is there")?.value()["status"]["phase"]
            != "Running"
        {
            ensure!(begun.elapsed() < PATIENCE, "{name} does not start\n{}", cluster.log());
            look(&mut measured).await?;
        }
        measured.starts.push(begun.elapsed().as_millis());
        cluster.client.delete(&key(&name), &json!({"gracePeriodSeconds": 0})).await?;
    }
    let begun = Instant::now();
    while measured.renewals.len() < 2 {
        ensure!(begun.elapsed() < PATIENCE, "the lease is not renewed\n{}", cluster.log());
        look(&mut measured).await?;
    }
    measured.tell(when);
    // An agent that waits for the path would never say so again.
    cluster.node_ready("one").await
}

#[tokio::test(flavor = "multi_thread")]
async fn root_a_path_that_hangs_holds_up_nobody_else() -> Result<()> {
    let test = "root_a_path_that_hangs_holds_up_nobody_else";
    if !machine::can_run(test) || !Stalling::can_be_had(test) {
        return Ok(());
    }
    let share = Stalling::mount()?;
    let (cluster, member) = prepared().await?;
    for name in ["goes", "stays"] {
        cluster.create(&kind::POD, with_path(name, &share.path(), TOUCHES_WHEN_TOLD)).await?;
    }
    let goes = cluster.phase(&kind::POD, "goes", "Running").await?;
    let stays = cluster.phase(&kind::POD, "stays", "Running").await?;
    for name in ["goes", "stays"] {
        let written = share.served().join(name);
        cluster.until(&key(name), "what it wrote", |_| written.exists()).await?;
    }
    measure(&cluster, "before").await?;

    share.stall()?;
    touch(&member, &goes).await?;
    touch(&member, &stays).await?;
    cluster.create(&kind::POD, with_path("new", &share.path(), "cat /host/stays")).await?;
    let why = cluster.told("new", &["no answer within"]).await?;
    let words = "(fuse), which is mounted there, does not answer on this node; bring back";
    ensure!(
        why.starts_with("FailedMount: ") && why.contains("show host path") && why.contains(words),
        "{why}"
    );
    measure(&cluster, "during").await?;
    let begun = Instant::now();
    cluster.delete(&kind::POD, "goes").await?;
    eprintln!(
        "a pod of a grace of 1 s, whose process hangs in the path, was gone {:.1?} after it was deleted",
        begun.elapsed()
    );
    cluster.phase(&kind::POD, "new", "Pending").await?;
    cluster.phase(&kind::POD, "stays", "Running").await?;

    share.go_on()?;
    let begun = Instant::now();
    cluster.phase(&kind::POD, "stays", "Succeeded").await?;
    cluster.phase(&kind::POD, "new", "Succeeded").await?;
    eprintln!("both others were done {:.1?} after the path answered again", begun.elapsed());
    for name in ["stays", "new"] {
        cluster.delete(&kind::POD, name).await?;
    }
    Ok(())
}

/// The agent dies and comes back while a path hangs, a container is to be restarted, and at last everything is taken down.
#[tokio::test(flavor = "multi_thread")]
async fn root_an_agent_starts_and_goes_down_while_a_path_hangs() -> Result<()> {
    let test = "root_an_agent_starts_and_goes_down_while_a_path_hangs";
    if !machine::can_run(test) || !Stalling::can_be_had(test) {
        return Ok(());
    }
    let share = Stalling::mount()?;
    let (cluster, mut member) = prepared().await?;
    let mut again =
        with_path("again", &share.path(), "until test -e /own/go; do sleep 0.02; done; sleep 3600");
    again["spec"]["restartPolicy"] = "Always".into();
    cluster.create(&kind::POD, again).await?;
    cluster.create(&kind::POD, with_path("hangs", &share.path(), TOUCHES_WHEN_TOLD)).await?;
    let hangs = cluster.phase(&kind::POD, "hangs", "Running").await?;
    let again = cluster.phase(&kind::POD, "again", "Running").await?;
    cluster.until(&key("hangs"), "what it wrote", |_| share.served().join("hangs").exists()).await?;
    share.stall()?;
    touch(&member, &hangs).await?;
    member.kill()?;
    member.start()?;
    cluster.node_ready("one").await?;
    cluster.create(&kind::POD, manifests::pod("other", "true", None)).await?;
    cluster.phase(&kind::POD, "other", "Succeeded").await?;
    // A container that has the path and ends is not started again before the path answers: runc would hang in it.
    let uid = again["metadata"]["uid"].as_str().context("a uid")?;
    let running = remains::running(&member.dir());
    let (_, process) = running.iter().find(|(id, _)| id.contains(uid)).context("it runs")?;
    nix::sys::signal::kill(Pid::from_raw(process.pid.try_into()?), nix::sys::signal::Signal::SIGKILL)?;
    let why = cluster.told("again", &["ask the server of"]).await?;
    ensure!(why.starts_with("Failed: Error: ") && why.contains("does not answer on this node"), "{why}");

    let begun = Instant::now();
    member.stop()?;
    let output = member.command(&["down"]).output()?;
    ensure!(output.status.success(), "down: {}", orlop_e2e::cluster::said(&output));
    eprintln!("stopped and taken down in {:.1?} while a path hangs", begun.elapsed());
    assert_eq!(remains::at_work(&member.dir()), Vec::<String>::new());
    share.go_on()?;
    ensure!(share.path().join("hangs").exists(), "what a user mounted stays mounted");
    Ok(())
}

/// The server of a shared pool dies while the agent is at work in it. The agent ends when it is asked to, is started without
/// the pool as its log advises, and everything is taken down but what lies in the pool: that is named, and goes when its
/// server is back.
#[tokio::test(flavor = "multi_thread")]
async fn root_down_ends_while_a_retired_pool_hangs() -> Result<()> {
    let test = "root_down_ends_while_a_retired_pool_hangs";
    if !machine::can_run(test) || !Stalling::can_be_had(test) {
        return Ok(());
    }
    let share = Stalling::mount()?;
    let (cluster, mut member) = prepared().await?;
    let outcome = without_its_pool(&share, &cluster, &mut member).await;
    // Whatever became of it: clean-up waits for the server as well.
    share.go_on()?;
    outcome?;
    let output = member.command(&["down"]).output()?;
    ensure!(output.status.success(), "down: {}", orlop_e2e::cluster::said(&output));
    assert_eq!(remains::at_work(&member.dir()), Vec::<String>::new());
    ensure!(
        !machine::loops().iter().any(|(_, file)| file.starts_with(share.path())),
        "the volume is detached"
    );
    Ok(())
}

/// Until a thread of the agent waits in a call to the directory.
async fn waits_for_the_server(member: &Member) -> Result<()> {
    let tasks = format!("/proc/{}/task", member.pid().context("it runs")?);
    let begun = Instant::now();
    loop {
        let mut threads = std::fs::read_dir(&tasks)?.flatten();
        if threads.any(|thread| waits_for_an_answer(&thread.path())) {
            return Ok(());
        }
        ensure!(begun.elapsed() < PATIENCE, "no call of the agent waits\n{}", member.log());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn without_its_pool(share: &Stalling, cluster: &Cluster, member: &mut Member) -> Result<()> {
    member.stop()?;
    let pool = member.dir().join("pool");
    let pools = [format!("common={},shared", share.path().display()), format!("default={}", pool.display())];
    member.start_with(&["--pool", &pools[0], "--pool", &pools[1]])?;
    cluster.node_ready("one").await?;
    cluster.create(&kind::STORAGE_CLASS, shared_pool::class()).await?;
    for (name, claim) in
        [("in-pool", shared_pool::claim("in-pool")), ("beside", manifests::claim("beside", "32Mi"))]
    {
        cluster.create(&kind::PERSISTENT_VOLUME_CLAIM, claim).await?;
        let script = "echo here > /data/note && sync && echo written && exec sleep 3600";
        cluster.create(&kind::POD, manifests::pod(name, script, Some(name))).await?;
        // A sync that is under way when the server stops would wait for it: it is one of all file systems.
        cluster.logged(name, "written").await?;
    }
    share.stall()?;
    cluster.create(&kind::PERSISTENT_VOLUME_CLAIM, shared_pool::claim("stuck")).await?;
    cluster.create(&kind::POD, manifests::pod("stuck", "true", Some("stuck"))).await?;
    waits_for_the_server(member).await?;
    let begun = Instant::now();
    member.stop()?;
    eprintln!("stopped in {:.1?} with a call that its pool does not answer", begun.elapsed());
    member.start()?;
    cluster.node_ready("one").await?;
    let remembered = std::fs::read_to_string(member.dir().join("agent/pools.json"))?;
    ensure!(remembered.contains("\"common\""), "{remembered}");
    cluster.create(&kind::POD, manifests::pod("meanwhile", "exec sleep 3600", None)).await?;
    cluster.phase(&kind::POD, "meanwhile", "Running").await?;
    member.stop()?;

    let begun = Instant::now();
    let output = member.command(&["down"]).output()?;
    eprintln!("taken down in {:.1?} while a pool hangs", begun.elapsed());
    let said = orlop_e2e::cluster::said(&output);
    ensure!(!output.status.success(), "something is left: {said}");
    for part in
        ["still here: volume", "it lies in pool \"common\", which this node goes on without", "no answer"]
    {
        ensure!(said.contains(part), "no {part:?}: {said}");
    }
    let running = remains::running(&member.dir());
    ensure!(running.is_empty(), "pods run on: {said}");
    let beside = machine::loops().into_iter().filter(|(_, file)| file.starts_with(&pool)).count();
    ensure!(beside == 0, "what answers is taken down: {said}");
    Ok(())
}
