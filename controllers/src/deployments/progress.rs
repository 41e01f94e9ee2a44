//! What a deployment's status says: numbers, and the conditions by which `kubectl rollout status` and `kubectl wait` go. Pure.
//!
//! | Available | when |
//! |---|---|
//! | True MinimumReplicasAvailable | no more are missing than may be |
//! | False MinimumReplicasUnavailable | else |
//!
//! | Progressing | when |
//! |---|---|
//! | – | no deadline |
//! | Unknown DeploymentPaused, DeploymentResumed | it is paused, was paused |
//! | True NewReplicaSetCreated, FoundNewReplicaSet | the template's set was made, was there |
//! | True NewReplicaSetAvailable | all pods are new and available: it stays so until the template changes |
//! | True ReplicaSetUpdated | numbers moved in the right direction since the last look |
//! | False ProgressDeadlineExceeded | they have not for as long as the deadline |
//! | as it is | else |
//!
//! ReplicaFailure is taken over from the sets.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::Deployment;

use super::{
    rolling::Bounds,
    view::{Facts, Set},
};
use crate::replicasets::decide::FAILURE;

/// Enough pods are ready.
pub(crate) const AVAILABLE: &str = "Available";
/// It gets on.
pub(crate) const PROGRESSING: &str = "Progressing";
/// Everything is new and available.
const COMPLETE: &str = "NewReplicaSetAvailable";
const TIMED_OUT: &str = "ProgressDeadlineExceeded";
const PAUSED: &str = "DeploymentPaused";

/// A deployment's status.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Status {
    /// The generation that was looked at.
    pub(crate) generation: i64,
    /// Pods there are.
    pub(crate) replicas: i32,
    /// Of the newest template.
    pub(crate) updated: i32,
    /// That are ready.
    pub(crate) ready: i32,
    /// That have been ready long enough.
    pub(crate) available: i32,
    /// That are missing.
    pub(crate) unavailable: i32,
    /// On their way out.
    pub(crate) terminating: i32,
    /// How often a set's name was somebody else's.
    pub(crate) collisions: i32,
    /// The conditions.
    pub(crate) conditions: Vec<Condition>,
}

/// One condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Condition {
    /// Which.
    pub(crate) type_: String,
    /// `True`, `False`, `Unknown`.
    pub(crate) status: String,
    /// In one word.
    pub(crate) reason: String,
    /// In a sentence.
    pub(crate) message: String,
    /// When it was last written.
    pub(crate) updated: Timestamp,
    /// When its status last changed.
    pub(crate) changed: Timestamp,
}

impl Status {
    /// What a deployment's status says.
    pub(crate) fn told(deployment: &Deployment) -> Self {
        let Some(status) = &deployment.status else { return Self::default() };
        let conditions = status.conditions.as_deref().unwrap_or_default().iter().map(|c| Condition {
            type_: c.type_.clone(),
            status: c.status.clone(),
            reason: c.reason.clone().unwrap_or_default(),
            message: c.message.clone().unwrap_or_default(),
            updated: c.last_update_time.as_ref().map_or(Timestamp::UNIX_EPOCH, |time| time.0),
            changed: c.last_transition_time.as_ref().map_or(Timestamp::UNIX_EPOCH, |time| time.0),
        });
        Self {
            generation: status.observed_generation.unwrap_or(0),
            replicas: status.replicas.unwrap_or(0),
            updated: status.updated_replicas.unwrap_or(0),
            ready: status.ready_replicas.unwrap_or(0),
            available: status.available_replicas.unwrap_or(0),
            unavailable: status.unavailable_replicas.unwrap_or(0),
            terminating: status.terminating_replicas.unwrap_or(0),
            collisions: status.collision_count.unwrap_or(0),
            conditions: conditions.collect(),
        }
    }

    /// The numbers that the sets make, with the condition that follows from them.
    pub(crate) fn of(facts: &Facts, new: Option<&Set>, bounds: Bounds, now: Timestamp) -> Self {
        let told = Self::told(&facts.deployment);
        let sum = |number: fn(&Set) -> i32| facts.sets.iter().map(|set| number(set)).sum::<i32>();
        let available = sum(|set| set.told().available);
        let mut status = Self {
            generation: facts.deployment.object.meta.generation,
            replicas: sum(|set| set.told().replicas),
            updated: new.map_or(0, |set| set.told().replicas),
            ready: sum(|set| set.told().ready),
            available,
            unavailable: (sum(Set::wants) - available).max(0),
            terminating: sum(|set| set.told().terminating),
            collisions: told.collisions,
            conditions: told.conditions,
        };
        if available >= bounds.least() {
            let text = "Deployment has minimum availability.";
            status.set(AVAILABLE, "True", "MinimumReplicasAvailable", text.to_owned(), now);
        } else {
            let text = "Deployment does not have minimum availability.";
            status.set(AVAILABLE, "False", "MinimumReplicasUnavailable", text.to_owned(), now);
        }
        status
    }

    /// Whether all pods are of the newest template and available.
    pub(crate) fn is_complete(&self, wanted: i32, generation: i64) -> bool {
        let all = [self.updated, self.replicas, self.available];
        all == [wanted; 3] && self.generation >= generation
    }

    fn progressing(&self) -> Option<&Condition> {
        self.conditions.iter().find(|condition| condition.type_ == PROGRESSING)
    }

    fn is_progressing(&self, reason: &str) -> bool {
        self.progressing().is_some_and(|condition| condition.reason == reason)
    }

