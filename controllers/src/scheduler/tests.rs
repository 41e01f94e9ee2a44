//! The scheduler's tables, row for row.

#![expect(clippy::needless_pass_by_value, reason = "a row of a table reads best with plain values")]

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{
    decide::{Verdict, decide},
    load::{Load, Room},
    memory::{Memory, Place},
    view::{Bound, ClaimFacts, ClaimState, Late, NodeFacts, PodFacts, View},
};
use crate::{
    attempts::Attempt,
    facts::Class,
    testing::{claim, node, only_on, pod, seen, volume, with},
};

const LOOP: &str = "loop.orlop.dev";

fn plain(name: &str, more: Value) -> PodFacts {
    with_claims(&pod(name, more), vec![])
}

fn with_claims(pod: &Value, states: Vec<ClaimState>) -> PodFacts {
    let pod = seen(pod);
    let load = Load::of_pod(&pod);
    let claims = states.into_iter().map(|state| ClaimFacts { name: "data".to_owned(), state }).collect();
    PodFacts { pod, waiting_since: None, load, claims }
}

fn holding(state: ClaimState) -> PodFacts {
    with_claims(&pod("web", json!({})), vec![state])
}

fn at(name: &str, more: Value) -> NodeFacts {
    let node = seen(&node(name, more));
    NodeFacts {
        room: Room::of_node(&node),
        node,
        used: Load::default(),
        drivers: BTreeSet::from([LOOP.to_owned()]),
    }
}

fn bound(more: Value) -> Bound {
    let volume = seen(&volume(more));
    Bound { claim: seen(&claim(json!({}))), volume, attaches: true, attached: BTreeSet::new(), held_by: None }
}

fn late(claim_more: Value, class_more: Value) -> Late {
    let class: Arc<Class> =
        seen(&with(json!({"metadata": {"name": "fast"}, "provisioner": LOOP}), &class_more));
    Late { claim: seen(&claim(claim_more)), class, node_local: true, candidates: Vec::new(), attempt: None }
}

fn chosen(node: &str) -> Value {
    json!({"metadata": {"annotations": {"volume.kubernetes.io/selected-node": node}}})
}

fn text(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Assign { node, attach, .. } => {
            let attach =
                attach.as_ref().map_or(String::new(), |volume| format!(", attach {}", volume.name()));
            format!("assign {node}{attach}")
        }
        Verdict::Select { place, claims } => format!("select {} for {}", place.node, claims.len()),
        Verdict::Patience { .. } => "patience".to_owned(),
        Verdict::Unschedulable { message, .. } => message.clone(),
    }
}

fn verdicts(pods: Vec<PodFacts>, nodes: Vec<NodeFacts>) -> Vec<String> {
    let view = View { now: Instant::now(), pods, nodes, places: BTreeMap::new() };
    decide(&view).iter().map(|(key, verdict)| format!("{}: {}", key.name, text(verdict))).collect()
}

#[track_caller]
fn check(row: &str, pod: PodFacts, nodes: Vec<NodeFacts>, wanted: &str) {
    let name = pod.pod.name().to_owned();
    let found = verdicts(vec![pod], nodes).pop().unwrap_or_else(|| format!("{name}: -"));
    let found = found.trim_start_matches(&format!("{name}: ")).to_owned();
    assert!(found.starts_with(wanted), "{row}: {found}, wanted {wanted}");
}

fn one() -> Vec<NodeFacts> {
    vec![at("n1", json!({}))]
}

