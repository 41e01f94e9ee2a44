//! The binder's tables, row for row, and a small model that binds at random.

#![expect(clippy::needless_pass_by_value, reason = "a row of a table reads best with plain values")]

use std::sync::Arc;

use serde_json::{Value, json};

use super::{
    decide::{Verdict, decide},
    view::{ClaimFacts, View, VolumeFacts},
};
use crate::{
    events::Said,
    facts::{Class, Volume},
    testing::{claim, node, only_on, seen, volume, with},
};

/// The facts about a claim that names the class `fast`, which binds at once.
fn facts(claim: Value, candidates: &[Value]) -> ClaimFacts {
    ClaimFacts {
        claim: seen(&claim),
        class: Some(class(json!({}))),
        default_class: None,
        named: None,
        candidates: candidates.iter().map(seen).collect(),
        node: None,
        waiting_pods: Vec::new(),
    }
}

fn class(more: Value) -> Arc<Class> {
    seen(&with(json!({"metadata": {"name": "fast"}, "provisioner": "loop.orlop.dev"}), &more))
}

fn late(claim: Value, candidates: &[Value]) -> ClaimFacts {
    let late = json!({"volumeBindingMode": "WaitForFirstConsumer"});
    ClaimFacts { class: Some(class(late)), ..facts(claim, candidates) }
}

fn names(volume: Option<Value>, more: Value) -> ClaimFacts {
    let asks = with(json!({"spec": {"volumeName": "v"}}), &more);
    ClaimFacts { named: volume.map(|volume| seen(&volume)), ..facts(claim(asks), &[]) }
}

fn bound(volume: Option<Value>, more: Value) -> ClaimFacts {
    let bound = json!({"metadata": {"annotations": {"pv.kubernetes.io/bind-completed": "yes"}},
        "status": {"phase": "Bound"}});
    names(volume, with(bound, &more))
}

fn held_by(uid: Option<&str>, more: Value) -> Value {
    let mut reference = json!({"namespace": "default", "name": "data"});
    if let Some(uid) = uid {
        reference["uid"] = uid.into();
    }
    volume(with(json!({"spec": {"claimRef": reference}}), &more))
}

fn text(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Bind { volume, .. } => format!("bind {}", volume.name()),
        Verdict::Lose { said, .. } => format!("lose {}", said.reason),
        Verdict::AssignClass { class, .. } => format!("class {class}"),
        Verdict::Phase { phase, .. } => (*phase).to_owned(),
        Verdict::Unclaim { keep_name: true, .. } => "unclaim, keep the name".to_owned(),
        Verdict::Unclaim { keep_name: false, .. } => "unclaim".to_owned(),
        Verdict::Wait { said: None, .. } => "wait".to_owned(),
        Verdict::Wait { said: Some(Said { reason, message, .. }), .. } => format!("wait {reason}: {message}"),
    }
}

#[track_caller]
fn check(row: &str, facts: ClaimFacts, wanted: &str) {
    let verdicts = decide(&View { claims: vec![facts], volumes: Vec::new() });
    let found = verdicts.first().map_or("-".to_owned(), |(_, verdict)| text(verdict));
    assert!(
        found == wanted || (wanted.ends_with('…') && found.starts_with(wanted.trim_end_matches('…'))),
        "{row}: {found}, wanted {wanted}"
    );
}

