//! The tables of the deployment controller, row for row, and that an update gets to its end within its bounds.

#![expect(clippy::needless_pass_by_value, reason = "a row of a table reads best with plain values")]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use k8s_openapi::api::apps::v1::Deployment;
use orlop_objects::kind;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{
    decide::{Act, Verdict, decide},
    history::{DESIRED, MAX, REVISION},
    progress::Status,
    rolling::{Bounds, Size},
    share::{self, Part},
    view::{Facts, Set},
};
use crate::{
    testing::{object, seen, with},
    worker::Seen,
    workloads::{
        family::Moves,
        testing::{ago, view_of},
    },
};

fn template(image: &str) -> Value {
    json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": image}]}})
}

fn deployment(more: Value) -> Arc<Seen<Deployment>> {
    let base = json!({
        "metadata": {"name": "web", "namespace": "default", "uid": "d1", "generation": 1, "annotations": {}},
        "spec": {"replicas": 4, "selector": {"matchLabels": {"app": "web"}}, "template": template("new"),
            "revisionHistoryLimit": 1, "progressDeadlineSeconds": 600,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}}},
    });
    seen(&with(base, &more))
}

/// Replica set `name` of the template with `image` that wants so many pods; its number is `revision`.
fn set(name: &str, image: &str, wants: i32, available: i32, revision: i64) -> Arc<Set> {
    let generation = 1;
    let value = json!({
        "metadata": {"name": name, "namespace": "default", "uid": name, "generation": generation,
            "annotations": {REVISION: revision.to_string(), DESIRED: "4", MAX: "5"}},
        "spec": {"replicas": wants, "selector": {}, "template": template(image)},
        "status": {"replicas": wants, "readyReplicas": available, "availableReplicas": available,
            "observedGeneration": generation},
    });
    read(&value)
}

fn read(value: &Value) -> Arc<Set> {
    Arc::new(Set::new(object(&kind::REPLICA_SET, value)).expect("readable"))
}

fn facts(deployment: Arc<Seen<Deployment>>, sets: Vec<Arc<Set>>) -> Facts {
    let template = deployment.object.value()["spec"]["template"].take();
    Facts {
        deployment,
        template,
        sets,
        moves: Moves::default(),
        name: "web-h".to_owned(),
        hash: "h".to_owned(),
        taken: false,
        namespace_going: false,
        waiting_since: None,
    }
}

fn verdict(facts: Facts) -> Verdict {
    decide(&view_of(&kind::DEPLOYMENT, "web", facts)).remove(0).1
}

fn recreate() -> Value {
    json!({"spec": {"strategy": {"type": "Recreate", "rollingUpdate": null}}})
}

#[test]
fn every_row_of_the_table() {
    let none = || json!({});
    let going = json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}});
    let wants = |n: i32| json!({"spec": {"replicas": n}});
    let paused = json!({"spec": {"paused": true}});
    let old = |wants, available| set("old", "old", wants, available, 1);
    let new = |wants, available| set("new", "new", wants, available, 2);
    let busy = || {
        let mut object = old(0, 0).set.object.value();
        object["status"]["terminatingReplicas"] = 1.into();
        read(&object)
    };
    let rows = [
        ("nothing yet", none(), vec![], "make web-h of 4"),
        ("going", going, vec![old(4, 4)], "nothing"),
        ("a new template", none(), vec![old(4, 4)], "make web-h of 1"),
        ("surge used up, one may be missing", none(), vec![old(4, 4), new(1, 0)], "change old 4->3"),
        ("no more may be missing", none(), vec![old(3, 3), new(1, 0)], "change new 1->2"),
        ("all room taken", none(), vec![old(3, 3), new(2, 0)], "nothing"),
        ("one more is available", none(), vec![old(3, 3), new(2, 1)], "change old 3->2"),
        ("broken old ones go first", none(), vec![old(4, 2), new(1, 1)], "change old 4->2"),
        ("nearly done", none(), vec![old(1, 1), new(4, 3)], "change old 1->0"),
        ("done", none(), vec![old(0, 0), new(4, 4)], "nothing"),
        (
            "gone back to an old template",
            none(),
            vec![set("new", "new", 0, 0, 1), set("x", "x", 4, 4, 2)],
            "change new 0->1",
        ),
        ("paused, a new template", paused.clone(), vec![old(4, 4)], "nothing"),
        ("paused, resized", with(paused, &wants(6)), vec![old(4, 4)], "change old 4->6"),
        ("resized", wants(2), vec![old(0, 0), new(4, 4)], "change new 4->2"),
        ("resized in the middle", wants(8), vec![old(3, 3), new(2, 1)], "change old 3->6, new 2->4"),
        ("recreate: old ones go", recreate(), vec![old(4, 4)], "change old 4->0"),
        ("recreate: old ones are still going", recreate(), vec![busy()], "nothing"),
        ("recreate: old ones are gone", recreate(), vec![old(0, 0)], "make web-h of 4"),
        ("recreate: not whole", recreate(), vec![old(0, 0), new(1, 1)], "change new 1->4"),
    ];
    for (row, more, sets, wanted) in rows {
        assert_eq!(format!("{:?}", verdict(facts(deployment(more), sets))), wanted, "{row}");
    }
}

