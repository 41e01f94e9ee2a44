//! A pod's status, computed whole from the states of its containers and compared with what is stored.
//!
//! Conditions of other writers are kept as they are; a time is changed only with what it times. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::states::{OOM_KILLED, exit_before, status_of};
use crate::{
    clock::text,
    ids::ContainerId,
    plan::{
        container::{Exit, State, Verdict, back_off, decide},
        pod::{Attempt, Goal, Seen, Want, all_done, policy_of},
    },
    world::PodFacts,
};

/// All that a status is computed from.
pub(crate) struct Input<'a> {
    pub(crate) pod: &'a PodFacts,
    pub(crate) want: &'a Want,
    pub(crate) seen: &'a Seen,
    /// Attempts that are here or have ended in this life of the agent.
    pub(crate) attempts: &'a BTreeMap<ContainerId, Attempt>,
    /// Why each container waits, where something is wrong: reason and message.
    pub(crate) troubles: &'a BTreeMap<String, (String, String)>,
    /// Why the whole pod waits.
    pub(crate) waits: &'a [String],
    /// Image name and id of each container that has one.
    pub(crate) images: &'a BTreeMap<String, (String, String)>,
    /// When attempts were started in this life of the agent.
    pub(crate) started: &'a BTreeMap<ContainerId, Timestamp>,
    /// When the agent first saw the pod.
    pub(crate) first_seen: Timestamp,
    /// This node's address.
    pub(crate) address: &'a str,
    /// The pod's own, whether or not it is reached there now.
    pub(crate) own: Option<String>,
    pub(crate) now: Timestamp,
}

/// The status as it should be.
pub(crate) fn status(input: &Input<'_>) -> Value {
    let old = input.pod.object.value()["status"].clone();
    let mut new = old.as_object().cloned().unwrap_or_default();
    let phase = phase(input);
    let containers: Vec<Value> = statuses(input, false);
    let inits: Vec<Value> = statuses(input, true);
    new.insert("conditions".into(), conditions(input, &phase, &old));
    new.insert("containerStatuses".into(), containers.into());
    if !inits.is_empty() {
        new.insert("initContainerStatuses".into(), inits.into());
    }
    let own = told_address(input.own.as_deref(), input.seen.connected, &phase);
    new.insert("phase".into(), phase.into());
    new.insert("hostIP".into(), input.address.into());
    new.insert("hostIPs".into(), json!([{"ip": input.address}]));
    let host_network = input.pod.spec().and_then(|s| s.host_network).unwrap_or_default();
    let reached = if host_network { Some(input.address) } else { own };
    // One that was told stays told: it says where a pod that is gone has been.
    if let Some(address) = reached {
        new.insert("podIP".into(), address.into());
        new.insert("podIPs".into(), json!([{"ip": address}]));
    }
    new.entry("startTime").or_insert_with(|| text(input.first_seen).into());
    let mut new = Value::Object(new);
    strip_nulls(&mut new);
    new
}

/// A pod's address is told once it is reached there, and of one that has ended before anybody could tell: where it has been.
fn told_address<'a>(own: Option<&'a str>, connected: bool, phase: &str) -> Option<&'a str> {
    own.filter(|_| connected || matches!(phase, "Succeeded" | "Failed"))
}

/// Absent and null are the same to the server: what is compared with the stored status must not hold nulls.
fn strip_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, v| !v.is_null());
            fields.values_mut().for_each(strip_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(strip_nulls),
        _ => {}
    }
}

/// The patch that makes the stored status the new one; `None` when it already is.
pub(crate) fn patch(pod: &PodFacts, new: &Value) -> Option<Value> {
    let old = &pod.object.value()["status"];
    (old != new).then(|| json!({"metadata": {"uid": pod.uid}, "status": new}))
}

fn phase(input: &Input<'_>) -> String {
    let main = || input.want.containers.iter().filter(|c| !c.init);
    let stopped = matches!(input.want.goal, Goal::Stop { .. })
        && main().all(|c| matches!(c.state, State::Ended { .. }))
        && main().next().is_some();
    let phase = if all_done(input.want) || stopped {
        if input.want.containers.iter().all(|c| c.state.succeeded()) { "Succeeded" } else { "Failed" }
    } else if main().all(|c| c.state.was_started()) {
        "Running"
    } else {
        "Pending"
    };
    phase.to_owned()
}