#[test]
fn claims_that_were_bound_once() {
    let written = json!({"status": {"phase": "Bound"}});
    let has = || Some(held_by(Some("c1"), written.clone()));
    check("all is written", bound(has(), json!({})), "-");
    let more = json!({"spec": {"resources": {"requests": {"storage": "2Gi"}}}});
    let words = "wait VolumeResizeFailed: volumes do not grow yet; the claim asks for 2Gi and keeps 1Gi: …";
    check("asks for more by now", bound(has(), more.clone()), words);
    let going = json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}});
    check("asks for more, and goes", bound(has(), with(more, &going)), "-");
    check("a phase is missing", bound(Some(held_by(Some("c1"), json!({}))), json!({})), "bind v");
    check("the volume lost its half", bound(Some(volume(json!({}))), json!({})), "bind v");
    check("kept by name", bound(Some(held_by(None, json!({}))), json!({})), "bind v");
    check("the volume is gone", bound(None, json!({})), "lose ClaimLost");
    check("gone, and said so", bound(None, json!({"status": {"phase": "Lost"}})), "-");
    check("names none any more", bound(None, json!({"spec": {"volumeName": null}})), "lose ClaimLost");
    check("another's", bound(Some(held_by(Some("c0"), json!({}))), json!({})), "lose ClaimMisbound");
    let back = held_by(Some("c1"), json!({"status": {"phase": "Bound"}}));
    check("lost, and back again", bound(Some(back), json!({"status": {"phase": "Lost"}})), "bind v");
}

#[test]
fn claims_that_name_a_volume() {
    let going = json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}});
    check("terminating itself", names(Some(volume(json!({}))), going.clone()), "-");
    check("missing", names(None, json!({})), "wait FailedBinding: volume \"v\" not found; …");
    check(
        "terminating",
        names(Some(volume(going)), json!({})),
        "wait FailedBinding: volume \"v\" is being deleted…",
    );
    let taken =
        "wait FailedBinding: volume \"v\" already bound to a different claim. It is held by claim default/…";
    check("another uid under its name", names(Some(held_by(Some("c0"), json!({}))), json!({})), taken);
    let other = volume(json!({"spec": {"claimRef": {"namespace": "default", "name": "other"}}}));
    check("kept for another", names(Some(other), json!({})), taken);
    check("free", names(Some(volume(json!({}))), json!({})), "bind v");
    check("kept for it", names(Some(held_by(None, json!({}))), json!({})), "bind v");
    check("holds its uid", names(Some(held_by(Some("c1"), json!({}))), json!({})), "bind v");
    let slow = json!({"spec": {"storageClassName": "slow"}});
    check("kept for it, of another class", names(Some(held_by(None, slow.clone())), json!({})), "bind v");
    let misfit =
        |words: &str| format!("wait VolumeMismatch: Cannot bind to requested volume \"v\": {words}…");
    let rows = [
        (slow, "storageClassName does not match"),
        (json!({"spec": {"capacity": {"storage": "1023Mi"}}}), "requested PV is too small"),
        (json!({"spec": {"volumeMode": "Block"}}), "incompatible volumeMode"),
        (json!({"spec": {"accessModes": ["ReadOnlyMany"]}}), "incompatible accessMode"),
    ];
    for (more, words) in rows {
        check(words, names(Some(volume(more)), json!({})), &misfit(words));
    }
    let small = json!({"spec": {"capacity": {"storage": "1"}}});
    check(
        "kept for it, too small",
        names(Some(held_by(None, small)), json!({})),
        &misfit("requested PV is too small"),
    );
}