#[test]
fn what_moves_comes_first_and_a_taken_name_is_passed_over() {
    let mut moving = facts(deployment(json!({})), vec![]);
    moving.moves.adopt.push(set("x", "x", 0, 0, 1).set.object.clone());
    assert_eq!(format!("{:?}", verdict(moving)), "move 1 0");
    let taken = verdict(Facts { taken: true, ..facts(deployment(json!({})), vec![]) });
    assert_eq!(format!("{taken:?}"), "nothing");
    assert_eq!(taken.status.map(|status| status.collisions), Some(1));
    let going = Facts { namespace_going: true, ..facts(deployment(json!({})), vec![]) };
    assert_eq!(format!("{:?}", verdict(going)), "nothing");
}

#[test]
fn a_deployment_that_recreates_says_what_it_waits_for_when_that_takes_long() {
    let old = || vec![set("old", "old", 0, 0, 1)];
    let lingering = || {
        let mut value = old()[0].set.object.value();
        value["status"]["terminatingReplicas"] = 2.into();
        vec![read(&value)]
    };
    let soon = verdict(facts(deployment(recreate()), lingering()));
    assert!(soon.said.is_none() && soon.until.is_some());
    let long = Instant::now().checked_sub(Duration::from_secs(11));
    let late = verdict(Facts { waiting_since: long, ..facts(deployment(recreate()), lingering()) });
    assert!(late.said.is_some_and(|said| said.message.contains("waits for 2 older pods")));
    let gone = verdict(Facts { waiting_since: long, ..facts(deployment(recreate()), old()) });
    assert!(gone.said.is_none());
}

#[test]
fn the_history_keeps_the_newest_and_what_has_pods() {
    let complete = json!({"status": {"observedGeneration": 1, "replicas": 4, "updatedReplicas": 4,
        "availableReplicas": 4}});
    let sets = vec![
        set("a", "a", 0, 0, 1),
        set("b", "b", 0, 0, 3),
        set("c", "c", 0, 0, 2),
        set("new", "new", 4, 4, 4),
    ];
    let Act::Drop(dropped) = verdict(facts(deployment(complete.clone()), sets.clone())).act else {
        panic!("something is dropped");
    };
    assert_eq!(dropped.iter().map(|set| set.set.name()).collect::<Vec<_>>(), ["a", "c"]);
    let unlimited = with(complete, &json!({"spec": {"revisionHistoryLimit": 9}}));
    assert_eq!(format!("{:?}", verdict(facts(deployment(unlimited), sets.clone()))), "nothing");
    assert_eq!(
        format!("{:?}", verdict(facts(deployment(json!({})), sets))),
        "nothing",
        "not before it is done"
    );
}

#[test]
fn revisions_are_counted_on_sets_and_deployment() {
    let first = verdict(facts(
        deployment(json!({"metadata": {"annotations": {"kubernetes.io/change-cause": "why"}}})),
        vec![],
    ));
    let Act::Make(made) = &first.act else { panic!("a set is made") };
    assert_eq!(made.annotations[REVISION], "1");
    assert_eq!(made.annotations["kubernetes.io/change-cause"], "why");
    assert_eq!((&*made.annotations[DESIRED], &*made.annotations[MAX]), ("4", "5"));
    assert_eq!(first.revision.as_deref(), Some("1"));

    let back =
        verdict(facts(deployment(json!({})), vec![set("new", "new", 0, 0, 1), set("x", "x", 4, 4, 2)]));
    let Act::Change(changes) = &back.act else { panic!("the set is changed") };
    assert_eq!(changes[0].annotations[REVISION], "3");
    assert_eq!(changes[0].annotations["deployment.kubernetes.io/revision-history"], "1");
    assert_eq!(back.revision.as_deref(), Some("3"));
}

