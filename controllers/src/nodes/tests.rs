//! The table of nodes, row for row.

#![expect(clippy::needless_pass_by_value, reason = "a row of a table reads best with plain values")]

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::decide::{NodeFacts, Verdict, View, decide};
use crate::testing::{node, seen};

const GRACE: Duration = Duration::from_secs(40);

fn text(silent: u64, changed: bool, ready: Value) -> String {
    let start = Instant::now();
    let node = node("n1", json!({"status": {"conditions": [ready]}}));
    let facts = NodeFacts { node: seen(&node), last_change: start, changed };
    let now = start + Duration::from_secs(silent);
    match &decide(&View { now, grace: GRACE, nodes: vec![facts] })[0].1 {
        Verdict::Lost { silent_for, .. } => format!("lost after {}", silent_for.as_secs()),
        Verdict::Alive { .. } => "alive".to_owned(),
        Verdict::Watch { until: None } => "watch".to_owned(),
        Verdict::Watch { until: Some(at) } => format!("watch until {}", (*at - start).as_secs()),
    }
}

#[test]
fn every_row_of_the_table() {
    let ready = |status: &str, reason: &str| json!({"type": "Ready", "status": status, "reason": reason});
    let rows = [
        ("fine", 39, true, ready("True", "KubeletReady"), "watch until 40"),
        ("not ready, and says so", 39, true, ready("False", "KubeletNotReady"), "watch until 40"),
        ("back again", 1, true, ready("Unknown", "NodeStatusUnknown"), "alive"),
        (
            "a new server has seen nothing yet",
            1,
            false,
            ready("Unknown", "NodeStatusUnknown"),
            "watch until 40",
        ),
        ("its own Unknown", 1, true, ready("Unknown", "Confused"), "watch until 40"),
        ("silent", 40, true, ready("True", "KubeletReady"), "lost after 40"),
        ("silent since the server's start", 60, false, ready("True", "KubeletReady"), "lost after 60"),
        ("never said anything", 60, false, json!({"type": "Other", "status": "True"}), "lost after 60"),
        ("silent, and said so", 60, true, ready("Unknown", "NodeStatusUnknown"), "watch"),
    ];
    for (row, silent, changed, condition, wanted) in rows {
        assert_eq!(text(silent, changed, condition), wanted, "{row}");
    }
}