#[test]
fn claims_that_search() {
    let named = |name: &str, more: Value| volume(with(json!({"metadata": {"name": name}}), &more));
    let sized = |name: &str, size: &str| named(name, json!({"spec": {"capacity": {"storage": size}}}));
    let own =
        held_by(Some("c1"), json!({"metadata": {"name": "own"}, "spec": {"capacity": {"storage": "9Gi"}}}));
    let kept = held_by(None, json!({"metadata": {"name": "kept"}, "spec": {"storageClassName": "other"}}));
    let free = [sized("b", "2Gi"), sized("c", "1500Mi"), sized("a", "2Gi"), sized("small", "1Mi")];
    check("the smallest that fits", facts(claim(json!({})), &free), "bind c");
    check(
        "of equal ones the first by name",
        facts(claim(json!({})), &[free[0].clone(), free[2].clone()]),
        "bind a",
    );
    check(
        "kept for it, of any class",
        facts(claim(json!({})), &[free[1].clone(), kept.clone()]),
        "bind kept",
    );
    check("made for it", facts(claim(json!({})), &[kept.clone(), own.clone()]), "bind own");
    let two = named("two", json!({"spec": {"accessModes": ["ReadWriteOnce", "ReadOnlyMany"]}}));
    check("fewest modes to spare", facts(claim(json!({})), &[two, named("y", json!({}))]), "bind y");
    let more = json!({"spec": {"accessModes": ["ReadWriteOnce", "ReadWriteMany"]}});
    check("a mode is lacking", facts(claim(more), &free), "wait");
    check("block", facts(claim(json!({"spec": {"volumeMode": "Block"}})), &free), "wait");
    let going = named("going", json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}));
    check("terminating", facts(claim(json!({})), &[going]), "wait");
    let selector = json!({"spec": {"selector": {"matchLabels": {"tier": "gold"}}}});
    let gold = named(
        "gold",
        json!({"metadata": {"labels": {"tier": "gold"}}, "spec": {"capacity": {"storage": "9Gi"}}}),
    );
    check("selector", facts(claim(selector.clone()), &[free[1].clone(), gold]), "bind gold");
    check("selector, nothing taken", facts(claim(selector), &free), "wait");
    check("none, class named", facts(claim(json!({})), &[]), "wait");
    let none = json!({"spec": {"storageClassName": ""}});
    let unclassed = named("plain", json!({"spec": {"storageClassName": null}}));
    check(
        "class \"\" takes volumes without class",
        facts(claim(none.clone()), std::slice::from_ref(&unclassed)),
        "bind plain",
    );
    check(
        "class \"\" takes no others",
        facts(claim(none.clone()), &free),
        "wait FailedBinding: no persistent volumes available for this claim and no storage class is set…",
    );
    let silent = claim(json!({"spec": {"storageClassName": null}}));
    check("no class takes volumes without class", facts(silent.clone(), &[unclassed]), "bind plain");
    check("no class, no default", facts(silent.clone(), &[]), "wait FailedBinding: …");
    let default = |claim: Value| ClaimFacts { default_class: Some("loop".to_owned()), ..facts(claim, &[]) };
    check("no class, a default one appeared", default(silent), "class loop");
    check("class \"\" stays", default(claim(none)), "wait FailedBinding: …");
    check("class gone", ClaimFacts { class: None, ..facts(claim(json!({})), &free) }, "bind c");
}

#[test]
fn claims_whose_class_binds_late() {
    let free = [
        volume(
            json!({"metadata": {"name": "n1"}, "spec": {"nodeAffinity": only_on("n1"), "capacity": {"storage": "9Gi"}}}),
        ),
        volume(json!({"metadata": {"name": "n2"}, "spec": {"nodeAffinity": only_on("n2")}})),
    ];
    check(
        "nobody yet",
        late(claim(json!({})), &free),
        "wait WaitForFirstConsumer: waiting for first consumer to be created before binding…",
    );
    let pods = ClaimFacts { waiting_pods: vec!["web".to_owned()], ..late(claim(json!({})), &free) };
    check("a pod waits", pods, "wait WaitForPodScheduled: waiting for pod web to be scheduled…");
    check("kept for it", late(claim(json!({})), &[held_by(None, json!({}))]), "bind v");
    let chosen = |candidates: &[Value]| {
        let chosen =
            claim(json!({"metadata": {"annotations": {"volume.kubernetes.io/selected-node": "n1"}}}));
        ClaimFacts { node: Some(seen(&node("n1", json!({})))), ..late(chosen, candidates) }
    };
    check("best reachable", chosen(&free), "bind n1");
    check("none reachable", chosen(&free[1..]), "wait");
}

fn check_volume(row: &str, volume: Value, claim: Option<Value>, wanted: &str) {
    let facts = VolumeFacts { volume: seen(&volume), claim: claim.map(|claim| seen(&claim)) };
    let verdicts = decide(&View { claims: Vec::new(), volumes: vec![facts] });
    let found = verdicts.first().map_or("-".to_owned(), |(_, verdict)| text(verdict));
    assert_eq!(found, wanted, "{row}");
}

