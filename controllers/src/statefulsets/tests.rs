//! The table of the stateful set controller, row for row, and what holds on every way to the end: never two pods of one
//! number, in order where that is asked for.

#![expect(clippy::needless_pass_by_value, reason = "a row of a table reads best with plain values")]

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use orlop_objects::{kind, schema};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{
    claims,
    decide::{Act, Verdict, decide},
    form,
    view::Facts,
};
use crate::{
    testing::{object, seen, with},
    workloads::{
        family::Moves,
        pods::Pod,
        revisions::{History, Step},
        testing::{self, says, view_of},
    },
};

/// Set `web` of three, whose template has the image `new`.
fn set(more: Value) -> Value {
    let base = json!({
        "metadata": {"name": "web", "namespace": "default", "uid": "s1", "generation": 1},
        "spec": {"replicas": 3, "serviceName": "web", "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "new"}]}}},
        "status": {"replicas": 0, "currentRevision": "web-old", "updateRevision": "web-new"},
    });
    let mut set = with(base, &more);
    schema::apply_defaults(&kind::STATEFUL_SET, &mut set);
    set
}

/// The revisions `web-old` and, the last, `web-new`.
fn history(set: &Value, images: &[&str]) -> History {
    testing::history(&kind::STATEFUL_SET, set, images)
}

/// `new`, `old`: of that revision; `lost`: on a silent node; then the words of [`testing::pod`].
fn pod(ordinal: i32, words: &str) -> Arc<Pod> {
    let revision = if says(words, "old") { "web-old" } else { "web-new" };
    testing::pod(
        words,
        &json!({
            "metadata": {"name": form::name("web", ordinal),
                "labels": {"app": "web", "controller-revision-hash": revision}},
            "spec": {"nodeName": if says(words, "lost") { "n9" } else { "n1" }},
        }),
    )
}

fn facts(set: &Value, pods: BTreeMap<i32, Arc<Pod>>) -> Facts {
    Facts {
        set: seen(set),
        spec: Arc::new(set["spec"].clone()),
        pods,
        history: history(set, &["old", "new"]),
        moves: Moves::default(),
        claims: BTreeMap::new(),
        strangers: BTreeSet::new(),
        silent: BTreeSet::from(["n9".to_owned()]),
        namespace_going: false,
        waiting_since: None,
    }
}

fn verdict(facts: Facts) -> Verdict {
    decide(&view_of(&kind::STATEFUL_SET, "web", facts)).remove(0).1
}

fn text(act: &Act) -> String {
    match act {
        Act::Move(moves) => format!("move {}", moves.adopt.len()),
        Act::Revise(Step::Remember(form)) => format!("remember {}", form["revision"]),
        Act::Revise(Step::Renumber(revision, number)) => format!("renumber {} {number}", revision.meta.name),
        Act::Revise(Step::Forget(revisions)) => format!("forget {}", revisions.len()),
        Act::Own(claims) => format!("own {}", claims.len()),
        Act::Create(births) => {
            let birth = |b: &super::decide::Birth| {
                let of = b.pod.as_ref().map_or("-", |pod| {
                    pod["metadata"]["labels"][form::REVISION]
                        .as_str()
                        .unwrap_or("?")
                        .trim_start_matches("web-")
                });
                format!("{} {of}+{}", b.name, b.claims.len())
            };
            format!("create {}", births.iter().map(birth).collect::<Vec<_>>().join(", "))
        }
        Act::Delete(pods) => {
            let death = |(pod, why): &(Arc<Pod>, super::decide::Why)| format!("{} {why:?}", pod.name());
            format!("delete {}", pods.iter().map(death).collect::<Vec<_>>().join(", "))
        }
        Act::Wait { said, .. } => format!("wait {}", said.as_ref().map_or("", |said| said.reason)),
        Act::Settled => "settled".to_owned(),
    }
}

fn pods(words: &[&str]) -> BTreeMap<i32, Arc<Pod>> {
    let there = (0..).zip(words).filter(|(_, words)| !words.is_empty());
    there.map(|(n, words)| (n, pod(n, words))).collect()
}

#[test]
fn every_row_of_the_table_in_order() {
    let none = || json!({});
    let wants = |n: i32| json!({"spec": {"replicas": n}});
    let partition = |n: i32| json!({"spec": {"updateStrategy": {"rollingUpdate": {"partition": n}}}});
    let on_delete = || json!({"spec": {"updateStrategy": {"type": "OnDelete", "rollingUpdate": null}}});
    let going = || json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}});
    let rows: [(&str, Value, &[&str], &str); 25] = [
        ("nothing yet", none(), &[], "create web-0 new+0"),
        ("going", going(), &["new"], "settled"),
        ("the first is not ready", none(), &["new unready"], "wait "),
        ("the first is pending", none(), &["new pending"], "wait "),
        ("the first is ready", none(), &["new"], "create web-1 new+0"),
        ("whole", none(), &["new", "new", "new"], "settled"),
        ("one failed", none(), &["new", "new failed", "new"], "delete web-1 Failed"),
        ("one ended", none(), &["new", "new ended", "new"], "delete web-1 Ended"),
        ("one is going", none(), &["new", "new going", "new"], "wait "),
        ("one is going on a lost node", none(), &["new", "new going lost", "new"], "wait PodHeldByLostNode"),
        ("one is missing in the middle", none(), &["new", "", "new"], "create web-1 new+0"),
        ("one too many", wants(2), &["new", "new", "new"], "delete web-2 Replaced"),
        ("two too many", wants(1), &["new", "new", "new"], "delete web-2 Replaced"),
        ("too many, the highest is going", wants(1), &["new", "new", "new going"], "wait "),
        ("too many, a wanted one is not ready", wants(2), &["new", "new unready", "new"], "wait "),
        (
            "too many, the highest is broken",
            wants(2),
            &["new", "new", "new unready"],
            "delete web-2 Replaced",
        ),
        ("an update, from the highest down", none(), &["old", "old", "old"], "delete web-2 Replaced"),
        ("the next", none(), &["old", "old", "new"], "delete web-1 Replaced"),
        ("the highest is not ready", none(), &["old", "old", "new unready"], "wait "),
        ("to the partition", partition(2), &["old", "old", "new"], "settled"),
        ("below the partition", partition(2), &["", "old", "new"], "create web-0 old+0"),
        ("above the partition", partition(2), &["old", "old", ""], "create web-2 new+0"),
        ("OnDelete", on_delete(), &["old", "old", "old"], "settled"),
        ("OnDelete, deleted by hand", on_delete(), &["old", "", "old"], "create web-1 new+0"),
        ("numbers from five on", json!({"spec": {"ordinals": {"start": 5}}}), &["new"], "create web-5 new+0"),
    ];
    for (row, more, words, wanted) in rows {
        assert_eq!(text(&verdict(facts(&set(more), pods(words))).act), wanted, "{row}");
    }
}

