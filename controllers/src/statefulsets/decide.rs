//! The one step of a stateful set towards what it wants. Pure.
//!
//! | set | verdict |
//! |---|---|
//! | some pods or revisions to adopt or to release | Move them |
//! | is going | status alone |
//! | its template is in no revision, or in an earlier one | Remember it, Renumber that: `revisions` |
//! | claims with other owners than the policy wants | Own: `claims` |
//!
//! Then its numbers, upwards. OrderedReady ends at the first that is not as it should be; Parallel goes on.
//!
//! | number | verdict |
//! |---|---|
//! | no pod; another pod has the name, a claim is going, the namespace is going | wait, and say so |
//! | no pod | Create it, claims first: of the current revision below the partition, of the one to come above |
//! | its pod has ended | Delete it, so that it is made anew |
//! | its pod is going | wait; on a node that does not answer: say what holds its successor back |
//! | its pod lacks claims | make them |
//! | its pod is not ready, or not yet for long enough | wait; after [`PATIENCE`] say for what |
//!
//! Then those that are too high, downwards: the highest is deleted when nothing goes (Parallel: all of them).
//! Then, for RollingUpdate, downwards to the partition: a pod of another revision is deleted as long as fewer than
//! `maxUnavailable` (one) are not available; one that is not available costs nothing.
//! Then revisions beyond the history are forgotten.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use k8s_openapi::api::apps::v1::StatefulSet;
use orlop_objects::{Key, Object};
use serde_json::Value;

use super::{
    claims, form,
    status::{self, Status},
    view::{Facts, View},
};
use crate::{
    events::Said,
    workloads::{
        family::Moves,
        pass,
        pods::{self, Phase, Pod},
        portion::{self, Round},
        revisions::{Newest, Revision, Step},
    },
};

/// How long a pod may take to become ready before the set says that it waits for it.
const PATIENCE: Duration = Duration::from_secs(10);

/// What to do about one stateful set.
pub(crate) type Verdict = pass::Verdict<StatefulSet, Status, Act>;

/// The one step of a pass.
#[derive(Debug)]
pub(crate) enum Act {
    /// Adopt and release.
    Move(Moves),
    /// Remember, renumber or forget revisions.
    Revise(Step),
    /// Give claims these owners.
    Own(Vec<(Arc<Object>, Vec<Value>)>),
    /// Make pods, or only claims that a pod lacks.
    Create(Vec<Birth>),
    /// Delete pods.
    Delete(Vec<(Arc<Pod>, Why)>),
    /// Wait for something, with what there is to say.
    Wait {
        /// What is said.
        said: Option<Said>,
        /// When to look again.
        until: Option<Instant>,
    },
    /// Nothing is left to do.
    Settled,
}

/// What is made for one number.
#[derive(Debug)]
pub(crate) struct Birth {
    /// The claims that are missing.
    pub(crate) claims: Vec<Value>,
    /// The pod; `None` when it is there.
    pub(crate) pod: Option<Value>,
    /// Its name.
    pub(crate) name: String,
}

/// Why a pod is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// It failed.
    Failed,
    /// It ended.
    Ended,
    /// Its number is too high, or its revision is old.
    Replaced,
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
    let told = Status::told(&set);
    let update = match facts.history.newest(&set.object, &facts.spec["template"]) {
        Newest::Known(revision) => revision,
        _ if set.is_terminating() => {
            let status = Status::of(facts, &told.current_revision, &told.update_revision, view.clock);
            return Verdict { set, status: (status != told).then_some(status), act: Act::Settled };
        }
        Newest::Taken | Newest::Missing(Step::Remember(_)) if facts.namespace_going => {
            return Verdict { set, status: None, act: Act::Settled };
        }
        Newest::Taken => {
            // The next look has another name.
            let status = Status { collisions: told.collisions + 1, ..told };
            return Verdict { set, status: Some(status), act: Act::Settled };
        }
        Newest::Missing(step) => return Verdict { set, status: None, act: Act::Revise(step) },
    };
    let current = facts.history.revisions.iter().find(|revision| revision.name() == told.current_revision);
    let look = Look { facts, view, update, current: current.unwrap_or(update) };
    let status = Status::of(facts, look.current.name(), update.name(), view.clock);
    let act = if set.is_terminating() { Act::Settled } else { look.act() };
    Verdict { set, status: (status != told).then_some(status), act }
}

/// What a look at the numbers needs.
struct Look<'a> {
    facts: &'a Facts,
    view: &'a View,
    update: &'a Revision,
    current: &'a Revision,
}

/// What is to be done about one number.
enum Need {
    Birth(Birth),
    Death(Arc<Pod>, Why),
    Wait(Act),
}

