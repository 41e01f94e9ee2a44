//! **Never two writers**: whatever happens to nodes, pods and taints, in whatever order, a volume for one node is never
//! attached to two, neither by what the API says nor by what a disk would notice. And in the end, when all is well again,
//! a pod gets it.
//!
//! One thing is taken for granted: a person calls a node out of service only when it is off. One that is alive may be
//! called so (by mistake); one that is cut off and may still write is not.

mod cluster;

use std::{collections::BTreeSet, time::Duration};

use cluster::{Clock, Cluster, pod_key, who};
use orlop_controllers::Settings;
use orlop_objects::{Key, index::Index, kind};
use orlop_registry::{DeleteOptions, Part};
use orlop_store::Snapshot;
use proptest::prelude::{Strategy, any, prop_oneof, proptest};
use serde_json::{Value, json};

const NODES: [&str; 3] = ["n1", "n2", "n3"];
const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";

/// What may happen; numbers are taken modulo what there is.
#[derive(Clone, Copy, Debug)]
enum Happens {
    CutOff(usize),
    PowerOff(usize),
    BringBack(usize),
    Call(usize),
    Uncall(usize),
    Cordon(usize, bool),
    Pod(usize),
    Delete(usize),
    Force(usize),
    Restart,
    Pass(u64),
}

fn happens() -> impl Strategy<Value = Happens> {
    let n = || 0..NODES.len();
    prop_oneof![
        3 => n().prop_map(Happens::CutOff),
        2 => n().prop_map(Happens::PowerOff),
        3 => n().prop_map(Happens::BringBack),
        3 => n().prop_map(Happens::Call),
        1 => n().prop_map(Happens::Uncall),
        1 => (n(), any::<bool>()).prop_map(|(n, closed)| Happens::Cordon(n, closed)),
        5 => n().prop_map(Happens::Pod),
        2 => (0..8_usize).prop_map(Happens::Delete),
        4 => (0..8_usize).prop_map(Happens::Force),
        1 => proptest::strategy::Just(Happens::Restart),
        5 => (5..60_u64).prop_map(Happens::Pass),
    ]
}

/// What the test knows of the nodes.
#[derive(Default)]
struct Known {
    cut_off: BTreeSet<usize>,
    off: BTreeSet<usize>,
    pods: usize,
}

fn node(n: usize) -> Key {
    Key::cluster(&kind::NODE, NODES[n])
}

/// A pod that leaves its node soon when that is lost.
fn pod(name: &str, on: Option<usize>) -> Value {
    let toleration = |key: &str| {
        json!({"key": format!("node.kubernetes.io/{key}"), "operator": "Exists", "effect": "NoExecute",
            "tolerationSeconds": 8})
    };
    let mut pod = json!({"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "busybox"}],
        "tolerations": [toleration("unreachable"), toleration("not-ready")],
        "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]}});
    if let Some(n) = on {
        pod["spec"]["nodeName"] = NODES[n].into();
    }
    pod
}

async fn set_taint(cluster: &Cluster, n: usize, on: bool) {
    let taint = json!({"key": OUT_OF_SERVICE, "value": "nodeshutdown", "effect": "NoExecute"});
    cluster
        .change(&node(n), Part::Main, |node| {
            let spec = node["spec"].as_object_mut().expect("a node has one");
            let taints = spec.entry("taints").or_insert_with(|| json!([])).as_array_mut().expect("a list");
            taints.retain(|taint| taint["key"] != OUT_OF_SERVICE);
            taints.extend(on.then(|| taint.clone()));
        })
        .await;
}

async fn remove(cluster: &Cluster, n: usize, grace: Option<i64>) {
    let pods: Vec<Key> =
        cluster.registry.snapshot().list(&kind::POD, None, None).map(|pod| pod.key.clone()).collect();
    if let Some(key) = pods.get(n % pods.len().max(1)) {
        let options = DeleteOptions { grace, ..DeleteOptions::default() };
        // Its agent may have been faster.
        let _ = cluster.registry.delete(key, &options, &who()).await;
    }
}

async fn happen(cluster: &mut Cluster, clock: &Clock, known: &mut Known, what: Happens) {
    match what {
        Happens::CutOff(n) if !known.off.contains(&n) => {
            cluster.agent(NODES[n]).cut_off();
            known.cut_off.insert(n);
        }
        Happens::PowerOff(n) => {
            cluster.agent(NODES[n]).power_off();
            known.cut_off.remove(&n);
            known.off.insert(n);
        }
        Happens::BringBack(n) => {
            cluster.agent(NODES[n]).bring_back();
            known.cut_off.remove(&n);
            known.off.remove(&n);
        }
        Happens::Call(n) if !known.cut_off.contains(&n) => {
            set_taint(cluster, n, true).await;
            if !known.off.contains(&n) {
                clock.pass(cluster, Duration::from_secs(12)).await;
            }
        }
        // The taint may be there from a time when it was alive: it is as good as put on now.
        Happens::CutOff(_) | Happens::Call(_) => {}
        Happens::Uncall(n) => set_taint(cluster, n, false).await,
        Happens::Cordon(n, closed) => {
            cluster.change(&node(n), Part::Main, |node| node["spec"]["unschedulable"] = closed.into()).await;
        }
        Happens::Pod(n) => {
            known.pods += 1;
            let on = (n % 2 == 0).then_some(n);
            cluster.create(&kind::POD, pod(&format!("web-{}", known.pods), on)).await;
        }
        Happens::Delete(n) => remove(cluster, n, None).await,
        Happens::Force(n) => remove(cluster, n, Some(0)).await,
        Happens::Restart => {
            cluster.stop().await;
            cluster.start_with(Settings::default());
        }
        Happens::Pass(seconds) => clock.pass(cluster, Duration::from_secs(seconds)).await,
    }
}

fn check(cluster: &Cluster) {
    assert_eq!(cluster.machine.accidents(), Vec::<String>::new());
    let snapshot = cluster.registry.snapshot();
    let attached = snapshot.having(Index::AttachmentsByVolume, "v").count();
    assert!(attached <= 1, "{attached} attachments of one volume\n{}", cluster.describe());
}

async fn life(story: Vec<Happens>) {
    let (mut cluster, clock) = Cluster::living(&NODES, Duration::from_secs(10)).await;
    let mut known = Known::default();
    for what in story {
        happen(&mut cluster, &clock, &mut known, what).await;
        check(&cluster);
        clock.pass(&cluster, Duration::from_secs(4)).await;
        check(&cluster);
    }
    for (n, name) in NODES.iter().enumerate() {
        set_taint(&cluster, n, false).await;
        cluster.change(&node(n), Part::Main, |node| node["spec"]["unschedulable"] = false.into()).await;
        cluster.agent(name).bring_back();
    }
    clock.pass(&cluster, Duration::from_secs(30)).await;
    let pods = cluster.names(&kind::POD).len();
    for _ in 0..pods {
        remove(&cluster, 0, None).await;
        clock.pass(&cluster, Duration::from_secs(2)).await;
    }
    cluster.create(&kind::POD, pod("last", None)).await;
    let runs =
        |s: &Snapshot| s.get(&pod_key("last")).is_some_and(|pod| pod.value()["status"]["phase"] == "Running");
    clock.until(&cluster, "the last pod runs", runs).await;
    check(&cluster);
}

proptest! {
    #![proptest_config(proptest::test_runner::Config { cases: 32, ..Default::default() })]

    #[test]
    fn never_two_writers(story in proptest::collection::vec(happens(), 8..28)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("it starts");
        runtime.block_on(life(story));
    }
}
