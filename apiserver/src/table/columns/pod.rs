//! Pods: the one kind whose STATUS is computed from everything that its containers say.

use jiff::Timestamp;
use serde_json::Value;

use super::{
    AGE, Column, NAME, Printer,
    cells::{NONE, age, integer, list, name, since, text, text_or},
};

pub(super) static PRINTERS: &[Printer] = &[Printer {
    kind: ("pods", ""),
    columns: &[
        NAME,
        Column::new("Ready", "Containers that are ready, of all"),
        Column::new("Status", "What the pod as a whole is doing"),
        Column::new("Restarts", "Restarts of its containers, and how long ago the last one was"),
        AGE,
        Column::wide("IP", "Address of the pod"),
        Column::wide("Node", "Node that it is bound to"),
        Column::wide("Nominated Node", "Node that is being cleared for it"),
        Column::wide("Readiness Gates", "Further conditions that are true, of all"),
    ],
    row: pod,
}];

fn pod(object: &Value, now: Timestamp) -> Vec<Value> {
    let containers = list(object, "/spec/containers");
    let statuses = list(object, "/status/containerStatuses");
    let ready = statuses.iter().filter(|s| is_ready(s)).count();
    vec![
        name(object),
        format!("{ready}/{}", containers.len()).into(),
        status(object).into(),
        restarts(object, now).into(),
        age(object, now),
        text_or(object, "/status/podIP", NONE).into(),
        text_or(object, "/spec/nodeName", NONE).into(),
        text_or(object, "/status/nominatedNodeName", NONE).into(),
        gates(object).into(),
    ]
}

fn is_ready(status: &Value) -> bool {
    status["ready"] == true && status.pointer("/state/running").is_some()
}

/// The first of: Terminating, what an init container is doing, what the first troubled container says, the phase.
fn status(object: &Value) -> String {
    let phase = text(object, "/status/phase");
    let said = text(object, "/status/reason");
    if object.pointer("/metadata/deletionTimestamp").is_some() {
        if said == "NodeLost" {
            return "Unknown".to_owned();
        }
        if !matches!(phase, "Succeeded" | "Failed") {
            return "Terminating".to_owned();
        }
    }
    if let Some(text) = initializing(object) {
        return text;
    }
    let statuses = list(object, "/status/containerStatuses");
    let reason = statuses.iter().find_map(trouble).or_else(|| gated(object));
    let reason = reason.unwrap_or_else(|| if said.is_empty() { phase.to_owned() } else { said.to_owned() });
    if reason == "Completed" && statuses.iter().any(is_ready) {
        return if has_condition(object, "Ready") { "Running".to_owned() } else { "NotReady".to_owned() };
    }
    reason
}

fn gated(object: &Value) -> Option<String> {
    let gate = |c: &&Value| c["type"] == "PodScheduled" && c["reason"] == "SchedulingGated";
    list(object, "/status/conditions").iter().find(gate).map(|_| "SchedulingGated".to_owned())
}

/// Why a container waits or how it ended.
fn trouble(status: &Value) -> Option<String> {
    let waiting = text(status, "/state/waiting/reason");
    if !waiting.is_empty() {
        return Some(waiting.to_owned());
    }
    status.pointer("/state/terminated").map(ended)
}

fn ended(terminated: &Value) -> String {
    match (text(terminated, "/reason"), integer(terminated, "/signal")) {
        ("", 0) => format!("ExitCode:{}", integer(terminated, "/exitCode")),
        ("", signal) => format!("Signal:{signal}"),
        (reason, _) => reason.to_owned(),
    }
}

/// `Init:1/3`, `Init:Error`, …: the first init container that has not ended well.
fn initializing(object: &Value) -> Option<String> {
    let all = list(object, "/spec/initContainers").len();
    let statuses = list(object, "/status/initContainerStatuses").iter().enumerate();
    let (index, status) = statuses.into_iter().find(|(_, s)| !is_done(s))?;
    Some(match status.pointer("/state/terminated") {
        Some(terminated) => format!("Init:{}", ended(terminated)),
        None => match text(status, "/state/waiting/reason") {
            "" | "PodInitializing" => format!("Init:{index}/{all}"),
            reason => format!("Init:{reason}"),
        },
    })
}

/// Whether an init container lets the next one start.
fn is_done(status: &Value) -> bool {
    status.pointer("/state/terminated").is_some_and(|t| t["exitCode"] == 0) || status["started"] == true
}

fn has_condition(object: &Value, condition: &str) -> bool {
    list(object, "/status/conditions").iter().any(|c| c["type"] == condition && c["status"] == "True")
}

/// `2`, or `2 (5m ago)` once a restart's moment is known.
fn restarts(object: &Value, now: Timestamp) -> String {
    // Those of an init container count until it is done.
    let init = list(object, "/status/initContainerStatuses");
    let starting = init.iter().any(|s| !is_done(s));
    let statuses = if starting { init } else { list(object, "/status/containerStatuses") };
    let count: i64 = statuses.iter().map(|s| integer(s, "/restartCount")).sum();
    let last = statuses.iter().map(|s| text(s, "/lastState/terminated/finishedAt")).max().unwrap_or_default();
    if count == 0 || last.is_empty() {
        count.to_string()
    } else {
        format!("{count} ({} ago)", since(last, now))
    }
}

fn gates(object: &Value) -> String {
    let gates = list(object, "/spec/readinessGates");
    if gates.is_empty() {
        return NONE.to_owned();
    }
    let passed = gates.iter().filter(|gate| has_condition(object, text(gate, "/conditionType"))).count();
    format!("{passed}/{}", gates.len())
}