#[test]
fn whose_turn_it_is() {
    let rows = [
        ("terminating", json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}), "-"),
        ("finished", json!({"status": {"phase": "Failed"}}), "-"),
        ("gated", json!({"spec": {"schedulingGates": [{"name": "example.com/later"}]}}), "-"),
        ("another scheduler's", json!({"spec": {"schedulerName": "mine"}}), "-"),
        ("has a node", json!({"spec": {"nodeName": "n1"}}), "-"),
        ("ours", json!({"spec": {"schedulerName": "default-scheduler"}}), "assign n1"),
    ];
    for (row, more, wanted) in rows {
        check(row, plain("web", more), one(), wanted);
    }
    let brought = with_claims(
        &pod("web", json!({"spec": {"nodeName": "n1"}})),
        vec![ClaimState::Late(late(json!({}), json!({})))],
    );
    check("has a node, its claim none", brought, one(), "select n1 for 1");
}

#[test]
fn claims_that_are_not_there() {
    let rows = [
        (
            ClaimState::Missing,
            "0/1 nodes are available: persistentvolumeclaim \"data\" not found. Create the claim",
        ),
        (
            ClaimState::Terminating,
            "0/1 nodes are available: persistentvolumeclaim \"data\" is being deleted. It goes when no pod on a node uses it",
        ),
        (
            ClaimState::Lost,
            "0/1 nodes are available: persistentvolumeclaim \"data\" bound to non-existent persistentvolume. ",
        ),
        (ClaimState::Unbound, "patience"),
    ];
    for (state, wanted) in rows {
        check(wanted, holding(state), one(), wanted);
    }
    let long = PodFacts {
        waiting_since: Some(Instant::now() - Duration::from_secs(9)),
        ..holding(ClaimState::Unbound)
    };
    check(
        "unbound for long",
        long,
        one(),
        "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims. ",
    );
}

