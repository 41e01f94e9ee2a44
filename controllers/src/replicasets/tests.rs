//! The tables of the replica set controller, row for row, and that it always gets where it wants to be.

#![expect(clippy::needless_pass_by_value, reason = "a row of a table reads best with plain values")]

use std::{collections::HashMap, sync::Arc};

use k8s_openapi::api::apps::v1::ReplicaSet;
use orlop_objects::kind;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{
    decide::{Act, Status, Verdict, decide},
    rank,
    view::Facts,
};
use crate::{
    testing::{seen, with},
    worker::Seen,
    workloads::{
        family::Moves,
        pods::Pod,
        testing::{self, ago, clock, view_of},
    },
};

fn set(more: Value) -> Arc<Seen<ReplicaSet>> {
    let base = json!({
        "metadata": {"name": "web", "namespace": "default", "uid": "r1", "generation": 1},
        "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web", "v": "1"}}, "spec": {"containers": [{"name": "c"}]}}},
        "status": {"replicas": 2, "readyReplicas": 2, "availableReplicas": 2, "fullyLabeledReplicas": 2,
            "observedGeneration": 1},
    });
    seen(&with(base, &more))
}

fn pod(name: &str, more: Value) -> Arc<Pod> {
    let base =
        json!({"metadata": {"name": name, "labels": {"app": "web", "v": "1"}}, "spec": {"nodeName": "n1"}});
    testing::pod("", &with(base, &more))
}

fn facts(set: Arc<Seen<ReplicaSet>>, pods: Vec<Arc<Pod>>) -> Facts {
    Facts { set, pods, moves: Moves::default(), crowd: HashMap::new(), namespace_going: false }
}

fn verdict(facts: Facts) -> Verdict {
    decide(&view_of(&kind::REPLICA_SET, "web", facts)).remove(0).1
}

fn text(verdict: &Verdict) -> String {
    let act = match &verdict.act {
        Act::Move(moves) => format!("move {}+{}", moves.adopt.len(), moves.release.len()),
        Act::Create(count) => format!("create {count}"),
        Act::Delete(pods) => {
            format!("delete {}", pods.iter().map(|pod| pod.name()).collect::<Vec<_>>().join(" "))
        }
        Act::Nothing { until: None } => "nothing".to_owned(),
        Act::Nothing { until: Some(_) } => "later".to_owned(),
    };
    match verdict.status {
        Some(s) => {
            format!("{act}; {} {} {} {} {}", s.replicas, s.fully_labeled, s.ready, s.available, s.terminating)
        }
        None => act,
    }
}

#[test]
fn every_row_of_the_table() {
    let none = || json!({});
    let going = || json!({"metadata": {"deletionTimestamp": ago(1)}});
    let wants = |replicas: i32| json!({"spec": {"replicas": replicas}});
    let two = || vec![pod("a", none()), pod("b", none())];
    let phase = |phase: &str| json!({"status": {"phase": phase, "conditions": []}});
    let rows = [
        ("as many as wanted, and says so", none(), two(), "nothing"),
        ("as many, new generation", json!({"metadata": {"generation": 2}}), two(), "nothing; 2 2 2 2 0"),
        ("too few", wants(5), two(), "create 3"),
        ("far too few", wants(900), two(), "create 500"),
        ("none yet", none(), vec![], "create 2; 0 0 0 0 0"),
        ("too many", wants(1), vec![pod("a", none()), pod("b", phase("Pending"))], "delete b; 2 2 1 1 0"),
        ("none wanted", wants(0), two(), "delete a b"),
        ("the set is going", going(), vec![], "nothing; 0 0 0 0 0"),
        ("one failed", none(), vec![pod("a", none()), pod("b", phase("Failed"))], "create 1; 1 1 1 1 0"),
        ("one ended", none(), vec![pod("a", none()), pod("b", phase("Succeeded"))], "create 1; 1 1 1 1 0"),
        ("one is going", none(), vec![pod("a", none()), pod("b", going())], "create 1; 1 1 1 1 1"),
        (
            "one is not ready",
            none(),
            vec![pod("a", none()), pod("b", phase("Running"))],
            "nothing; 2 2 1 1 0",
        ),
        (
            "one lacks a label",
            none(),
            vec![pod("a", none()), pod("b", json!({"metadata": {"labels": {"v": "0"}}}))],
            "nothing; 2 1 2 2 0",
        ),
        ("ready, not yet for long", json!({"spec": {"minReadySeconds": 95}}), two(), "later; 2 2 2 0 0"),
        ("ready for long", json!({"spec": {"minReadySeconds": 90}}), two(), "nothing"),
    ];
    for (row, more, pods, wanted) in rows {
        assert_eq!(text(&verdict(facts(set(more), pods))), wanted, "{row}");
    }
}