/// `Progressing` and `Available`: status and reason.
fn conditions(verdict: &Verdict, told: &Deployment) -> Vec<String> {
    let status = verdict.status.clone().unwrap_or_else(|| Status::told(told));
    let mut all: Vec<String> =
        status.conditions.iter().map(|c| format!("{} {} {}", c.type_, c.status, c.reason)).collect();
    all.sort();
    all
}

#[test]
fn every_row_of_the_conditions() {
    let told = |reason: &str, seconds: i64, numbers: [i32; 3]| {
        let at = ago(seconds);
        json!({"status": {"observedGeneration": 1, "replicas": numbers[0], "updatedReplicas": numbers[1],
            "availableReplicas": numbers[2], "readyReplicas": numbers[2], "conditions": [
            {"type": "Progressing", "status": "True", "reason": reason, "lastUpdateTime": at, "lastTransitionTime": at}]}})
    };
    let new = |wants, available| vec![set("new", "new", wants, available, 1)];
    let paused = json!({"spec": {"paused": true}});
    let rows = [
        ("made", json!({}), vec![], "False MinimumReplicasUnavailable", "True NewReplicaSetCreated"),
        ("found", json!({}), new(4, 0), "False MinimumReplicasUnavailable", "True ReplicaSetUpdated"),
        (
            "moves",
            told("ReplicaSetUpdated", 9, [4, 4, 1]),
            new(4, 3),
            "True MinimumReplicasAvailable",
            "True ReplicaSetUpdated",
        ),
        (
            "stands",
            told("ReplicaSetUpdated", 9, [4, 4, 1]),
            new(4, 1),
            "False MinimumReplicasUnavailable",
            "True ReplicaSetUpdated",
        ),
        (
            "too long",
            told("ReplicaSetUpdated", 600, [4, 4, 1]),
            new(4, 1),
            "False MinimumReplicasUnavailable",
            "False ProgressDeadlineExceeded",
        ),
        (
            "late, and moves",
            told("ProgressDeadlineExceeded", 900, [4, 4, 1]),
            new(4, 2),
            "False MinimumReplicasUnavailable",
            "True ReplicaSetUpdated",
        ),
        (
            "whole",
            told("ReplicaSetUpdated", 9, [4, 4, 3]),
            new(4, 4),
            "True MinimumReplicasAvailable",
            "True NewReplicaSetAvailable",
        ),
        (
            "was whole, lost one",
            told("NewReplicaSetAvailable", 900, [4, 4, 4]),
            new(4, 3),
            "True MinimumReplicasAvailable",
            "True NewReplicaSetAvailable",
        ),
        (
            "paused",
            with(told("NewReplicaSetAvailable", 9, [4, 4, 4]), &paused),
            new(4, 4),
            "True MinimumReplicasAvailable",
            "Unknown DeploymentPaused",
        ),
        (
            "resumed",
            told("DeploymentPaused", 9, [4, 4, 4]),
            new(4, 3),
            "True MinimumReplicasAvailable",
            "Unknown DeploymentResumed",
        ),
    ];
    for (row, more, sets, available, progressing) in rows {
        let deployment = deployment(more);
        let found = conditions(&verdict(facts(deployment.clone(), sets)), &deployment);
        assert_eq!(found, [format!("Available {available}"), format!("Progressing {progressing}")], "{row}");
    }
}

#[test]
fn a_deadline_wakes_and_none_is_none() {
    let at = ago(590);
    let told = json!({"status": {"replicas": 4, "updatedReplicas": 4, "conditions": [
        {"type": "Progressing", "status": "True", "reason": "ReplicaSetUpdated", "lastUpdateTime": at}]}});
    let now = Instant::now();
    let waits = verdict(facts(deployment(told.clone()), vec![set("new", "new", 4, 0, 1)]));
    let left = waits.until.expect("it waits").duration_since(now);
    assert!(left > Duration::from_secs(9) && left < Duration::from_secs(11), "{left:?}");
    let never = with(told, &json!({"spec": {"progressDeadlineSeconds": null}}));
    let never = verdict(facts(deployment(never), vec![set("new", "new", 4, 0, 1)]));
    assert!(never.until.is_none());
    assert!(never.status.is_some_and(|status| status.conditions.iter().all(|c| c.type_ == "Available")));
}