#[test]
fn phases_of_volumes() {
    let new = json!({"status": {"phase": "Pending"}});
    let held = |more: Value| held_by(Some("c1"), with(json!({"status": {"phase": "Bound"}}), &more));
    let here = || Some(claim(json!({"spec": {"volumeName": "v"}})));
    let elsewhere = || Some(claim(json!({"spec": {"volumeName": "other"}})));
    check_volume("nobody's", volume(new.clone()), None, "Available");
    check_volume("nobody's, said so", volume(json!({})), None, "-");
    check_volume("kept by name", held_by(None, new), None, "Available");
    check_volume("claim gone", held(json!({})), None, "Released");
    check_volume(
        "claim re-created",
        held(json!({})),
        Some(claim(json!({"metadata": {"uid": "c2"}}))),
        "Released",
    );
    check_volume("released", held(json!({"status": {"phase": "Released"}})), None, "-");
    check_volume("failed", held(json!({"status": {"phase": "Failed"}})), None, "-");
    check_volume("bound", held(json!({})), here(), "-");
    check_volume("bound, phase missing", held(json!({"status": {"phase": "Pending"}})), here(), "Bound");
    check_volume(
        "the claim's turn",
        held(json!({"status": {"phase": "Pending"}})),
        Some(claim(json!({}))),
        "-",
    );
    let made = json!({"metadata": {"annotations": {"pv.kubernetes.io/provisioned-by": "loop.orlop.dev"}},
        "spec": {"persistentVolumeReclaimPolicy": "Delete"}});
    check_volume("made too late", held(made), elsewhere(), "Released");
    let ours = json!({"metadata": {"annotations": {"pv.kubernetes.io/bound-by-controller": "yes"}}});
    check_volume("chosen, not used", held(ours), elsewhere(), "unclaim");
    check_volume("its user's choice", held(json!({})), elsewhere(), "unclaim, keep the name");
}

#[test]
fn two_claims_do_not_get_one_volume() {
    let of = |name: &str, uid: &str, more: Value| {
        let named = json!({"metadata": {"name": name, "uid": uid}});
        claim(with(named, &more))
    };
    let free = [volume(json!({})), volume(json!({"metadata": {"name": "w"}}))];
    let searching = facts(of("a", "c1", json!({})), &free);
    let rival = facts(of("b", "c2", json!({})), &free);
    let third = facts(of("c", "c3", json!({})), &free);
    let verdicts = decide(&View { claims: vec![searching, rival, third], volumes: Vec::new() });
    let found: Vec<String> =
        verdicts.iter().map(|(key, verdict)| format!("{}: {}", key.name, text(verdict))).collect();
    assert_eq!(found, ["a: bind v", "b: bind w", "c: wait"]);

    let searching = facts(of("a", "c1", json!({})), &free[..1]);
    let asking = ClaimFacts {
        named: Some(seen(&free[0])),
        ..facts(of("b", "c2", json!({"spec": {"volumeName": "v"}})), &[])
    };
    let verdicts = decide(&View { claims: vec![searching, asking], volumes: Vec::new() });
    let found: Vec<String> =
        verdicts.iter().map(|(key, verdict)| format!("{}: {}", key.name, text(verdict))).collect();
    assert_eq!(found, ["b: bind v", "a: wait"], "who names a volume chooses first");
}

mod model {
    //! Claims and volumes at random, bound until nothing changes.

    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    struct World {
        claims: BTreeMap<String, Value>,
        volumes: BTreeMap<String, Value>,
    }

