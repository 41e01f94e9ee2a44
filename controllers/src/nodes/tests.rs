//! The tables of nodes, row for row.

#![expect(clippy::needless_pass_by_value, reason = "a row of a table reads best with plain values")]

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::decide::{NodeFacts, Verdict, View, decide, lease_seconds};
use crate::{
    taints::{HEARD_SINCE, OUT_OF_SERVICE},
    testing::{node, seen},
};

const GRACE: Duration = Duration::from_secs(20);

/// What a row says of a node, beside the node itself.
struct Row {
    silent: u64,
    others: bool,
    heard_since: bool,
}

fn verdict(more: Value, row: Row) -> Verdict {
    let start = Instant::now();
    let facts = NodeFacts {
        node: seen(&node("n1", more)),
        lease: None,
        renewed: start,
        heard_since: row.heard_since,
    };
    let alive = if row.others { vec!["n1".to_owned(), "n2".to_owned()] } else { vec!["n1".to_owned()] };
    let view = View { now: start + Duration::from_secs(row.silent), grace: GRACE, nodes: vec![facts], alive };
    decide(&view).remove(0).1
}

fn text(verdict: &Verdict) -> String {
    let short =
        |(key, effect): &(&str, &str)| format!("{}:{effect}", key.trim_start_matches("node.kubernetes.io/"));
    let mut words: Vec<String> = Vec::new();
    words.extend(verdict.lost.map(|silent| format!("lost after {}", silent.as_secs())));
    words.extend(verdict.put.iter().map(|mark| format!("+{}", short(mark))));
    words.extend(verdict.take.iter().map(|mark| format!("-{}", short(mark))));
    words.extend(verdict.heard.map(|heard| if heard { "mark" } else { "unmark" }.to_owned()));
    words.extend(verdict.said.iter().map(|said| said.reason.to_owned()));
    words.join(" ")
}

fn ready(status: &str) -> Value {
    json!([{"type": "Ready", "status": status}])
}

fn tainted(status: &str, keys: &[(&str, &str)]) -> Value {
    let taint =
        |(key, effect): &(&str, &str)| json!({"key": format!("node.kubernetes.io/{key}"), "effect": effect});
    let taints: Vec<Value> = keys.iter().map(taint).collect();
    json!({"spec": {"taints": taints}, "status": {"conditions": ready(status)}})
}

#[test]
fn conditions_and_taints() {
    let says = |status: &str| json!({"status": {"conditions": ready(status)}});
    let unreachable = [("unreachable", "NoSchedule"), ("unreachable", "NoExecute")];
    let not_ready = [("not-ready", "NoSchedule"), ("not-ready", "NoExecute")];
    let rows = [
        ("fine", 19, true, says("True"), ""),
        (
            "not ready, and says so",
            19,
            true,
            says("False"),
            "+not-ready:NoSchedule +not-ready:NoExecute NodeNotReady",
        ),
        ("the same, with nowhere to go", 19, false, says("False"), "+not-ready:NoSchedule NodeNotReady"),
        (
            "heard, has not said yet how it is",
            1,
            true,
            says("Unknown"),
            "+unreachable:NoSchedule +unreachable:NoExecute NodeNotReady",
        ),
        ("the same, with nowhere to go", 1, false, says("Unknown"), "+unreachable:NoSchedule NodeNotReady"),
        ("heard, tainted already", 1, true, tainted("Unknown", &unreachable), ""),
        ("new, has said nothing yet", 1, true, json!({"status": {"conditions": []}}), ""),
        (
            "silent",
            20,
            true,
            says("True"),
            "lost after 20 +unreachable:NoSchedule +unreachable:NoExecute NodeNotReady",
        ),
        (
            "silent, with nowhere to go",
            20,
            false,
            says("True"),
            "lost after 20 +unreachable:NoSchedule NodeNotReady",
        ),
        (
            "silent after it was not ready",
            20,
            true,
            tainted("False", &not_ready),
            "lost after 20 +unreachable:NoSchedule +unreachable:NoExecute -not-ready:NoSchedule -not-ready:NoExecute \
             NodeNotReady",
        ),
        ("silent, and said so", 60, true, tainted("Unknown", &unreachable), ""),
        ("nobody else is left", 60, false, tainted("Unknown", &unreachable), "-unreachable:NoExecute"),
        (
            "back",
            1,
            true,
            tainted("True", &unreachable),
            "-unreachable:NoSchedule -unreachable:NoExecute NodeReady",
        ),
        ("others' taints stay", 1, true, tainted("True", &[("memory-pressure", "NoSchedule")]), ""),
    ];
    for (row, silent, others, more, wanted) in rows {
        assert_eq!(text(&verdict(more, Row { silent, others, heard_since: false })), wanted, "{row}");
    }
}

#[test]
fn a_node_that_is_closed_is_tainted() {
    let fine = || Row { silent: 1, others: true, heard_since: false };
    let closed = json!({"spec": {"unschedulable": true}});
    assert_eq!(text(&verdict(closed, fine())), "+unschedulable:NoSchedule");
    let open = tainted("True", &[("unschedulable", "NoSchedule")]);
    assert_eq!(text(&verdict(open, fine())), "-unschedulable:NoSchedule");
}

#[test]
fn who_is_heard_is_not_out_of_service() {
    let off = [("out-of-service", "NoExecute"), ("unreachable", "NoSchedule"), ("unreachable", "NoExecute")];
    let alive_and_off = || tainted("True", &off[..1]);
    let marked = |mut node: Value| {
        node["metadata"]["annotations"][HEARD_SINCE] = "2026-01-01T00:00:00Z".into();
        node
    };
    let rows = [
        ("silent", 60, false, tainted("Unknown", &off), ""),
        ("Ready", 1, false, alive_and_off(), "OutOfServiceTaintIgnored"),
        ("Ready, and heard since", 1, true, alive_and_off(), "mark OutOfServiceTaintIgnored"),
        ("back after all", 1, true, tainted("Unknown", &off), "mark OutOfServiceTaintIgnored"),
        ("marked", 1, true, marked(alive_and_off()), ""),
        ("marked, and silent again", 60, true, marked(tainted("Unknown", &off)), ""),
        ("the taint is off", 1, false, marked(tainted("True", &[])), "unmark"),
    ];
    for (row, silent, heard_since, more, wanted) in rows {
        assert_eq!(text(&verdict(more, Row { silent, others: true, heard_since })), wanted, "{row}");
    }
    assert!(alive_and_off()["spec"]["taints"][0]["key"] == OUT_OF_SERVICE);
}

#[test]
fn a_lease_says_the_grace() {
    let start = Instant::now();
    let of = |seconds: Value| {
        let lease = json!({"metadata": {"name": "n1", "namespace": "kube-node-lease"},
            "spec": {"leaseDurationSeconds": seconds}});
        let facts = NodeFacts {
            node: seen(&node("n1", json!({}))),
            lease: Some(seen(&lease)),
            renewed: start,
            heard_since: false,
        };
        let view = View { now: start, grace: GRACE, nodes: vec![facts], alive: Vec::new() };
        decide(&view).remove(0).1.lease.is_some()
    };
    assert!(of(Value::Null) && of(json!(40)) && !of(json!(20)));
    assert_eq!(lease_seconds(Duration::from_millis(300)), 1);
}
