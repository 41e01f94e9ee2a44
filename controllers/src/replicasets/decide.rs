//! How many pods to make or to give up, and what to say about those there are. Pure.
//!
//! | the set | its pods | verdict |
//! |---|---|---|
//! | any | some to adopt or to release | Move them; everything else waits for the next look |
//! | is going | any | status alone |
//! | its namespace is going | fewer than wanted | status alone |
//! | wants more than it has active | | Create the difference, at most [`BURST`] |
//! | wants fewer | | Delete the difference, at most [`BURST`], by `rank` |
//! | wants as many | | status alone; again when the next ready one is available |
//!
//! Active is what neither has ended nor is ending: a pod whose deletion was asked for is replaced at once, whether its
//! node answers or not. The status says ReplicaFailure as long as pods are missing because they could not be made.

use std::{sync::Arc, time::Instant};

use k8s_openapi::api::apps::v1::ReplicaSet;
use orlop_objects::Key;

use super::{
    rank,
    view::{Facts, View},
};
use crate::workloads::{
    family::Moves,
    pass,
    pods::{self, Availability, Pod},
};

/// Pods made or given up in one pass, at most.
const BURST: usize = 500;
/// The condition that says that pods could not be made.
pub(crate) const FAILURE: &str = "ReplicaFailure";

/// What to do about one replica set.
pub(crate) type Verdict = pass::Verdict<ReplicaSet, Status, Act>;

/// The one step of a pass.
#[derive(Debug)]
pub(crate) enum Act {
    /// Adopt and release.
    Move(Moves),
    /// Make so many pods.
    Create(usize),
    /// Give these up.
    Delete(Vec<Arc<Pod>>),
    /// Nothing; at this time, something will have become available by itself.
    Nothing { until: Option<Instant> },
}

/// The numbers of a status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Status {
    /// Active pods.
    pub(crate) replicas: i32,
    /// Those with all labels of the template.
    pub(crate) fully_labeled: i32,
    /// Those that are ready.
    pub(crate) ready: i32,
    /// Those that have been ready long enough.
    pub(crate) available: i32,
    /// Pods that are on their way out.
    pub(crate) terminating: i32,
    /// The generation that was looked at.
    pub(crate) generation: i64,
    /// Whether the last pods could not be made.
    pub(crate) failing: bool,
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
    let act = act(facts, view);
    let told = told(&set);
    let mut status = status(facts, view);
    // Whether making pods fails is known only when they are made: nothing is said about it before.
    status.failing = told.failing && matches!(act, Act::Create(_));
    Verdict { set, status: (status != told).then_some(status), act }
}

fn act(facts: &Facts, view: &View) -> Act {
    let active: Vec<Arc<Pod>> = facts.pods.iter().filter(|pod| pod.is_active()).cloned().collect();
    let spec = facts.set.spec.as_ref();
    let wanted = spec.and_then(|spec| spec.replicas).unwrap_or(1);
    let wanted = usize::try_from(wanted).unwrap_or(0);
    let going = facts.set.is_terminating();
    if active.len() < wanted && !going && !facts.namespace_going {
        return Act::Create((wanted - active.len()).min(BURST));
    }
    if active.len() > wanted && !going {
        let most = (active.len() - wanted).min(BURST);
        return Act::Delete(rank::lowest(&active, &facts.crowd, view.clock, most));
    }
    Act::Nothing { until: pods::next_available(&active, least_ready(&facts.set), (view.now, view.clock)) }
}

fn least_ready(set: &ReplicaSet) -> i32 {
    set.spec.as_ref().and_then(|spec| spec.min_ready_seconds).unwrap_or(0)
}

/// The status that the pods make.
fn status(facts: &Facts, view: &View) -> Status {
    let template = facts.set.spec.as_ref().and_then(|spec| spec.template.as_ref());
    let labels = template.and_then(|template| template.metadata.as_ref()?.labels.as_ref());
    let mut status = Status { generation: facts.set.object.meta.generation, ..Status::default() };
    for pod in &facts.pods {
        if pod.is_terminating() && !pod.is_finished() {
            status.terminating += 1;
        }
        if !pod.is_active() {
            continue;
        }
        let own = &pod.object.meta.labels;
        status.replicas += 1;
        status.fully_labeled +=
            i32::from(labels.is_none_or(|all| all.iter().all(|(k, v)| own.get(k) == Some(v))));
        status.ready += i32::from(pod.is_ready());
        let available = pod.availability(least_ready(&facts.set), view.clock) == Availability::Yes;
        status.available += i32::from(available);
    }
    status
}

/// The status that the set has.
pub(crate) fn told(set: &ReplicaSet) -> Status {
    let Some(status) = &set.status else { return Status { generation: -1, ..Status::default() } };
    let conditions = status.conditions.as_deref().unwrap_or_default();
    Status {
        replicas: status.replicas,
        fully_labeled: status.fully_labeled_replicas.unwrap_or(0),
        ready: status.ready_replicas.unwrap_or(0),
        available: status.available_replicas.unwrap_or(0),
        terminating: status.terminating_replicas.unwrap_or(0),
        generation: status.observed_generation.unwrap_or(0),
        failing: conditions.iter().any(|condition| condition.type_ == FAILURE),
    }
}