#[test]
fn every_row_of_sharing_out() {
    let part = |wants, available, most| Part { wants, available, desired: Some(10), most: Some(most) };
    let bounds = |wanted| Bounds { wanted, surge: 3, unavailable: 2 };
    let rows = [
        ("none active", vec![part(0, 0, 13), part(0, 0, 13)], Some(1), 5, vec![0, 5]),
        ("one active", vec![part(7, 7, 13), part(0, 0, 13)], Some(1), 5, vec![5, 0]),
        ("the new one is whole", vec![part(2, 2, 13), part(10, 10, 13)], Some(1), 10, vec![0, 10]),
        ("more", vec![part(8, 8, 13), part(5, 0, 13)], Some(1), 15, vec![11, 7]),
        ("fewer", vec![part(8, 8, 13), part(5, 0, 13)], Some(1), 5, vec![5, 3]),
        ("nothing", vec![part(8, 8, 13), part(5, 0, 13)], Some(1), 0, vec![0, 0]),
    ];
    for (row, parts, new, wanted, sizes) in rows {
        assert_eq!(share::sizes(&parts, new, bounds(wanted), 13, true), sizes, "{row}");
    }
}

/// A replica set with pods behind it, as far as numbers go.
#[derive(Clone, Debug, Default)]
struct Model {
    wants: i32,
    pods: i32,
    available: i32,
    told: i32,
}

impl Model {
    /// What the replica set controller does: broken pods go first.
    fn sync(&mut self) {
        self.pods = self.wants;
        self.available = self.available.min(self.pods);
        self.told = self.available;
    }

    fn size(&self) -> Size {
        Size { wants: self.wants, available: self.told }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn an_update_ends_and_never_leaves_its_bounds(
        (wanted, surge, unavailable) in (1_i32..12, 0_i32..5, 0_i32..5),
        order in proptest::collection::vec((0_usize..3, 0_usize..3), 0..60),
    ) {
        let unavailable = if surge == 0 && unavailable == 0 { 1 } else { unavailable.min(wanted) };
        let bounds = Bounds { wanted, surge, unavailable };
        let whole = Model { wants: wanted, pods: wanted, available: wanted, told: wanted };
        // Two old templates, the first of which has all the pods, and the new one.
        let mut sets = [whole, Model::default(), Model::default()];
        let roll = |sets: &mut [Model; 3]| {
            let all = sets.iter().map(|set| set.wants).sum();
            let new = bounds.new_size(sets[2].wants, all);
            if new != sets[2].wants {
                sets[2].wants = new;
                return;
            }
            let sizes = bounds.old_sizes(sets[2].size(), &[sets[0].size(), sets[1].size()]);
            sets[0].wants = sizes[0];
            sets[1].wants = sizes[1];
        };
        let check = |sets: &[Model; 3]| {
            prop_assert!(sets.iter().map(|set| set.wants).sum::<i32>() <= bounds.most(), "{sets:?}");
            prop_assert!(sets.iter().map(|set| set.available.min(set.wants)).sum::<i32>() >= bounds.least(), "{sets:?}");
            Ok(())
        };
        for (what, which) in order {
            match what {
                0 => roll(&mut sets),
                1 => sets[which].sync(),
                _ => sets[which].available = (sets[which].available + 1).min(sets[which].pods),
            }
            check(&sets)?;
        }
        for _ in 0..8 * wanted + 8 {
            roll(&mut sets);
            check(&sets)?;
            for set in &mut sets {
                set.sync();
                set.available = set.pods;
                set.told = set.available;
            }
        }
        prop_assert_eq!(sets.map(|set| set.wants), [0, 0, wanted]);
    }

    #[test]
    fn what_is_shared_out_is_all(
        wants in proptest::collection::vec(0_i32..20, 1..5),
        (wanted, surge) in (0_i32..40, 0_i32..6),
    ) {
        let most = wants.iter().sum::<i32>();
        let parts: Vec<Part> = wants.iter()
            .map(|wants| Part { wants: *wants, available: 0, desired: Some(1), most: Some(most) }).collect();
        let bounds = Bounds { wanted, surge, unavailable: 0 };
        let sizes = share::sizes(&parts, Some(parts.len() - 1), bounds, most, true);
        prop_assert!(sizes.iter().all(|size| *size >= 0));
        let active = wants.iter().filter(|wants| **wants > 0).count();
        let all = if active > 1 && wanted > 0 { bounds.most() } else { wanted };
        prop_assert_eq!(sizes.iter().sum::<i32>(), all);
    }
}
