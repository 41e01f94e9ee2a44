//! What a stateful set's status says. Pure.
//!
//! The current revision becomes that to come when all pods are of it and ready, and the set rolls.

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::StatefulSet;

use super::{form::REVISION, view::Facts};
use crate::workloads::pods::{Availability, Phase, Pod};

/// The numbers and revisions of a status.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Status {
    /// The generation that was looked at.
    pub(crate) generation: i64,
    /// Pods there are.
    pub(crate) replicas: i32,
    /// That run and are ready.
    pub(crate) ready: i32,
    /// That have been ready long enough.
    pub(crate) available: i32,
    /// Of the current revision.
    pub(crate) current: i32,
    /// Of the revision to come.
    pub(crate) updated: i32,
    /// The current revision.
    pub(crate) current_revision: String,
    /// The revision to come.
    pub(crate) update_revision: String,
    /// How often a revision's name was somebody else's.
    pub(crate) collisions: i32,
}

/// Whether a pod runs and is ready.
pub(crate) fn is_ready(pod: &Pod) -> bool {
    pod.phase == Phase::Running && pod.is_ready()
}

/// Whether a pod stays, runs, and has been ready long enough.
pub(crate) fn is_available(pod: &Pod, least: i32, now: Timestamp) -> bool {
    !pod.is_terminating() && is_ready(pod) && pod.availability(least, now) == Availability::Yes
}

/// The revision that a pod was made of.
pub(crate) fn revision(pod: &Pod) -> &str {
    pod.object.meta.labels.get(REVISION).map_or("", String::as_str)
}

impl Status {
    /// What the status of a set says.
    pub(crate) fn told(set: &StatefulSet) -> Self {
        let Some(status) = &set.status else { return Self::default() };
        Self {
            generation: status.observed_generation.unwrap_or(0),
            replicas: status.replicas,
            ready: status.ready_replicas.unwrap_or(0),
            available: status.available_replicas.unwrap_or(0),
            current: status.current_replicas.unwrap_or(0),
            updated: status.updated_replicas.unwrap_or(0),
            current_revision: status.current_revision.clone().unwrap_or_default(),
            update_revision: status.update_revision.clone().unwrap_or_default(),
            collisions: status.collision_count.unwrap_or(0),
        }
    }

    /// What the pods make it.
    pub(crate) fn of(facts: &Facts, current: &str, update: &str, now: Timestamp) -> Self {
        let spec = facts.set.spec.as_ref();
        let least = spec.and_then(|spec| spec.min_ready_seconds).unwrap_or(0);
        let mut status = Self {
            generation: facts.set.object.meta.generation,
            current_revision: current.to_owned(),
            update_revision: update.to_owned(),
            collisions: Self::told(&facts.set).collisions,
            ..Self::default()
        };
        for pod in facts.pods.values() {
            status.replicas += 1;
            status.ready += i32::from(is_ready(pod));
            let available = is_ready(pod) && pod.availability(least, now) == Availability::Yes;
            status.available += i32::from(available);
            if !pod.is_terminating() {
                status.current += i32::from(revision(pod) == current);
                status.updated += i32::from(revision(pod) == update);
            }
        }
        let strategy = spec.and_then(|spec| spec.update_strategy.as_ref()?.type_.as_deref());
        let wanted = spec.and_then(|spec| spec.replicas).unwrap_or(1);
        let whole = [status.updated, status.ready, status.replicas] == [wanted; 3];
        if whole && strategy != Some("OnDelete") {
            status.current = status.updated;
            status.current_revision.clone_from(&status.update_revision);
        }
        status
    }
}