#[test]
fn what_moves_comes_first_and_a_going_namespace_gets_nothing_new() {
    let mut moving = facts(set(json!({})), vec![]);
    moving.moves.adopt.push(pod("a", json!({})).object.clone());
    assert_eq!(text(&verdict(moving)), "move 1+0");
    let going = Facts { namespace_going: true, ..facts(set(json!({})), vec![]) };
    assert_eq!(text(&verdict(going)), "nothing; 0 0 0 0 0");
}

#[test]
fn a_failure_is_said_until_nothing_is_missing() {
    let failing = json!({"status": {"conditions": [{"type": "ReplicaFailure", "status": "True"}]}});
    let missing = verdict(facts(
        set(with(failing.clone(), &json!({"spec": {"replicas": 3}}))),
        vec![pod("a", json!({})), pod("b", json!({}))],
    ));
    assert_eq!(text(&missing), "create 1");
    let whole = verdict(facts(set(failing), vec![pod("a", json!({})), pod("b", json!({}))]));
    assert!(whole.status.is_some_and(|status| !status.failing));
}

#[test]
fn every_row_of_the_ranking() {
    let ready_for = |seconds: i64| json!({"status": {"conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": ago(seconds)}]}});
    let rows = [
        ("no node", json!({"spec": {"nodeName": null}})),
        ("pending", json!({"status": {"phase": "Pending"}})),
        ("unknown", json!({"status": {"phase": "Unknown"}})),
        ("not ready", json!({"status": {"conditions": []}})),
        ("cheap", json!({"metadata": {"annotations": {"controller.kubernetes.io/pod-deletion-cost": "-1"}}})),
        ("crowded", json!({"spec": {"nodeName": "full"}})),
        ("ready of late", ready_for(2)),
        ("restarted", json!({"status": {"containerStatuses": [{"restartCount": 4}]}})),
        ("made of late", json!({"metadata": {"creationTimestamp": ago(2)}})),
        ("by uid", json!({"metadata": {"uid": "a"}})),
    ];
    let crowd = HashMap::from([("n1".to_owned(), 1), ("full".to_owned(), 2)]);
    for (row, more) in rows {
        let pods = vec![pod("x", json!({})), pod("first", more)];
        assert_eq!(rank::lowest(&pods, &crowd, clock(), 1)[0].name(), "first", "{row}");
    }
}

/// What the world makes of a verdict.
fn carry_out(pods: &mut Vec<Arc<Pod>>, act: &Act, made: &mut usize) {
    match act {
        Act::Create(count) => {
            for _ in 0..*count {
                *made += 1;
                pods.push(pod(
                    &format!("new-{made}"),
                    json!({"spec": {"nodeName": null}, "status": {"phase": "Pending"}}),
                ));
            }
        }
        Act::Delete(given) => pods.retain(|pod| !given.iter().any(|gone| gone.name() == pod.name())),
        Act::Move(_) | Act::Nothing { .. } => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn from_any_pods_two_looks_reach_what_is_wanted(
        wanted in 0_usize..20,
        phases in proptest::collection::vec((0_usize..4, any::<bool>()), 0..30),
    ) {
        let names = ["Pending", "Running", "Failed", "Succeeded"];
        let mut pods: Vec<_> = phases.iter().enumerate().map(|(n, (phase, going))| {
            let at = going.then(|| ago(1));
            pod(&format!("p{n}"), json!({"metadata": {"deletionTimestamp": at}, "status": {"phase": names[*phase]}}))
        }).collect();
        let mut made = 0;
        let wants = || set(json!({"spec": {"replicas": wanted}}));
        let first = verdict(facts(wants(), pods.clone()));
        let lost = pods.iter().filter(|pod| pod.is_active() && pod.phase == crate::workloads::pods::Phase::Running).count();
        carry_out(&mut pods, &first.act, &mut made);
        let active = pods.iter().filter(|pod| pod.is_active()).count();
        prop_assert_eq!(active, wanted);
        // Nothing that runs is given up while something that does not is kept.
        let kept = pods.iter().filter(|pod| pod.is_active() && pod.phase == crate::workloads::pods::Phase::Running).count();
        prop_assert_eq!(kept, lost.min(wanted));
        let second = verdict(facts(wants(), pods));
        let rests = matches!(second.act, Act::Nothing { until: None });
        prop_assert!(rests);
    }
}

#[test]
fn a_status_that_was_never_written_is_no_status() {
    let fresh = set(json!({"status": null}));
    assert_ne!(super::decide::told(&fresh), Status { generation: 1, ..Status::default() });
}
