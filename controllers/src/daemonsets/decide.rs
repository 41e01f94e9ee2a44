//! Where a daemon's pods are missing, and which go. Pure.
//!
//! | set | verdict |
//! |---|---|
//! | some pods or revisions to adopt or to release | Move them |
//! | is going | status alone |
//! | its template is in no revision, or in an earlier one | Remember it, Renumber that |
//!
//! | node | its pods | verdict |
//! |---|---|---|
//! | fits | none | Create one |
//! | fits, or may keep | one that ended | Delete it, so that it is made anew |
//! | fits, or may keep | several | Delete all but the oldest |
//! | does not fit | any | Delete them |
//! | is none | not on a node | Delete them |
//!
//! Then, for RollingUpdate: pods of another revision go; one that is not available at once, the others as long as no more
//! than `maxUnavailable` are missing. A pod on its way out holds its node: its successor is made when it is gone.

use std::{collections::BTreeSet, sync::Arc, time::Instant};

use k8s_openapi::{api::apps::v1::DaemonSet, apimachinery::pkg::util::intstr::IntOrString};
use orlop_objects::Key;
use serde_json::Value;

use super::{
    form::{self, Fit},
    view::{Facts, View},
};
use crate::workloads::{
    family::Moves,
    pass,
    pods::{self, Availability, Phase, Pod},
    portion::{self, Round},
    revisions::{Newest, Revision, Step},
};

/// What to do about one daemon set.
pub(crate) type Verdict = pass::Verdict<DaemonSet, Status, Act>;

/// The one step of a pass.
#[derive(Debug)]
pub(crate) enum Act {
    /// Adopt and release.
    Move(Moves),
    /// Remember, renumber or forget revisions.
    Revise(Step),
    /// Make pods.
    Create(Vec<Value>),
    /// Delete pods; those that have ended with what they ended as.
    Delete(Vec<Arc<Pod>>),
    /// Nothing; at this time, something will have become available by itself.
    Nothing { until: Option<Instant> },
}

/// The numbers of a status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Status {
    /// The generation that was looked at.
    pub(crate) generation: i64,
    /// Nodes that should have the pod.
    pub(crate) desired: i32,
    /// Of these, those that have it.
    pub(crate) current: i32,
    /// Nodes that have it and should not.
    pub(crate) misscheduled: i32,
    /// Nodes where it is ready.
    pub(crate) ready: i32,
    /// Nodes where it has been ready long enough.
    pub(crate) available: i32,
    /// Nodes where it is of the newest revision.
    pub(crate) updated: i32,
    /// How often a revision's name was somebody else's.
    pub(crate) collisions: i32,
}

/// All verdicts of a pass.
pub(crate) fn decide(view: &View) -> Vec<(Key, Verdict)> {
    view.decide(decide_one)
}

fn decide_one(facts: &Facts, view: &View) -> Verdict {
    let set = facts.set.clone();
    if !facts.moves.is_empty() {
        return Verdict { set, status: None, act: Act::Move(facts.moves.clone()) };
    }
    let told = told(&set);
    let newest = match facts.history.newest(&set.object, &facts.template) {
        Newest::Known(revision) => Some(revision),
        _ if set.is_terminating() || facts.namespace_going => None,
        Newest::Taken => {
            // The next look has another name.
            let status = Status { collisions: told.collisions + 1, ..told };
            return Verdict { set, status: Some(status), act: Act::Nothing { until: None } };
        }
        Newest::Missing(step) => return Verdict { set, status: None, act: Act::Revise(step) },
    };
    let status = status(facts, view, newest);
    let act = match newest {
        Some(newest) if !set.is_terminating() => act(facts, view, newest),
        _ => Act::Nothing { until: None },
    };
    Verdict { set, status: (status != told).then_some(status), act }
}

fn act(facts: &Facts, view: &View, newest: &Revision) -> Act {
    let dead = misplaced(facts);
    if !dead.is_empty() {
        return Act::Delete(dead);
    }
    let wants = |(node, fit): &(&String, &Fit)| **fit == Fit::Should && !facts.pods.contains_key(*node);
    let missing = facts.nodes.iter().filter(wants).filter(|_| !facts.namespace_going);
    let hash = hash(facts, newest);
    let births: Vec<Value> =
        missing.map(|(node, _)| form::pod(&facts.set.object, &newest.template, &hash, node)).collect();
    if !births.is_empty() {
        return Act::Create(births);
    }
    let old = old(facts, view, &hash);
    if !old.is_empty() {
        return Act::Delete(old);
    }
    let all = || facts.pods.values().flatten();
    let alive: BTreeSet<String> =
        all().map(|pod| format!("{}-{}", facts.set.name(), revision(pod))).collect();
    let alive = alive.iter().map(String::as_str).chain([newest.name()]).collect();
    let limit = facts.set.spec.as_ref().and_then(|spec| spec.revision_history_limit);
    match facts.history.tidy(&alive, limit) {
        Some(step) => Act::Revise(step),
        None => Act::Nothing {
            until: pods::next_available(all(), least_ready(&facts.set), (view.now, view.clock)),
        },
    }
}