impl Look<'_> {
    fn act(&self) -> Act {
        let wrong = self.wrongly_owned();
        if !wrong.is_empty() {
            return Act::Own(wrong);
        }
        self.upwards().or_else(|| self.too_high()).or_else(|| self.old()).unwrap_or_else(|| self.tidy())
    }

    fn ordered(&self) -> bool {
        let policy = || self.facts.set.spec.as_ref()?.pod_management_policy.as_deref();
        policy() != Some("Parallel")
    }

    fn least_ready(&self) -> i32 {
        self.facts.set.spec.as_ref().and_then(|spec| spec.min_ready_seconds).unwrap_or(0)
    }

    fn is_available(&self, pod: &Pod) -> bool {
        status::is_available(pod, self.least_ready(), self.view.clock)
    }

    fn wrongly_owned(&self) -> Vec<(Arc<Object>, Vec<Value>)> {
        let facts = self.facts;
        let numbers: BTreeSet<i32> = facts.wanted().chain(facts.pods.keys().copied()).collect();
        let mut wrong = Vec::new();
        for ordinal in numbers {
            let high = !facts.wanted().contains(&ordinal);
            let pod = facts.pods.get(&ordinal).filter(|_| high).map(|pod| &*pod.object);
            for name in claims::names(&facts.spec, facts.set.name(), ordinal) {
                let claim = facts.claims.get(&name).filter(|claim| !claim.meta.is_terminating());
                // A claim that goes with a pod that is gone is waited for, not kept.
                let Some(claim) = claim.filter(|claim| {
                    high || !claims::is_stale(claim, facts.pods.get(&ordinal).map(|pod| &*pod.object))
                }) else {
                    continue;
                };
                let owners = claims::owners(&facts.set.object, &facts.spec, claim, pod);
                wrong.extend(owners.map(|owners| (claim.clone(), owners)));
            }
        }
        wrong
    }

    /// The numbers that are wanted.
    fn upwards(&self) -> Option<Act> {
        let (mut births, mut deaths, mut waits) = (Vec::new(), Vec::new(), None);
        for ordinal in self.facts.wanted() {
            match self.need(ordinal) {
                None => continue,
                Some(Need::Birth(birth)) => births.push(birth),
                Some(Need::Death(pod, why)) => deaths.push((pod, why)),
                Some(Need::Wait(act)) => waits = waits.or(Some(act)),
            }
            if self.ordered() {
                break;
            }
        }
        if !deaths.is_empty() {
            Some(Act::Delete(deaths))
        } else if !births.is_empty() {
            Some(Act::Create(births))
        } else {
            // What waits holds an ordered set; the others go on, and wait when nothing else is to be done.
            waits.filter(|_| self.ordered() || (self.too_high().is_none() && self.old().is_none()))
        }
    }

    fn need(&self, ordinal: i32) -> Option<Need> {
        let Some(pod) = self.facts.pods.get(&ordinal) else { return Some(self.birth(ordinal)) };
        if pod.is_terminating() {
            return Some(Need::Wait(self.held(pod)));
        }
        match pod.phase {
            Phase::Failed => return Some(Need::Death(pod.clone(), Why::Failed)),
            Phase::Succeeded => return Some(Need::Death(pod.clone(), Why::Ended)),
            Phase::Pending | Phase::Unknown | Phase::Running => {}
        }
        let claims = self.missing_claims(ordinal);
        if pod.phase == Phase::Pending && !claims.is_empty() {
            return Some(Need::Birth(Birth { claims, pod: None, name: pod.name().to_owned() }));
        }
        (!self.is_available(pod)).then(|| Need::Wait(self.unready(pod)))
    }

    fn birth(&self, ordinal: i32) -> Need {
        let (facts, set) = (self.facts, &self.facts.set);
        let name = form::name(set.name(), ordinal);
        let refuse = |why: String| {
            let text = format!("create Pod {name} in StatefulSet {} failed error: {why}", set.name());
            Need::Wait(Act::Wait { said: Some(Said::warning("FailedCreate", text)), until: None })
        };
        if facts.namespace_going {
            return Need::Wait(Act::Wait { said: None, until: None });
        }
        if facts.strangers.contains(&name) {
            return refuse(format!(
                "pod \"{name}\" is there already and not this set's; delete it, or give it another name"
            ));
        }
        for claim in claims::names(&facts.spec, set.name(), ordinal) {
            if facts.claims.get(&claim).is_some_and(|claim| claims::is_stale(claim, None)) {
                return refuse(format!(
                    "claim \"{claim}\" is being deleted; the pod is made when it is gone"
                ));
            }
        }
        let revision = if self.is_current(ordinal) { self.current } else { self.update };
        let made_of = (revision.name(), &revision.template);
        let pod = form::pod(&set.object, &facts.spec, made_of, ordinal);
        Need::Birth(Birth { claims: self.missing_claims(ordinal), pod: Some(pod), name })
    }

    fn missing_claims(&self, ordinal: i32) -> Vec<Value> {
        let forms = claims::forms(&self.facts.set.object, &self.facts.spec, ordinal);
        let missing = |form: &Value| {
            let name = form["metadata"]["name"].as_str().unwrap_or_default();
            !self.facts.claims.contains_key(name)
        };
        forms.into_iter().filter(missing).collect()
    }

    /// The first number that is updated.
    fn partition(&self) -> i32 {
        let strategy = self.facts.set.spec.as_ref().and_then(|spec| spec.update_strategy.as_ref());
        let partition =
            strategy.and_then(|strategy| strategy.rolling_update.as_ref()?.partition).unwrap_or(0);
        self.facts.wanted().start.saturating_add(partition)
    }

    fn rolls(&self) -> bool {
        let strategy = self.facts.set.spec.as_ref().and_then(|spec| spec.update_strategy.as_ref());
        strategy.and_then(|strategy| strategy.type_.as_deref()) != Some("OnDelete")
    }

    /// Whether a pod of this number is still made of the current revision.
    fn is_current(&self, ordinal: i32) -> bool {
        self.rolls() && ordinal < self.partition()
    }

    /// A pod on its way out: its successor has the same name.
    fn held(&self, pod: &Pod) -> Act {
        let node = pod.node.as_deref().filter(|node| self.facts.silent.contains(*node));
        let said = node.map(|node| {
            let name = pod.name();
            let text = format!(
                "pod {name} is being deleted, but its node {node} does not answer: it may still run, and there is never \
                 more than one {name}. It is replaced when the node is back, or when you know that the machine is off and \
                 say so: kubectl taint node {node} node.kubernetes.io/out-of-service=nodeshutdown:NoExecute"
            );
            Said::warning("PodHeldByLostNode", text)
        });
        Act::Wait { said, until: None }
    }

    /// A pod that is not ready, or not yet for long enough.
    fn unready(&self, pod: &Arc<Pod>) -> Act {
        let now = self.view.now;
        let available = pods::next_available([pod], self.least_ready(), (now, self.view.clock));
        let patience = self.facts.waiting_since.unwrap_or(now) + PATIENCE;
        if available.is_some() || patience > now {
            return Act::Wait { said: None, until: Some(available.unwrap_or(patience)) };
        }
        let node = pod.node.as_deref().filter(|node| self.facts.silent.contains(*node));
        let lost = node.map(|node| format!("its node {node} does not answer"));
        let why = lost.or_else(|| pod.trouble.clone()).unwrap_or_else(|| "it is not ready".to_owned());
        let text = format!("waits for pod {}: {why}", pod.name());
        Act::Wait { said: Some(Said::normal("WaitingForPod", text)), until: None }
    }

    /// The numbers that are too high.
    fn too_high(&self) -> Option<Act> {
        let wanted = self.facts.wanted();
        let high = self.facts.pods.iter().rev().filter(|(ordinal, _)| !wanted.contains(ordinal));
        let high: Vec<&Arc<Pod>> = high.map(|(_, pod)| pod).collect();
        let going = high.iter().find(|pod| pod.is_terminating());
        let staying = high.iter().filter(|pod| !pod.is_terminating());
        if self.ordered() {
            return match going {
                Some(pod) => Some(self.held(pod)),
                None => high.first().map(|pod| Act::Delete(vec![(Arc::clone(pod), Why::Replaced)])),
            };
        }
        let staying: Vec<_> = staying.map(|pod| (Arc::clone(pod), Why::Replaced)).collect();
        (!staying.is_empty()).then_some(Act::Delete(staying))
    }

    /// Pods of another revision than that to come.
    fn old(&self) -> Option<Act> {
        let wanted = self.facts.wanted();
        if !self.rolls() {
            return None;
        }
        let available = |n: &i32| self.facts.pods.get(n).is_some_and(|pod| self.is_available(pod));
        let missing = wanted.clone().filter(|n| !available(n)).count();
        let mut room = self.most_unavailable().saturating_sub(missing);
        let mut given = Vec::new();
        for ordinal in (self.partition()..wanted.end).rev() {
            let Some(pod) = self.facts.pods.get(&ordinal) else { continue };
            if pod.is_terminating() || status::revision(pod) == self.update.name() {
                continue;
            }
            if available(&ordinal) {
                if room == 0 {
                    continue;
                }
                room -= 1;
            }
            given.push((pod.clone(), Why::Replaced));
        }
        (!given.is_empty()).then_some(Act::Delete(given))
    }

    fn most_unavailable(&self) -> usize {
        let strategy = self.facts.set.spec.as_ref().and_then(|spec| spec.update_strategy.as_ref());
        let most = strategy.and_then(|strategy| strategy.rolling_update.as_ref()?.max_unavailable.as_ref());
        let wanted = self.facts.wanted();
        let most = most.map_or(1, |most| portion::of(most, wanted.end - wanted.start, Round::Down));
        usize::try_from(most.max(1)).unwrap_or(1)
    }

    fn tidy(&self) -> Act {
        let pods = self.facts.pods.values().map(|pod| status::revision(pod));
        let alive: BTreeSet<&str> = pods.chain([self.update.name(), self.current.name()]).collect();
        let limit = self.facts.set.spec.as_ref().and_then(|spec| spec.revision_history_limit);
        self.facts.history.tidy(&alive, limit).map_or(Act::Settled, Act::Revise)
    }
}
