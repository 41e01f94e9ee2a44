//! The evictor's table, row for row.

#![expect(clippy::needless_pass_by_value, reason = "a row of a table reads best with plain values")]

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Taint;
use serde_json::{Value, json};

use super::decide::{Leave, Place, PodFacts, QUARANTINE, Verdict, View, decide};
use crate::{
    taints::HEARD_SINCE,
    testing::{node, pod, seen, with},
};

/// How long the pod has stood under its taints, in seconds.
const STOOD: u64 = 100;

fn taint(key: &str) -> Taint {
    Taint { key: format!("node.kubernetes.io/{key}"), effect: "NoExecute".to_owned(), ..Taint::default() }
}

fn tolerates(key: &str, seconds: Value) -> Value {
    json!({"key": format!("node.kubernetes.io/{key}"), "operator": "Exists", "effect": "NoExecute",
        "tolerationSeconds": seconds})
}

fn verdict(pod_more: Value, place: Place, taints: &[&str], was_going: bool) -> Verdict {
    let now = Instant::now();
    let base = json!({"spec": {"nodeName": "n1"}, "status": {"phase": "Running"}});
    let taints = taints.iter().map(|key| (taint(key), now - Duration::from_secs(STOOD))).collect();
    let pods = vec![PodFacts { pod: seen(&pod("web", with(base, &pod_more))), place, taints, was_going }];
    decide(&View { now, pods }).remove(0).1
}

fn at(more: Value) -> Place {
    Place::At(seen(&node("n1", more)))
}

fn says(ready: &str, taints: &[&str]) -> Place {
    let taints: Vec<Value> = taints
        .iter()
        .map(|key| json!({"key": format!("node.kubernetes.io/{key}"), "effect": "NoExecute"}))
        .collect();
    let condition = json!({"type": "Ready", "status": ready, "lastTransitionTime": "2026-01-01T00:00:00Z"});
    at(json!({"spec": {"taints": taints}, "status": {"conditions": [condition]}}))
}

fn text(verdict: &Verdict) -> String {
    let mut words: Vec<String> = Vec::new();
    words.extend(verdict.not_ready.then(|| "not ready".to_owned()));
    words.extend(verdict.leave.map(|leave| if leave == Leave::Evict { "evict" } else { "force" }.to_owned()));
    let left = |until: Instant| until.duration_since(Instant::now()).as_secs_f32().round();
    words.extend(verdict.until.map(|until| format!("wait {}", left(until))));
    words.extend(verdict.said.iter().map(|said| format!("[{}: {}]", said.reason, said.message)));
    words.join(" ")
}

#[track_caller]
fn check(row: &str, verdict: Verdict, wanted: &str) {
    let found = text(&verdict);
    let same = wanted.strip_suffix('…').map_or(found == wanted, |begin| found.starts_with(begin));
    assert!(same, "{row}: {found:?}, wanted {wanted:?}");
}

const GOES: &str = "[TaintManagerEviction: Marking for deletion Pod default/web]";

#[test]
fn pods_under_taints() {
    let plain = || json!({});
    let with_tolerations = |all: Vec<Value>| json!({"spec": {"tolerations": all}});
    let lost = || says("Unknown", &["unreachable"]);
    let evict = format!("evict {GOES}");
    let here = ["unreachable"].as_slice();
    check("no taint", verdict(plain(), says("True", &[]), &[], false), "");
    check("not tolerated", verdict(plain(), lost(), here, false), &evict);
    let for_ever = with_tolerations(vec![tolerates("unreachable", Value::Null)]);
    check("tolerated without end, as by a DaemonSet's", verdict(for_ever, lost(), here, false), "");
    let longer = with_tolerations(vec![tolerates("unreachable", json!(300))]);
    check("tolerated for longer", verdict(longer.clone(), lost(), here, false), "wait 200");
    let shorter = with_tolerations(vec![tolerates("unreachable", json!(60))]);
    check("tolerated no longer", verdict(shorter, lost(), here, false), &evict);
    let two = verdict(longer.clone(), says("True", &["unreachable", "x"]), &["unreachable", "x"], false);
    check("of two taints one is not tolerated", two, &evict);
    let cancelled = "[TaintManagerEviction: Cancelling deletion of Pod default/web]";
    check("it was about to go", verdict(longer, says("True", &[]), &[], true), cancelled);
    let finished = json!({"status": {"phase": "Succeeded"}});
    check("finished", verdict(finished, lost(), here, false), "");
    let terminating = || json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}});
    check("terminating, its agent ends it", verdict(terminating(), says("True", &["x"]), &["x"], false), "");
    check(
        "terminating, and nobody ends it",
        verdict(terminating(), lost(), here, false),
        "[NodeNotReady: The pod is to be deleted, but node n1 has not been Ready since 2026-01-01T00:00:00Z: its containers \
         may still run there, so the pod stays until the node's agent says that they have ended. Bring node n1 back; or \
         power it off and run: kubectl taint node n1 node.kubernetes.io/out-of-service=nodeshutdown:NoExecute]",
    );
    let ready = json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]},
        "spec": {"tolerations": [{"operator": "Exists"}]}});
    check(
        "it looks ready",
        verdict(ready.clone(), lost(), here, false),
        "not ready [NodeNotReady: Node is not ready]",
    );
    check("it is ready", verdict(ready, says("True", &[]), &[], false), "");
}

#[test]
fn pods_on_nodes_that_are_out_of_service() {
    let off = ["unreachable", "out-of-service"].as_slice();
    let force =
        "force [TaintManagerEviction: Marking for deletion Pod default/web: node n1 is out of service…";
    let tolerant = json!({"spec": {"tolerations": [tolerates("unreachable", json!(300))]}});
    check("believed", verdict(tolerant.clone(), says("Unknown", off), off, false), force);
    let terminating =
        with(tolerant.clone(), &json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}));
    check("believed, terminating", verdict(terminating, says("Unknown", off), off, false), force);
    let daemon = json!({"spec": {"tolerations": [{"operator": "Exists"}]}});
    check("believed, tolerated", verdict(daemon, says("Unknown", off), off, false), "");
    let finished = json!({"status": {"phase": "Failed"}});
    check("believed, finished", verdict(finished, says("Unknown", off), off, false), "");
    let only = ["out-of-service"].as_slice();
    check("Ready, so it is ignored", verdict(json!({}), says("True", only), only, false), "");
    let heard = json!({"metadata": {"annotations": {HEARD_SINCE: "2026-01-01T00:00:00Z"}},
        "spec": {"taints": [{"key": "node.kubernetes.io/out-of-service", "effect": "NoExecute"}]},
        "status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}});
    check("heard since, so it is not believed", verdict(tolerant, at(heard), off, false), "wait 200");
}

#[test]
fn pods_whose_node_is_gone() {
    let missing = |ago: Duration| Place::Missing { node: "n1".to_owned(), since: Instant::now() - ago };
    check("just now", verdict(json!({}), missing(Duration::ZERO), &[], false), "wait 40");
    check(
        "for long",
        verdict(json!({}), missing(QUARANTINE), &[], false),
        "force [TaintManagerEviction: Marking for deletion Pod default/web: its node n1 is no part of the cluster any more]",
    );
}