fn statuses(input: &Input<'_>, init: bool) -> Vec<Value> {
    input.want.containers.iter().filter(|c| c.init == init).map(|c| container(input, c)).collect()
}

fn container(input: &Input<'_>, container: &crate::plan::pod::Container) -> Value {
    let old = status_of(&input.pod.pod, &container.name);
    let state = &container.state;
    let id = state.id(&input.pod.uid, &container.name).filter(|_| state.was_started());
    let running = matches!(state, State::Running { .. });
    let ready = if container.init { state.succeeded() } else { running };
    let (current, last) = current_and_last(input, container);
    let mut status = json!({
        "name": container.name,
        "image": old.map(|o| o.image.clone()).filter(|i| !i.is_empty()).or_else(|| spec_image(input, &container.name)),
        "imageID": old.map(|o| o.image_id.clone()).unwrap_or_default(),
        // Only an init container that goes on beside the others would say that it has started.
        "ready": ready, "started": running && !container.init,
        "restartCount": state.attempt().max(old.map_or(0, |o| u32::try_from(o.restart_count).unwrap_or(0))),
        "state": current, "lastState": last,
    });
    if let Some((name, image)) = input.images.get(&container.name) {
        status["image"] = name.as_str().into();
        status["imageID"] = image.as_str().into();
    }
    let told = || old.and_then(|o| o.container_id.clone());
    if let Some(id) = id.filter(|_| !matches!(state, State::Prepared { .. })).map(|id| id.uri()).or_else(told)
    {
        status["containerID"] = id.into();
    }
    status
}

fn spec_image(input: &Input<'_>, name: &str) -> Option<String> {
    let spec = input.pod.spec()?;
    let all = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    all.filter(|c| c.name == name).find_map(|c| c.image.clone())
}

fn current_and_last(input: &Input<'_>, container: &crate::plan::pod::Container) -> (Value, Value) {
    let old = status_of(&input.pod.pod, &container.name);
    let id = container.state.id(&input.pod.uid, &container.name);
    let last = || {
        let before = exit_before(id.as_ref()?, input.attempts, old, input.started);
        before.map(|(id, exit)| terminated(&id, &exit))
    };
    match (&container.state, &id) {
        (State::Running { since, .. }, _) => {
            let since = since.map(text);
            (json!({"running": {"startedAt": since}}), last().unwrap_or_else(|| json!({})))
        }
        (State::Ended { exit, .. }, Some(id)) if is_final(input, container) => {
            (terminated(id, exit), last().unwrap_or_else(|| json!({})))
        }
        (State::Ended { exit, .. }, Some(id)) => (waiting(input, container), terminated(id, exit)),
        _ => (waiting(input, container), last().unwrap_or_else(|| json!({}))),
    }
}

/// Whether an ended container stays ended.
fn is_final(input: &Input<'_>, container: &crate::plan::pod::Container) -> bool {
    container.init && container.state.succeeded()
        || !matches!(input.want.goal, Goal::Run)
        || all_done(input.want)
        || matches!(verdict(input, container), Verdict::Done { .. })
}

fn verdict(input: &Input<'_>, container: &crate::plan::pod::Container) -> Verdict {
    decide(&container.state, policy_of(container, input.want.policy), container.streak, input.now)
}

fn terminated(id: &ContainerId, exit: &Exit) -> Value {
    let (reason, code) = match exit.code {
        Some(0) => ("Completed", 0),
        Some(code) if exit.oom => (OOM_KILLED, code),
        Some(code) => ("Error", code),
        None => ("ContainerStatusUnknown", 137),
    };
    let mut ended = Map::new();
    ended.insert("containerID".into(), id.uri().into());
    ended.insert("exitCode".into(), code.into());
    ended.insert("reason".into(), reason.into());
    if exit.code.is_none() {
        ended.insert("message".into(), "the container ended while nobody watched it".into());
    }
    for (field, time) in [("startedAt", exit.started), ("finishedAt", exit.at)] {
        ended.extend(time.map(|t| (field.to_owned(), text(t).into())));
    }
    json!({"terminated": ended})
}