#[test]
fn nodes_that_cannot() {
    let taint = json!({"spec": {"taints": [{"key": "disk", "value": "bad", "effect": "NoSchedule"}]}});
    let prefer = json!({"spec": {"taints": [{"key": "disk", "value": "bad", "effect": "PreferNoSchedule"}]}});
    let tolerates = |toleration: Value| json!({"spec": {"tolerations": [toleration]}});
    let wants =
        |cpu: &str| json!({"spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]}});
    let big = json!({"spec": {"containers": [{"name": "c", "resources": {"requests": {"memory": "9Gi"}}}]}});
    let unready = json!({"status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}});
    let going = json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}});
    let cordoned = json!({"spec": {"unschedulable": true}});
    let full = json!({"status": {"allocatable": {"pods": "0"}}});
    let selector = json!({"spec": {"nodeSelector": {"disk": "ssd"}}});
    let affinity = json!({"spec": {"affinity": {"nodeAffinity":
        {"requiredDuringSchedulingIgnoredDuringExecution": only_on("n2")["required"]}}}});
    let silent = || {
        json!({"spec": {"taints": [{"key": "node.kubernetes.io/unreachable", "effect": "NoSchedule"}]},
        "status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}})
    };
    let none = || json!({});
    let rows = [
        ("being deleted", none(), going, "0/1 nodes are available: 1 node(s) were being deleted. "),
        ("not ready", none(), unready, "0/1 nodes are available: 1 node(s) were not ready. "),
        ("cordoned", none(), cordoned.clone(), "0/1 nodes are available: 1 node(s) were unschedulable. "),
        (
            "cordoned, tolerated",
            tolerates(json!({"key": "node.kubernetes.io/unschedulable", "operator": "Exists"})),
            cordoned,
            "assign",
        ),
        (
            "taint",
            none(),
            taint.clone(),
            "0/1 nodes are available: 1 node(s) had untolerated taint {disk: bad}. ",
        ),
        (
            "taint, another value tolerated",
            tolerates(json!({"key": "disk", "value": "slow"})),
            taint.clone(),
            "0/1",
        ),
        (
            "taint, another effect tolerated",
            tolerates(json!({"key": "disk", "value": "bad", "effect": "NoExecute"})),
            taint.clone(),
            "0/1",
        ),
        (
            "taint, tolerated",
            tolerates(json!({"key": "disk", "value": "bad", "effect": "NoSchedule"})),
            taint.clone(),
            "assign",
        ),
        ("taint, all tolerated", tolerates(json!({"operator": "Exists"})), taint, "assign"),
        ("preferred only", none(), prefer, "assign"),
        (
            "not ready, and tainted for it",
            none(),
            silent(),
            "0/1 nodes are available: 1 node(s) had untolerated taint {node.kubernetes.io/unreachable: }. Nobody hears",
        ),
        ("not ready, and tolerated", tolerates(json!({"operator": "Exists"})), silent(), "assign"),
        (
            "selector",
            selector.clone(),
            none(),
            "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector. ",
        ),
        ("selector, matches", selector, json!({"metadata": {"labels": {"disk": "ssd"}}}), "assign"),
        (
            "affinity",
            affinity,
            none(),
            "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector. ",
        ),
        ("cpu", wants("4500m"), none(), "0/1 nodes are available: 1 Insufficient cpu. "),
        ("cpu, just fits", wants("4"), none(), "assign"),
        ("cpu, node does not say", wants("4500m"), json!({"status": {"allocatable": null}}), "assign"),
        ("memory", big, none(), "0/1 nodes are available: 1 Insufficient memory. "),
        ("places", none(), full, "0/1 nodes are available: 1 Too many pods. "),
    ];
    for (row, pod_more, node_more, wanted) in rows {
        check(row, plain("web", pod_more), vec![at("n1", node_more)], wanted);
    }
    check("no nodes", plain("web", json!({})), vec![], "no nodes available to schedule pods");
    let two = vec![
        at("n1", json!({"spec": {"unschedulable": true}})),
        at("n2", json!({"status": {"allocatable": {"cpu": "1"}}})),
    ];
    check(
        "each counted",
        plain("web", wants("2")),
        two,
        "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) were unschedulable. ",
    );
}

#[test]
fn volumes_decide_the_place() {
    let both = || vec![at("n1", json!({})), at("n2", json!({}))];
    let local =
        json!({"spec": {"nodeAffinity": only_on("n2"), "csi": {"driver": LOOP, "volumeHandle": "h"}}});
    check(
        "where the volume is",
        holding(ClaimState::Bound(bound(local.clone()))),
        both(),
        "assign n2, attach v",
    );
    check(
        "out of reach",
        holding(ClaimState::Bound(bound(local.clone()))),
        one(),
        "0/1 nodes are available: 1 node(s) had volume node affinity conflict. ",
    );
    let attached = Bound { attached: BTreeSet::from(["n2".to_owned()]), ..bound(local.clone()) };
    check("attached already", holding(ClaimState::Bound(attached)), both(), "assign n2");
    let held = Bound { held_by: Some("db".to_owned()), ..bound(local.clone()) };
    check(
        "held by one pod",
        holding(ClaimState::Bound(held)),
        vec![at("n2", json!({}))],
        "0/1 nodes are available: 1 node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode. ",
    );

    check("late", holding(ClaimState::Late(late(json!({}), json!({})))), both(), "select n1 for 1");
    check("late, chosen", holding(ClaimState::Late(late(chosen("n2"), json!({})))), both(), "patience");
    check(
        "late, chosen node gone",
        holding(ClaimState::Late(late(chosen("n9"), json!({})))),
        one(),
        "0/1 nodes are available: 1 node(s) didn't find available persistent volumes to bind. ",
    );
    let long = PodFacts {
        waiting_since: Some(Instant::now() - Duration::from_secs(9)),
        ..holding(ClaimState::Late(late(chosen("n1"), json!({}))))
    };
    check(
        "late, slow",
        long,
        one(),
        "0/1 nodes are available: waiting for the volume of claim \"data\" on node n1. ",
    );
    let bare = NodeFacts { drivers: BTreeSet::new(), ..at("n1", json!({})) };
    check(
        "driver missing",
        holding(ClaimState::Late(late(json!({}), json!({})))),
        vec![bare],
        "0/1 nodes are available: 1 node(s) didn't find available persistent volumes to bind. ",
    );
    let by_hand = json!({"provisioner": "kubernetes.io/no-provisioner"});
    check(
        "by hand, none",
        holding(ClaimState::Late(late(json!({}), by_hand.clone()))),
        both(),
        "0/2 nodes are available: 2 node(s) didn't find available persistent volumes to bind. ",
    );
    let made = Late { candidates: vec![seen(&volume(local))], ..late(json!({}), by_hand) };
    check("by hand, on one", holding(ClaimState::Late(made)), both(), "select n2 for 1");
    let topology = json!({"allowedTopologies": [{"matchLabelExpressions": [{"key": "kubernetes.io/hostname", "values": ["n2"]}]}]});
    check(
        "allowed topologies",
        holding(ClaimState::Late(late(json!({}), topology))),
        both(),
        "select n2 for 1",
    );
    let pool = |name: &str| at(name, json!({"metadata": {"labels": {"topology.orlop.dev/pool-fast": "1f"}}}));
    let fast = || holding(ClaimState::Late(late(json!({}), json!({"parameters": {"pool": "fast"}}))));
    check("pool on one", fast(), vec![at("n1", json!({})), pool("n2")], "select n2 for 1");
    check(
        "pool on none",
        fast(),
        both(),
        "0/2 nodes are available: 2 node(s) had no pool \"fast\", which class",
    );
    let tried = |node: &str, ago: u64| Attempt {
        node: node.to_owned(),
        at: Instant::now() - Duration::from_secs(ago),
        count: 1,
    };
    let again =
        |attempt| holding(ClaimState::Late(Late { attempt: Some(attempt), ..late(json!({}), json!({})) }));
    check(
        "taken back just now",
        again(tried("n1", 0)),
        both(),
        "0/2 nodes are available: the volume of claim \"data\" could not be provisioned on node n1. ",
    );
    check("rather another", again(tried("n1", 5)), both(), "select n2 for 1");
}

#[test]
fn a_node_that_asks_pods_to_go_elsewhere_comes_last() {
    let asks = json!({"spec": {"taints": [{"key": "disk", "value": "slow", "effect": "PreferNoSchedule"}]}});
    let nodes = || vec![at("n1", asks.clone()), at("n2", json!({}))];
    check("another is there", plain("web", json!({})), nodes(), "assign n2");
    let tolerates = json!({"spec": {"tolerations": [{"key": "disk", "operator": "Exists"}]}});
    check("tolerated", plain("web", tolerates), nodes(), "assign n1");
    let big = json!({"spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "3"}}}]}});
    let both = vec![plain("a", big.clone()), plain("b", big)];
    assert_eq!(verdicts(both, nodes()), ["a: assign n2", "b: assign n1"], "no other has room");
}

#[test]
fn pods_share_what_there_is() {
    let wants = |name: &str, cpu: &str| {
        plain(name, json!({"spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]}}))
    };
    let both = || vec![at("n1", json!({})), at("n2", json!({}))];
    let spread = verdicts(vec![wants("a", "1"), wants("b", "1"), wants("c", "1")], both());
    assert_eq!(spread, ["a: assign n1", "b: assign n2", "c: assign n1"]);
    let full = verdicts(vec![wants("a", "3"), wants("b", "3"), wants("c", "3")], both());
    assert_eq!(full[..2], ["a: assign n1", "b: assign n2"]);
    assert!(full[2].starts_with("c: 0/2 nodes are available: 2 Insufficient cpu. "), "{}", full[2]);
}

#[test]
fn of_two_pods_only_one_gets_a_read_write_once_pod_claim() {
    let only = || bound(json!({"spec": {"accessModes": ["ReadWriteOncePod"]}}));
    let pods = ["a", "b"].map(|name| with_claims(&pod(name, json!({})), vec![ClaimState::Bound(only())]));
    assert_eq!(verdicts(pods.into(), one()), ["a: assign n1, attach v", "b: patience"]);
}

#[test]
fn what_a_pod_asks_for() {
    let container =
        |cpu: &str| json!({"name": "c", "resources": {"requests": {"cpu": cpu, "memory": "1Mi"}}});
    let rows = [
        (json!({"containers": [container("1"), container("500m")]}), 1500),
        (json!({"containers": [container("1")], "initContainers": [container("3"), container("2")]}), 3000),
        (json!({"containers": [container("1")], "overhead": {"cpu": "250m"}}), 1250),
        (
            json!({"containers": [container("1")], "initContainers": [
                {"name": "s", "restartPolicy": "Always", "resources": {"requests": {"cpu": "2"}}}, container("2")]}),
            4000,
        ),
        (json!({"containers": [{"name": "c"}]}), 0),
    ];
    for (spec, cpu) in rows {
        let pod = seen(&pod("web", json!({"spec": spec})));
        assert_eq!(Load::of_pod(&pod).cpu, cpu, "{spec}");
    }
}

#[test]
fn room_is_kept_for_pods_whose_volumes_are_being_made() {
    let wants = json!({"spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "3"}}}]}});
    let view = |name: &str, kept_for: &str| {
        let pods = vec![plain(name, wants.clone())];
        let place = Place { node: "n1".to_owned(), load: pods[0].load };
        let places = BTreeMap::from([(plain(kept_for, json!({})).pod.key().clone(), place)]);
        View { now: Instant::now(), pods, nodes: one(), places }
    };
    let text_of = |view: &View| decide(view).iter().map(|(_, verdict)| text(verdict)).collect::<String>();
    assert_eq!(text_of(&view("web", "web")), "assign n1");
    let kept = view("web", "other");
    assert!(text_of(&kept).starts_with("0/1 nodes are available: 1 Insufficient cpu. "));
    let again = matches!(decide(&kept)[0].1, Verdict::Unschedulable { until: Some(_), .. });
    assert!(again, "nothing else may wake it when the place is given back");
}

#[test]
fn what_is_kept_for_a_pod() {
    let place = |node: &str| Place { node: node.to_owned(), load: plain("web", json!({})).load };
    let late = |node: Option<&str>| ClaimState::Late(late(node.map_or(json!({}), chosen), json!({})));
    let has_node = json!({"spec": {"nodeName": "n1"}});
    let going = json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}});
    let finished = json!({"status": {"phase": "Succeeded"}});
    let waits = || json!({});
    let rows = [
        ("on its node", has_node, vec![late(Some("n1"))], None),
        ("terminating", going, vec![late(Some("n1"))], None),
        ("finished", finished, vec![late(Some("n1"))], None),
        ("missing", waits(), vec![late(Some("n1")), ClaimState::Missing], None),
        ("binds at once", waits(), vec![late(Some("n1")), ClaimState::Unbound], None),
        (
            "chosen",
            waits(),
            vec![ClaimState::Bound(bound(json!({}))), late(None), late(Some("n1"))],
            Some("n1"),
        ),
        ("not chosen", waits(), vec![late(None)], None),
        ("bound by now", waits(), vec![ClaimState::Bound(bound(json!({})))], Some("n7")),
        ("no claims", waits(), vec![], Some("n7")),
    ];
    for (row, more, states, wanted) in rows {
        let facts = with_claims(&pod("web", more), states);
        let mut memory = Memory::default();
        memory.see(facts.pod.key(), Some(&with_claims(&pod("web", json!({})), vec![late(Some("n7"))])));
        memory.see(facts.pod.key(), Some(&facts));
        assert_eq!(memory.places().into_values().next(), wanted.map(place), "{row}");
        memory.see(facts.pod.key(), None);
        assert!(memory.places().is_empty(), "{row}, gone");
    }
}
