//! The table of the daemon set controller, row for row.

#![expect(clippy::needless_pass_by_value, reason = "a row of a table reads best with plain values")]

use std::{collections::BTreeMap, sync::Arc};

use orlop_objects::{kind, schema};
use serde_json::{Value, json};

use super::{
    decide::{Act, Verdict, decide},
    form::Fit,
    view::Facts,
};
use crate::{
    testing::{seen, with},
    workloads::{
        family::Moves,
        pods::Pod,
        revisions::{History, Step},
        testing::{self, says, view_of},
    },
};

fn set(more: Value) -> Value {
    let base = json!({
        "metadata": {"name": "logs", "namespace": "default", "uid": "d1", "generation": 1},
        "spec": {"selector": {"matchLabels": {"app": "logs"}}, "revisionHistoryLimit": 0,
            "template": {"metadata": {"labels": {"app": "logs"}}, "spec": {"containers": [{"name": "c", "image": "new"}]}}},
    });
    let mut set = with(base, &more);
    schema::apply_defaults(&kind::DAEMON_SET, &mut set);
    set
}

fn history(set: &Value, images: &[&str]) -> History {
    testing::history(&kind::DAEMON_SET, set, images)
}

/// `new`, `old`: of that revision; then `pending` (without a node) and the words of [`testing::pod`].
fn pod(name: &str, node: &str, words: &str) -> Arc<Pod> {
    let revision = if says(words, "old") { "old" } else { "new" };
    let mut pod =
        json!({"metadata": {"name": name, "labels": {"app": "logs", "controller-revision-hash": revision}}});
    if !says(words, "pending") {
        pod["spec"]["nodeName"] = node.into();
    }
    testing::pod(words, &pod)
}

/// Nodes with what fits them, and the pods there.
fn facts(set: &Value, nodes: &[(&str, Fit, &[&str])]) -> Facts {
    let named = |node: &str, pods: &[&str]| -> Vec<Arc<Pod>> {
        pods.iter().enumerate().map(|(n, words)| pod(&format!("{node}-{n}"), node, words)).collect()
    };
    let pods = nodes.iter().filter(|(.., pods)| !pods.is_empty());
    Facts {
        set: seen(set),
        template: set["spec"]["template"].clone(),
        // A node of this name does not exist any more.
        nodes: nodes
            .iter()
            .filter(|(node, ..)| *node != "gone")
            .map(|(node, fit, _)| ((*node).to_owned(), *fit))
            .collect(),
        pods: pods.map(|(node, _, pods)| ((*node).to_owned(), named(node, pods))).collect::<BTreeMap<_, _>>(),
        history: history(set, &["new"]),
        moves: Moves::default(),
        namespace_going: false,
    }
}

fn verdict(facts: Facts) -> Verdict {
    decide(&view_of(&kind::DAEMON_SET, "logs", facts)).remove(0).1
}

fn text(act: &Act) -> String {
    match act {
        Act::Move(moves) => format!("move {}", moves.adopt.len()),
        Act::Revise(Step::Remember(form)) => format!("remember {}", form["revision"]),
        Act::Revise(Step::Renumber(revision, number)) => format!("renumber {} {number}", revision.meta.name),
        Act::Revise(Step::Forget(revisions)) => format!("forget {}", revisions.len()),
        Act::Create(pods) => format!("create {}", pods.len()),
        Act::Delete(pods) => {
            format!("delete {}", pods.iter().map(|pod| pod.name()).collect::<Vec<_>>().join(" "))
        }
        Act::Nothing { until: None } => "nothing".to_owned(),
        Act::Nothing { until: Some(_) } => "later".to_owned(),
    }
}

