//! The agent dies before and after every effect of a pod's and a volume's life; the next one comes to the same end.
//!
//! Each run is a whole cluster on a machine in memory whose first agent dies at one effect. Whatever happens: the pod
//! runs, with no restart counted; a process that ran before the death runs on; the volume is formatted once; at the
//! end nothing of it is left on the machine.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod harness;

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use futures::{StreamExt, stream};
use harness::{Cluster, claim, pod};
use orlop_backends::host::{
    ContainerStatus, Host, Process, Runtime,
    fake::Fake,
    faulty::{Faulty, Plan},
};
use orlop_objects::{Key, kind};
use serde_json::json;

/// Runs at the same time.
const AT_ONCE: usize = 8;

/// What a life was found to be.
struct Life {
    effects: Vec<&'static str>,
    crashed: bool,
    wrong: Vec<String>,
}

/// Sweeps over the places where an effect usually stands: effects run side by side, so that their order differs.
const SWEEPS: usize = 12;
const NEAR: usize = 8;

#[tokio::test(flavor = "multi_thread")]
async fn a_death_at_any_effect_changes_nothing_in_the_end() {
    sweep(Story::Claim, 30).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_death_at_any_effect_of_a_pods_own_volumes_changes_nothing_in_the_end() {
    sweep(Story::Own, 20).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_death_at_any_effect_of_serving_changes_nothing_in_the_end() {
    sweep(Story::Shared, 40).await;
}

/// Dies on both sides of each effect of a story, of which there are more than `least`.
async fn sweep(story: Story, least: usize) {
    let calm = live(story, Plan::default()).await;
    assert_eq!(calm.wrong, Vec::<String>::new());
    assert!(calm.effects.len() > least, "too few effects to be the whole story: {:?}", calm.effects);
    let mut missing: BTreeSet<Death> =
        calm.effects.iter().flat_map(|name| [(Side::Before, *name), (Side::After, *name)]).collect();
    let mut wrong = Vec::new();
    for sweep in 0..SWEEPS {
        if missing.is_empty() {
            break;
        }
        let near = |n: usize, side: Side| {
            let around = n.saturating_sub(NEAR)..(n + NEAR).min(calm.effects.len());
            sweep == 0 || calm.effects[around].iter().any(|name| missing.contains(&(side, name)))
        };
        let all = (1..=calm.effects.len()).flat_map(|n| [(n, Side::Before), (n, Side::After)]);
        let lives: Vec<(Option<Death>, Vec<String>)> = stream::iter(all.filter(|(n, side)| near(*n, *side)))
            .map(|(n, side)| die(story, n, side))
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        for (death, faults) in lives {
            wrong.extend(faults.into_iter().map(|fault| format!("{death:?}: {fault}")));
            death.inspect(|death| {
                missing.remove(death);
            });
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    assert!(missing.is_empty(), "no run died at {missing:?}");
}

/// On which side of an effect an agent dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Side {
    Before,
    After,
}

/// Where an agent died.
type Death = (Side, &'static str);

/// A life with a death at the `n`th effect: where that was, when it came to it, and what was wrong.
async fn die(story: Story, n: usize, side: Side) -> (Option<Death>, Vec<String>) {
    let plan = match side {
        Side::Before => Plan::crash_before(n),
        Side::After => Plan::crash_after(n),
    };
    let life = live(story, plan).await;
    let death = life.effects.get(n - 1).filter(|_| life.crashed).map(|name| (side, *name));
    (death, life.wrong)
}

/// What the machine held when the agent died.
#[derive(Default)]
struct AtDeath {
    processes: Vec<(String, Option<Process>)>,
    /// Volumes that had their names, and how often each had been formatted.
    volumes: Vec<(String, u64)>,
}

impl AtDeath {
    fn look(cluster: &Cluster) -> Self {
        let all = cluster.machine.containers().unwrap();
        let running = all.into_iter().filter(|c| c.status == ContainerStatus::Running);
        let files = cluster.machine.list_dir(&cluster.data().join("pool")).unwrap();
        let names = files.iter().filter_map(|f| f.strip_prefix("pvc-")?.strip_suffix(".img"));
        Self {
            processes: running.map(|c| (c.id, c.process)).collect(),
            volumes: names.map(|uuid| (uuid.to_owned(), cluster.machine.formatted(uuid))).collect(),
        }
    }

    /// Processes that do not run on, and volumes that were formatted again.
    fn changes(&self, cluster: &Cluster) -> Vec<String> {
        let now = cluster.machine.containers().unwrap();
        let runs_on = |(id, process): &&(String, Option<Process>)| {
            !now.iter().any(|c| c.id == *id && c.process == *process && c.status == ContainerStatus::Running)
        };
        let processes = self.processes.iter().filter(runs_on).map(|(id, _)| format!("{id} does not run on"));
        let again = self.volumes.iter().filter(|(uuid, times)| cluster.machine.formatted(uuid) != *times);
        processes.chain(again.map(|(uuid, _)| format!("volume {uuid} was formatted again"))).collect()
    }
}

/// What comes and goes.
#[derive(Clone, Copy)]
enum Story {
    /// A claim, and a pod that uses it.
    Claim,
    /// The same, of a volume that is exported to another node.
    Shared,
    /// A pod with directories of its own, a path of the machine and an init container.
    Own,
}

/// One life of a story; the first agent goes wrong as planned, a second one takes over.
async fn live(story: Story, plan: Plan) -> Life {
    let cluster = Cluster::start().await;
    let (agent, machine) = cluster.faulty_agent(plan).await;
    let mut wrong = Vec::new();
    let at_death = Mutex::new(AtDeath::default());
    let agent = {
        let story = async {
            match story {
                Story::Claim | Story::Shared => tell(story, &cluster, &at_death, &mut wrong).await,
                Story::Own => tell_of_own(&cluster, &at_death, &mut wrong).await,
            }
        };
        tokio::pin!(story);
        tokio::select! {
            () = &mut story => agent,
            () = death(&machine) => {
                agent.stop().await;
                *at_death.lock().unwrap() = AtDeath::look(&cluster);
                let agent = cluster.agent().await;
                story.await;
                agent
            }
        }
    };
    agent.stop().await;
    cluster.stop().await;
    Life { effects: machine.effects(), crashed: machine.crashed(), wrong }
}

/// The story, and what was wrong in it.
async fn tell(story: Story, cluster: &Cluster, at_death: &Mutex<AtDeath>, wrong: &mut Vec<String>) {
    let shared = matches!(story, Story::Shared);
    if shared {
        cluster.add_node("other", "10.9.9.9").await;
        cluster.create_shared_claim("data").await;
    } else {
        cluster.create_claim("data").await;
    }
    cluster.create_pod("web", Some("data"), json!({})).await;
    let running = cluster.until_running("web").await;
    let restarts = &running["status"]["containerStatuses"][0]["restartCount"];
    if *restarts != 0 {
        wrong.push(format!("{restarts} restarts were counted"));
    }
    wrong.extend(at_death.lock().unwrap().changes(cluster));
    let bound = cluster.get(&claim("data")).await;
    let volume = bound["spec"]["volumeName"].as_str().unwrap_or_default().to_owned();
    if shared {
        cluster.until_exported_to(&volume, "10.9.9.9").await;
    }
    cluster.delete(&pod("web")).await;
    cluster.until_gone(&pod("web")).await;
    cluster.delete(&claim("data")).await;
    cluster.until_gone(&claim("data")).await;
    cluster.until_gone(&Key::cluster(&kind::PERSISTENT_VOLUME, &volume)).await;
    wrong.extend(cluster.leftovers().into_iter().map(|left| format!("left over: {left}")));
    // A file that had no name yet may be made again; nothing is ever made over anything.
    if cluster.machine.overwritten() != 0 || cluster.machine.formatted(volume.trim_start_matches("pvc-")) == 0
    {
        wrong.push(format!("formatted over data {} times", cluster.machine.overwritten()));
    }
}

/// The story of a pod that needs no claim, and what was wrong in it.
async fn tell_of_own(cluster: &Cluster, at_death: &Mutex<AtDeath>, wrong: &mut Vec<String>) {
    let kept = std::path::Path::new("/srv/shared/kept");
    cluster.machine.create_dir(kept.parent().unwrap()).unwrap();
    cluster.machine.write(kept, b"data").unwrap();
    let more = json!({"initContainers": [{"name": "init", "image": "busybox"}],
        "volumes": [{"name": "disk", "emptyDir": {}}, {"name": "fast", "emptyDir": {"medium": "Memory"}},
            {"name": "host", "hostPath": {"path": "/srv/shared"}}]});
    cluster.create_pod("web", None, more).await;
    let runs =
        |p: &serde_json::Value| p["status"]["initContainerStatuses"][0]["state"]["running"].is_object();
    let starting = cluster.until(&pod("web"), "its init container", runs).await;
    cluster.machine.exit(&format!("{}_init_0", starting["metadata"]["uid"].as_str().unwrap()), 0);
    let running = cluster.until_running("web").await;
    for containers in ["containerStatuses", "initContainerStatuses"] {
        let restarts = &running["status"][containers][0]["restartCount"];
        if *restarts != 0 {
            wrong.push(format!("{restarts} restarts were counted in {containers}"));
        }
    }
    wrong.extend(at_death.lock().unwrap().changes(cluster).into_iter().filter(|c| !c.contains("_init_")));
    cluster.delete(&pod("web")).await;
    cluster.until_gone(&pod("web")).await;
    wrong.extend(cluster.leftovers().into_iter().map(|left| format!("left over: {left}")));
    if cluster.machine.read(kept).is_none() {
        wrong.push("the machine's own file is gone".to_owned());
    }
}

/// Resolves when the machine has died under its agent; it tells nobody.
async fn death(machine: &Arc<Faulty<Fake>>) {
    while !machine.crashed() {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
}