    /// Sets a condition. One of the same status and reason stays as it is.
    pub(crate) fn set(&mut self, type_: &str, status: &str, reason: &str, message: String, now: Timestamp) {
        let old = self.conditions.iter().position(|condition| condition.type_ == type_);
        let changed = match old.map(|n| &self.conditions[n]) {
            Some(old) if old.status == status && old.reason == reason => return,
            Some(old) if old.status == status => old.changed,
            _ => now,
        };
        let condition = Condition {
            type_: type_.to_owned(),
            status: status.to_owned(),
            reason: reason.to_owned(),
            message,
            updated: now,
            changed,
        };
        match old {
            Some(n) => self.conditions[n] = condition,
            None => self.conditions.push(condition),
        }
    }

    fn drop(&mut self, type_: &str) {
        self.conditions.retain(|condition| condition.type_ != type_);
    }
}

/// How long an update may stand still.
pub(crate) fn deadline(deployment: &Deployment) -> Option<SignedDuration> {
    let seconds = deployment.spec.as_ref()?.progress_deadline_seconds.filter(|n| *n != i32::MAX)?;
    Some(SignedDuration::from_secs(i64::from(seconds)))
}

/// The condition that says that a deployment is paused, or no more.
pub(crate) fn pausing(status: &mut Status, deployment: &Deployment, now: Timestamp) {
    let paused = deployment.spec.as_ref().and_then(|spec| spec.paused).unwrap_or(false);
    let said = status.is_progressing(PAUSED);
    if deadline(deployment).is_none() || status.is_progressing(TIMED_OUT) || paused == said {
        return;
    }
    if paused {
        status.set(PROGRESSING, "Unknown", PAUSED, "Deployment is paused".to_owned(), now);
    } else {
        let text = "Deployment is resumed".to_owned();
        status.set(PROGRESSING, "Unknown", "DeploymentResumed", text, now);
    }
}

/// The template's set was made, or found.
pub(crate) fn begun(status: &mut Status, deployment: &Deployment, set: &str, made: bool, now: Timestamp) {
    if deadline(deployment).is_none() {
        return;
    }
    if made {
        let text = format!("Created new replica set \"{set}\"");
        status.set(PROGRESSING, "True", "NewReplicaSetCreated", text, now);
    } else if status.progressing().is_none() {
        let text = format!("Found new replica set \"{set}\"");
        status.set(PROGRESSING, "True", "FoundNewReplicaSet", text, now);
    }
}

/// What the numbers say about progress; answers when the deadline will have passed.
pub(crate) fn follow(
    status: &mut Status,
    facts: &Facts,
    new: Option<&Set>,
    wanted: i32,
    (now, clock): (Instant, Timestamp),
) -> Option<Instant> {
    failures(status, facts, new, clock);
    let Some(deadline) = deadline(&facts.deployment) else {
        status.drop(PROGRESSING);
        return None;
    };
    // An update that came to its end once is not one that stands still when a pod is lost.
    if status.replicas == status.updated && status.is_progressing(COMPLETE) {
        return None;
    }
    let told = Status::told(&facts.deployment);
    let what = match new {
        Some(set) => format!("ReplicaSet \"{}\"", set.set.name()),
        None => format!("Deployment \"{}\"", facts.deployment.name()),
    };
    let since = status.progressing().map(|condition| condition.updated);
    let late = since.is_some_and(|since| clock.duration_since(since) >= deadline);
    if status.is_complete(wanted, facts.deployment.object.meta.generation) {
        let text = format!("{what} has successfully progressed.");
        status.set(PROGRESSING, "True", COMPLETE, text, clock);
    } else if moved(&told, status) {
        renew(status, format!("{what} is progressing."), clock);
    } else if status.is_progressing(TIMED_OUT) || (late && !status.is_progressing(COMPLETE)) {
        let text = format!("{what} has timed out progressing.");
        status.set(PROGRESSING, "False", TIMED_OUT, text, clock);
    }
    let waits = status.progressing().filter(|c| c.reason != COMPLETE && c.reason != TIMED_OUT)?;
    let left = deadline - clock.duration_since(waits.updated);
    Some(now + Duration::try_from(left).unwrap_or_default())
}

/// Whether anything is nearer to the end than it was.
fn moved(before: &Status, now: &Status) -> bool {
    let old = |status: &Status| status.replicas - status.updated;
    now.updated > before.updated
        || old(now) < old(before)
        || now.ready > before.ready
        || now.available > before.available
}

/// Progress is written anew each time, so that the deadline runs from the last one.
fn renew(status: &mut Status, message: String, now: Timestamp) {
    let held = status.progressing().filter(|condition| condition.status == "True").map(|c| c.changed);
    status.drop(PROGRESSING);
    status.set(PROGRESSING, "True", "ReplicaSetUpdated", message, now);
    if let (Some(held), Some(condition)) = (held, status.conditions.last_mut()) {
        condition.changed = held;
    }
}

/// A set that cannot make its pods: the new one's word goes first.
fn failures(status: &mut Status, facts: &Facts, new: Option<&Set>, now: Timestamp) {
    let sets = new.into_iter().chain(facts.sets.iter().map(AsRef::as_ref));
    let failure = sets.filter_map(|set| set.set.status.as_ref()?.conditions.as_ref()).flatten();
    match failure.into_iter().find(|condition| condition.type_ == FAILURE) {
        Some(found) => {
            let reason = found.reason.clone().unwrap_or_default();
            status.set(FAILURE, &found.status, &reason, found.message.clone().unwrap_or_default(), now);
        }
        None => status.drop(FAILURE),
    }
}