#[test]
fn every_row_of_the_table() {
    use Fit::{May, Not, Should};
    let none = || json!({});
    let on_delete = || json!({"spec": {"updateStrategy": {"type": "OnDelete", "rollingUpdate": null}}});
    let two = || json!({"spec": {"updateStrategy": {"rollingUpdate": {"maxUnavailable": 2}}}});
    let all = || json!({"spec": {"updateStrategy": {"rollingUpdate": {"maxUnavailable": "100%"}}}});
    type Nodes = &'static [(&'static str, Fit, &'static [&'static str])];
    let rows: [(&str, Value, Nodes, &str); 17] = [
        ("no nodes", none(), &[], "nothing"),
        (
            "two that fit",
            none(),
            &[("a", Should, &[]), ("b", Should, &[]), ("c", Not, &[]), ("d", May, &[])],
            "create 2",
        ),
        ("all have it", none(), &[("a", Should, &["new"]), ("b", May, &["new"])], "nothing"),
        ("one does not fit any more", none(), &[("a", Should, &[]), ("b", Not, &["new"])], "delete b-0"),
        (
            "one failed, one ended",
            none(),
            &[("a", Should, &["new failed"]), ("b", May, &["new ended"])],
            "delete a-0 b-0",
        ),
        ("two on one node", none(), &[("a", Should, &["new", "new"])], "delete a-1"),
        ("one waits beside one that runs", none(), &[("a", Should, &["new pending", "new"])], "delete a-0"),
        ("one is going", none(), &[("a", Should, &["new going"])], "nothing"),
        ("its node is gone, it never was there", none(), &[("gone", Not, &["new pending"])], "delete gone-0"),
        ("its node is gone", none(), &[("gone", Not, &["new"])], "nothing"),
        ("an update", none(), &[("a", Should, &["old"]), ("b", Should, &["old"])], "delete a-0"),
        ("two may be missing", two(), &[("a", Should, &["old"]), ("b", Should, &["old"])], "delete a-0 b-0"),
        ("all may be missing", all(), &[("a", Should, &["old"]), ("b", Should, &["old"])], "delete a-0 b-0"),
        ("one is missing", none(), &[("a", Should, &["new unready"]), ("b", Should, &["old"])], "nothing"),
        (
            "what is broken costs nothing",
            none(),
            &[("a", Should, &["old unready"]), ("b", Should, &["old"])],
            "delete a-0",
        ),
        ("OnDelete", on_delete(), &[("a", Should, &["old"])], "nothing"),
        (
            "ready, not yet for long",
            json!({"spec": {"minReadySeconds": 95}}),
            &[("a", Should, &["new"])],
            "later",
        ),
    ];
    for (row, more, nodes, wanted) in rows {
        assert_eq!(text(&verdict(facts(&set(more), nodes)).act), wanted, "{row}");
    }
}

#[test]
fn revisions_and_what_moves_come_first() {
    let set = set(json!({}));
    let with_history =
        |images: &[&str]| text(&verdict(Facts { history: history(&set, images), ..facts(&set, &[]) }).act);
    assert_eq!(with_history(&[]), "remember 1");
    assert_eq!(with_history(&["new", "old"]), "renumber logs-new 3");
    assert_eq!(with_history(&["old", "new"]), "forget 1");
    let mut moving = facts(&set, &[]);
    moving.moves.adopt.push(pod("a", "n", "new").object.clone());
    assert_eq!(text(&verdict(moving).act), "move 1");
    let going = Facts { namespace_going: true, ..facts(&set, &[("a", Fit::Should, &[])]) };
    assert_eq!(text(&verdict(going).act), "nothing");
}

#[test]
fn the_status_counts_nodes() {
    let nodes: &[(&str, Fit, &[&str])] = &[
        ("a", Fit::Should, &["new"]),
        ("b", Fit::Should, &["old unready"]),
        ("c", Fit::Should, &[]),
        ("d", Fit::May, &["new"]),
    ];
    let status = verdict(facts(&set(json!({})), nodes)).status.expect("it changes");
    let counts =
        [status.desired, status.current, status.updated, status.ready, status.available, status.misscheduled];
    assert_eq!(counts, [3, 2, 1, 1, 1, 1]);
}