fn waiting(input: &Input<'_>, container: &crate::plan::pod::Container) -> Value {
    if let Some((reason, message)) = input.troubles.get(&container.name) {
        return json!({"waiting": {"reason": reason, "message": message}});
    }
    if let (State::Ended { exit, .. }, Verdict::BackOff(_)) = (&container.state, verdict(input, container)) {
        let message = back_off_message(input.pod, &container.name, exit, container.streak);
        return json!({"waiting": {"reason": "CrashLoopBackOff", "message": message}});
    }
    let initializing = input.want.containers.iter().any(|c| c.init && !c.state.succeeded());
    let reason = if initializing { "PodInitializing" } else { "ContainerCreating" };
    if input.waits.is_empty() {
        return json!({"waiting": {"reason": reason}});
    }
    json!({"waiting": {"reason": reason, "message": input.waits.join("; ")}})
}

/// Kubernetes' words for a container that waits to be restarted.
pub(crate) fn back_off_message(pod: &PodFacts, container: &str, exit: &Exit, streak: u32) -> String {
    let wait = back_off(exit, streak).as_secs();
    let wait = if wait >= 60 { format!("{}m{}s", wait / 60, wait % 60) } else { format!("{wait}s") };
    format!(
        "back-off {wait} restarting failed container={container} pod={}_{}({})",
        pod.key.name, pod.key.namespace, pod.uid
    )
}

fn conditions(input: &Input<'_>, phase: &str, old: &Value) -> Value {
    let main: Vec<_> = input.want.containers.iter().filter(|c| !c.init).collect();
    let unready: Vec<&str> =
        main.iter().filter(|c| !matches!(c.state, State::Running { .. })).map(|c| c.name.as_str()).collect();
    let uninit: Vec<&str> = input
        .want
        .containers
        .iter()
        .filter(|c| c.init && !c.state.succeeded())
        .map(|c| c.name.as_str())
        .collect();
    let ready = if phase == "Succeeded" {
        Err(("PodCompleted", String::new()))
    } else if unready.is_empty() {
        Ok(())
    } else {
        Err(("ContainersNotReady", format!("containers with unready status: [{}]", unready.join(" "))))
    };
    // Once a container of the pod was started, its init containers are behind it.
    let initialized = if uninit.is_empty() || main.iter().any(|c| c.state.was_started()) {
        Ok(())
    } else {
        Err((
            "ContainersNotInitialized",
            format!("containers with incomplete status: [{}]", uninit.join(" ")),
        ))
    };
    let pinned = if input.seen.pinned { Ok(()) } else { Err(("", input.waits.join("; "))) };
    let ours = [
        ("PodReadyToStartContainers", pinned),
        ("Initialized", initialized),
        ("Ready", ready.clone()),
        ("ContainersReady", ready),
    ];
    let before: Vec<&Value> = old["conditions"].as_array().map(|c| c.iter().collect()).unwrap_or_default();
    let mut all: Vec<Value> = ours.iter().map(|(name, is)| condition(name, is, &before, input.now)).collect();
    let foreign = before.iter().filter(|c| !ours.iter().any(|(name, _)| c["type"] == *name));
    all.extend(foreign.map(|c| (*c).clone()));
    all.into()
}

type Is = Result<(), (&'static str, String)>;

fn condition(name: &str, is: &Is, before: &[&Value], now: Timestamp) -> Value {
    let status = if is.is_ok() { "True" } else { "False" };
    let old = before.iter().find(|c| c["type"] == name && c["status"] == status);
    let mut condition = json!({
        "type": name, "status": status,
        "lastTransitionTime": old.map_or_else(|| text(now).into(), |o| o["lastTransitionTime"].clone()),
    });
    if let Err((reason, message)) = is {
        for (field, value) in [("reason", *reason), ("message", message.as_str())] {
            if !value.is_empty() {
                condition[field] = value.into();
            }
        }
    }
    condition
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_told_once_it_is_reached_or_the_pod_is_over() {
        for (own, connected, phase, told) in [
            (None, false, "Succeeded", None),
            (Some("10.0.0.2"), false, "Pending", None),
            (Some("10.0.0.2"), false, "Running", None),
            (Some("10.0.0.2"), true, "Pending", Some("10.0.0.2")),
            (Some("10.0.0.2"), true, "Running", Some("10.0.0.2")),
            (Some("10.0.0.2"), false, "Succeeded", Some("10.0.0.2")),
            (Some("10.0.0.2"), false, "Failed", Some("10.0.0.2")),
        ] {
            assert_eq!(told_address(own, connected, phase), told, "{connected} {phase}");
        }
    }
}