/// The part of a revision's name that pods are labelled with.
fn hash(facts: &Facts, revision: &Revision) -> String {
    let prefix = format!("{}-", facts.set.name());
    revision.name().strip_prefix(&prefix).unwrap_or(revision.name()).to_owned()
}

fn revision(pod: &Pod) -> &str {
    pod.object.meta.labels.get(form::REVISION).map_or("", String::as_str)
}

fn least_ready(set: &DaemonSet) -> i32 {
    set.spec.as_ref().and_then(|spec| spec.min_ready_seconds).unwrap_or(0)
}

/// Pods that should not be where they are, or no more.
fn misplaced(facts: &Facts) -> Vec<Arc<Pod>> {
    let mut dead = Vec::new();
    for (node, pods) in &facts.pods {
        let live = pods.iter().filter(|pod| !pod.is_terminating());
        match facts.nodes.get(node) {
            Some(Fit::Not) => dead.extend(live.cloned()),
            Some(Fit::Should | Fit::May) => {
                let (ended, running): (Vec<_>, Vec<_>) = live.cloned().partition(|pod| pod.is_finished());
                dead.extend(ended);
                // On a node before those that still wait for theirs, then the oldest.
                let mut running = running;
                running.sort_by_key(|pod| pod.node.is_none());
                dead.extend(running.into_iter().skip(1));
            }
            // What is on a node that is gone is the node controllers' to take away.
            None => dead.extend(live.filter(|pod| pod.node.is_none()).cloned()),
        }
    }
    dead
}

/// Pods of another revision that may go now.
fn old(facts: &Facts, view: &View, hash: &str) -> Vec<Arc<Pod>> {
    let strategy = facts.set.spec.as_ref().and_then(|spec| spec.update_strategy.as_ref());
    if strategy.and_then(|strategy| strategy.type_.as_deref()) == Some("OnDelete") {
        return Vec::new();
    }
    let most = strategy.and_then(|strategy| strategy.rolling_update.as_ref()?.max_unavailable.clone());
    let wanted: Vec<&String> =
        facts.nodes.iter().filter(|(_, fit)| **fit == Fit::Should).map(|(node, _)| node).collect();
    let size = i32::try_from(wanted.len()).unwrap_or(i32::MAX);
    let most = portion::of(&most.unwrap_or(IntOrString::Int(1)), size, Round::Up);
    let available = |pod: &&Arc<Pod>| {
        !pod.is_terminating()
            && pod.phase == Phase::Running
            && pod.availability(least_ready(&facts.set), view.clock) == Availability::Yes
    };
    let has =
        |node: &&&String| facts.pods.get(**node).is_some_and(|pods| pods.iter().any(|pod| available(&pod)));
    let missing = wanted.len() - wanted.iter().filter(has).count();
    let mut room = usize::try_from(most).unwrap_or(0).saturating_sub(missing);
    let mut given = Vec::new();
    let old = facts.pods.values().flatten().filter(|pod| !pod.is_terminating() && revision(pod) != hash);
    for pod in old {
        if available(&pod) {
            if room == 0 {
                continue;
            }
            room -= 1;
        }
        given.push(pod.clone());
    }
    given
}

fn status(facts: &Facts, view: &View, newest: Option<&Revision>) -> Status {
    let hash = newest.map(|newest| hash(facts, newest));
    let mut status = Status {
        generation: facts.set.object.meta.generation,
        collisions: told(&facts.set).collisions,
        ..Status::default()
    };
    for (node, fit) in &facts.nodes {
        let pod = facts.pods.get(node).and_then(|pods| pods.first());
        if *fit != Fit::Should {
            status.misscheduled += i32::from(pod.is_some());
            continue;
        }
        status.desired += 1;
        let Some(pod) = pod else { continue };
        status.current += 1;
        status.updated += i32::from(Some(revision(pod)) == hash.as_deref());
        status.ready += i32::from(pod.is_ready());
        let available = pod.availability(least_ready(&facts.set), view.clock) == Availability::Yes;
        status.available += i32::from(available);
    }
    status
}

/// What the set's status says.
pub(crate) fn told(set: &DaemonSet) -> Status {
    let Some(status) = &set.status else { return Status::default() };
    Status {
        generation: status.observed_generation.unwrap_or(0),
        desired: status.desired_number_scheduled,
        current: status.current_number_scheduled,
        misscheduled: status.number_misscheduled,
        ready: status.number_ready,
        available: status.number_available.unwrap_or(0),
        updated: status.updated_number_scheduled.unwrap_or(0),
        collisions: status.collision_count.unwrap_or(0),
    }
}