    fn world() -> impl Strategy<Value = World> {
        let sizes = prop::collection::vec((1u32..5, prop::option::of(0usize..5)), 1..6);
        let volumes = prop::collection::vec((1u32..5, prop::option::of(0usize..6)), 0..6);
        (sizes, volumes).prop_map(|(claims, volumes)| {
            let claim_of = |(n, (size, names)): (usize, (u32, Option<usize>))| {
                let more = json!({"metadata": {"name": format!("c{n}"), "uid": format!("u{n}")},
                    "spec": {"resources": {"requests": {"storage": format!("{size}Gi")}},
                        "volumeName": names.map(|v| format!("v{v}"))}});
                (format!("c{n}"), claim(more))
            };
            let volume_of = |(n, (size, kept)): (usize, (u32, Option<usize>))| {
                let kept = kept.map(|c| json!({"namespace": "default", "name": format!("c{c}")}));
                let more = json!({"metadata": {"name": format!("v{n}")}, "status": {"phase": "Pending"},
                    "spec": {"capacity": {"storage": format!("{size}Gi")}, "claimRef": kept}});
                (format!("v{n}"), volume(more))
            };
            World {
                claims: claims.into_iter().enumerate().map(claim_of).collect(),
                volumes: volumes.into_iter().enumerate().map(volume_of).collect(),
            }
        })
    }

    impl World {
        fn view(&self) -> View {
            let volume_at = |value: &Value| value.as_str().and_then(|name| self.volumes.get(name));
            let all: Vec<Arc<Volume>> = self.volumes.values().map(seen).collect();
            let claims = self.claims.values().map(|claim| ClaimFacts {
                named: volume_at(&claim["spec"]["volumeName"]).map(seen),
                candidates: all.clone(),
                ..facts(claim.clone(), &[])
            });
            let volumes = self.volumes.values().map(|volume| VolumeFacts {
                claim: volume["spec"]["claimRef"]["name"]
                    .as_str()
                    .and_then(|name| self.claims.get(name))
                    .map(seen),
                volume: seen(volume),
            });
            View { claims: claims.collect(), volumes: volumes.collect() }
        }

        /// Does what `apply` does to the fields that decisions read; answers whether anything was to be done.
        fn step(&mut self) -> bool {
            let mut changed = false;
            for (key, verdict) in decide(&self.view()) {
                match verdict {
                    Verdict::Bind { volume, .. } => {
                        let claim = self.claims.get_mut(&key.name).expect("decided on");
                        let held = json!({"namespace": "default", "name": key.name, "uid": claim["metadata"]["uid"]});
                        claim["spec"]["volumeName"] = volume.name().into();
                        claim["status"]["phase"] = "Bound".into();
                        claim["metadata"]["annotations"]["pv.kubernetes.io/bind-completed"] = "yes".into();
                        let volume = self.volumes.get_mut(volume.name()).expect("decided on");
                        volume["spec"]["claimRef"] = held;
                        volume["status"]["phase"] = "Bound".into();
                        changed = true;
                    }
                    Verdict::Phase { volume, phase } => {
                        self.volumes.get_mut(volume.name()).expect("decided on")["status"]["phase"] =
                            phase.into();
                        changed = true;
                    }
                    Verdict::Wait { .. } => {}
                    other => panic!("nothing was lost or assigned in this world: {other:?}"),
                }
            }
            changed
        }
    }

    proptest! {
        #[test]
        fn no_volume_is_held_twice_and_every_run_ends(mut world in world()) {
            let steps = (0..20).take_while(|_| world.step()).count();
            prop_assert!(steps < 20, "it never settles");
            let mut holders: BTreeMap<String, String> = BTreeMap::new();
            for (name, claim) in world.claims.iter().filter(|(_, claim)| claim["status"]["phase"] == "Bound") {
                let volume = claim["spec"]["volumeName"].as_str().expect("bound").to_owned();
                prop_assert_eq!(&world.volumes[&volume]["spec"]["claimRef"]["uid"], &claim["metadata"]["uid"]);
                prop_assert_eq!(holders.insert(volume, name.clone()), None);
            }
            let idle = decide(&world.view());
            prop_assert!(idle.iter().all(|(_, verdict)| matches!(verdict, Verdict::Wait { .. })), "{:?}", idle);
        }
    }
}