#[test]
fn every_row_of_the_table_in_parallel() {
    let parallel = |more: Value| set(with(json!({"spec": {"podManagementPolicy": "Parallel"}}), &more));
    let none = || json!({});
    let two_missing = json!({"spec": {"updateStrategy": {"rollingUpdate": {"maxUnavailable": 2}}}});
    let rows: [(&str, Value, &[&str], &str); 10] = [
        ("nothing yet", none(), &[], "create web-0 new+0, web-1 new+0, web-2 new+0"),
        ("one is pending", none(), &["new pending"], "create web-1 new+0, web-2 new+0"),
        ("two ended", none(), &["new failed", "new", "new ended"], "delete web-0 Failed, web-2 Ended"),
        ("one is going", none(), &["new going", "", "new"], "create web-1 new+0"),
        ("all are there, one is not ready", none(), &["new", "new unready", "new"], "wait "),
        (
            "too many",
            json!({"spec": {"replicas": 1}}),
            &["new", "new", "new unready"],
            "delete web-2 Replaced, web-1 Replaced",
        ),
        ("an update", none(), &["old", "old", "old"], "delete web-2 Replaced"),
        (
            "an update, two may be missing",
            two_missing,
            &["old", "old", "old"],
            "delete web-2 Replaced, web-1 Replaced",
        ),
        ("what is broken costs nothing", none(), &["old", "old unready", "old"], "delete web-1 Replaced"),
        ("one is going on a lost node", none(), &["new", "new going lost", "new"], "wait PodHeldByLostNode"),
    ];
    for (row, more, words, wanted) in rows {
        assert_eq!(text(&verdict(facts(&parallel(more), pods(words))).act), wanted, "{row}");
    }
}

#[test]
fn revisions_and_what_moves_come_first() {
    let set = set(json!({}));
    let with_history = |images: &[&str]| {
        let facts = Facts { history: history(&set, images), ..facts(&set, BTreeMap::new()) };
        text(&verdict(facts).act)
    };
    assert_eq!(with_history(&[]), "remember 1");
    assert_eq!(with_history(&["old"]), "remember 2");
    assert_eq!(with_history(&["new", "old"]), "renumber web-new 3");
    let mut moving = facts(&set, BTreeMap::new());
    moving.moves.adopt.push(pod(0, "new").object.clone());
    assert_eq!(text(&verdict(moving).act), "move 1");
    let taken =
        Facts { history: History { taken: true, ..history(&set, &[]) }, ..facts(&set, BTreeMap::new()) };
    let taken = verdict(taken);
    assert_eq!(text(&taken.act), "settled");
    assert_eq!(taken.status.map(|status| status.collisions), Some(1));
    let old = self::set(json!({"spec": {"revisionHistoryLimit": 0}}));
    let whole =
        Facts { history: history(&old, &["x", "y", "new"]), ..facts(&old, pods(&["new", "new", "new"])) };
    assert_eq!(text(&verdict(whole).act), "forget 2");
}

#[test]
fn what_stands_in_the_way_is_said() {
    let claims = json!({"spec": {"volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {}}]}});
    let set = set(claims);
    let said = |facts: Facts| match verdict(facts).act {
        Act::Wait { said: Some(said), .. } => said.message,
        act => text(&act),
    };
    let none = || facts(&set, BTreeMap::new());
    assert_eq!(said(none()), "create web-0 new+1");
    let stranger = Facts { strangers: BTreeSet::from(["web-0".to_owned()]), ..none() };
    assert!(said(stranger).contains("pod \"web-0\" is there already and not this set's"));
    let claim = |more: Value| {
        let base = json!({"metadata": {"name": "data-web-0", "namespace": "default"}});
        BTreeMap::from([(
            "data-web-0".to_owned(),
            object(&kind::PERSISTENT_VOLUME_CLAIM, &with(base, &more)),
        )])
    };
    assert_eq!(said(Facts { claims: claim(json!({})), ..none() }), "create web-0 new+0");
    let going = claim(json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}));
    assert!(said(Facts { claims: going, ..none() }).contains("claim \"data-web-0\" is being deleted"));
    let stale =
        claim(json!({"metadata": {"ownerReferences": [{"kind": "Pod", "apiVersion": "v1", "uid": "gone"}]}}));
    assert!(said(Facts { claims: stale, ..none() }).contains("claim \"data-web-0\" is being deleted"));
    let lacking = facts(&set, pods(&["new pending"]));
    assert_eq!(text(&verdict(lacking).act), "create web-0 -+1");
    let going = Facts { namespace_going: true, ..none() };
    assert_eq!(said(going), "wait ");

    let now = Instant::now();
    let long = now.checked_sub(Duration::from_secs(11));
    let waits =
        Facts { waiting_since: long, claims: claim(json!({})), ..facts(&set, pods(&["new unready"])) };
    assert_eq!(said(waits), "waits for pod web-0: it is not ready");
    let lost =
        Facts { waiting_since: long, claims: claim(json!({})), ..facts(&set, pods(&["new unready lost"])) };
    assert_eq!(said(lost), "waits for pod web-0: its node n9 does not answer");
}

#[test]
fn claims_of_numbers_too_high_go_with_their_pods_where_the_policy_says_so() {
    let set =
        set(json!({"spec": {"replicas": 1, "persistentVolumeClaimRetentionPolicy": {"whenScaled": "Delete"},
        "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {}}]}}));
    let claim = |n: i32| {
        let name = claims::name("data", "web", n);
        let claim = json!({"metadata": {"name": name, "namespace": "default"}});
        (name, object(&kind::PERSISTENT_VOLUME_CLAIM, &claim))
    };
    let facts = Facts { claims: BTreeMap::from([claim(0), claim(1)]), ..facts(&set, pods(&["new", "new"])) };
    let Act::Own(owned) = verdict(facts).act else { panic!("the claim gets its pod as owner") };
    assert_eq!((owned.len(), &*owned[0].0.meta.name), (1, "data-web-1"));
    assert_eq!(owned[0].1[0]["uid"], "web-1");
}

#[test]
fn the_current_revision_follows_when_all_pods_have() {
    let status = |words: &[&str]| {
        let status = verdict(facts(&set(json!({})), pods(words))).status.expect("it changes");
        (status.replicas, status.ready, status.current, status.updated, status.current_revision)
    };
    assert_eq!(status(&["old", "old", "new"]), (3, 3, 2, 1, "web-old".to_owned()));
    assert_eq!(status(&["new", "new", "new unready"]), (3, 2, 0, 3, "web-old".to_owned()));
    assert_eq!(status(&["new", "new", "new"]), (3, 3, 3, 3, "web-new".to_owned()));
}

/// What the world makes of a verdict: pods are made pending, and go only after they were asked to.
fn carry_out(pods: &mut BTreeMap<i32, String>, act: &Act, ordered: bool) -> Result<(), TestCaseError> {
    match act {
        Act::Create(births) => {
            prop_assert!(!ordered || births.len() == 1);
            for birth in births {
                let ordinal = form::ordinal("web", &birth.name).expect("a number");
                prop_assert!(!pods.contains_key(&ordinal), "two of {}", birth.name);
                let below =
                    (0..ordinal).all(|n| pods.get(&n).is_some_and(|words| words == "new" || words == "old"));
                prop_assert!(!ordered || below, "{} before its turn: {pods:?}", birth.name);
                pods.insert(ordinal, "new pending".to_owned());
            }
        }
        Act::Delete(dead) => {
            prop_assert!(!ordered || dead.len() == 1);
            for (pod, _) in dead {
                let ordinal = form::ordinal("web", pod.name()).expect("a number");
                let words = pods.get_mut(&ordinal).expect("it was seen");
                prop_assert!(!words.contains("going"));
                words.push_str(" going");
            }
        }
        _ => {}
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn from_any_pods_it_gets_there_and_never_has_two_of_one_number(
        ordered in any::<bool>(),
        wanted in 0_i32..5,
        start in proptest::collection::vec(0_usize..9, 0..7),
        moves in proptest::collection::vec((0_i32..7, any::<bool>()), 0..40),
    ) {
        let states = ["", "new", "old", "new pending", "old pending", "new failed", "old ended", "new going", "old unready"];
        let mut pods: BTreeMap<i32, String> =
            (0..).zip(start).filter(|(_, s)| *s > 0).map(|(n, s)| (n, states[s].to_owned())).collect();
        let policy = if ordered { "OrderedReady" } else { "Parallel" };
        let set = set(json!({"spec": {"replicas": wanted, "podManagementPolicy": policy}}));
        let look = |pods: &BTreeMap<i32, String>| {
            let there = pods.iter().map(|(n, words)| (*n, pod(*n, words))).collect();
            verdict(facts(&set, there)).act
        };
        for (which, looks) in moves {
            if looks {
                let act = look(&pods);
                carry_out(&mut pods, &act, ordered)?;
            } else if let Some(words) = pods.get(&which).cloned() {
                if words.contains("going") {
                    pods.remove(&which);
                } else {
                    pods.insert(which, words.split(' ').next().unwrap_or_default().to_owned());
                }
            }
        }
        for _ in 0..200 {
            let act = look(&pods);
            if matches!(act, Act::Settled) && pods.values().all(|words| !words.contains("going")) {
                break;
            }
            carry_out(&mut pods, &act, ordered)?;
            if matches!(act, Act::Wait { .. } | Act::Settled) {
                pods.retain(|_, words| !words.contains("going"));
                pods.values_mut().for_each(|words| *words = words.split(' ').next().unwrap_or_default().to_owned());
            }
        }
        let wanted: BTreeMap<i32, String> = (0..wanted).map(|n| (n, "new".to_owned())).collect();
        prop_assert_eq!(pods, wanted);
    }
}
