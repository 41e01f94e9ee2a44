//! Which pods leave their node, and how. Pure.
//!
//! | pod | its node | verdict |
//! |---|---|---|
//! | without node | | – |
//! | any | missing for less than the quarantine | wait |
//! | any | missing for longer | Force |
//! | finished, not terminating | there | – |
//! | terminating, or not tolerating the taint | out of service, believed | Force |
//! | terminating | Ready | – (its agent ends it) |
//! | terminating | not Ready | tell why it stays |
//! | else | a taint NoExecute that is not tolerated, or no longer | Evict |
//! | else | taints NoExecute that are tolerated for a time | wait |
//! | else | none, or tolerated without end | –; it is told when it had been about to go |
//!
//! Beside that, a pod that looks ready on a node that is not Ready is written as not ready. The out-of-service taint
//! alone evicts nobody from a node on which it is not believed (`nodes`). Times count from when this server first saw the
//! pod under the taint.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use k8s_openapi::api::core::v1::{Node, Pod, Taint};
use orlop_objects::Key;

use crate::{
    events::Said,
    facts,
    taints::{self, OUT_OF_SERVICE},
    worker::Seen,
};

/// How long a node may be missing before its pods are taken for gone, as in Kubernetes.
pub(crate) const QUARANTINE: Duration = Duration::from_secs(40);

/// The facts of one pass.
pub(crate) struct View {
    /// When they were gathered.
    pub(crate) now: Instant,
    /// Pods that have a node.
    pub(crate) pods: Vec<PodFacts>,
}

/// All that matters for one pod.
pub(crate) struct PodFacts {
    /// The pod.
    pub(crate) pod: Arc<Seen<Pod>>,
    /// Its node.
    pub(crate) place: Place,
    /// The taints NoExecute of its node, and since when the pod has stood under each.
    pub(crate) taints: Vec<(Taint, Instant)>,
    /// Whether it had been about to go when it was looked at before.
    pub(crate) was_going: bool,
}

/// Where a pod is.
pub(crate) enum Place {
    /// On this node.
    At(Arc<Seen<Node>>),
    /// On a node that has no object.
    Missing {
        /// Its name.
        node: String,
        /// Since when this server has missed it.
        since: Instant,
    },
}

/// What to do about one pod.
#[derive(Debug)]
pub(crate) struct Verdict {
    /// The pod.
    pub(crate) pod: Arc<Seen<Pod>>,
    /// Its node, which must not have changed meanwhile.
    pub(crate) node: Option<Arc<Seen<Node>>>,
    /// How it leaves.
    pub(crate) leave: Option<Leave>,
    /// Write that it is not ready.
    pub(crate) not_ready: bool,
    /// What to tell when that is written.
    pub(crate) said: Vec<Said>,
    /// When to look again.
    pub(crate) until: Option<Instant>,
}

/// How a pod leaves its node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leave {
    /// Deleted as a user would delete it.
    Evict,
    /// Removed without waiting for its node's agent.
    Force,
}

/// All verdicts of a pass.
pub(crate) fn decide(view: &View) -> Vec<(Key, Verdict)> {
    view.pods.iter().map(|facts| (facts.pod.key().clone(), decide_pod(facts, view.now))).collect()
}

fn decide_pod(facts: &PodFacts, now: Instant) -> Verdict {
    let mut verdict = Verdict {
        pod: facts.pod.clone(),
        node: None,
        leave: None,
        not_ready: false,
        said: Vec::new(),
        until: None,
    };
    match &facts.place {
        Place::Missing { since, .. } if now < *since + QUARANTINE => {
            verdict.until = Some(*since + QUARANTINE);
        }
        Place::Missing { node, .. } => {
            verdict.leave = Some(Leave::Force);
            verdict
                .said
                .push(marking(facts, &format!(": its node {node} is no part of the cluster any more")));
        }
        Place::At(node) => {
            verdict.node = Some(node.clone());
            on_node(facts, node, now, &mut verdict);
        }
    }
    verdict
}

fn on_node(facts: &PodFacts, node: &Seen<Node>, now: Instant, verdict: &mut Verdict) {
    let pod = &facts.pod;
    if facts::is_finished(pod) && !pod.is_terminating() {
        return;
    }
    let off = taints::out_of_service(node).is_some();
    let must_go = || dates(facts, |taint| taint.key == OUT_OF_SERVICE).any(|date| date <= now);
    if off && (pod.is_terminating() || must_go()) {
        verdict.leave = Some(Leave::Force);
        let why =
            format!(": node {} is out of service, so it is removed without the node's agent", node.name());
        verdict.said.push(marking(facts, &why));
        return;
    }
    let lost = !facts::is_ready(node);
    if lost && is_ready(pod) {
        verdict.not_ready = true;
        verdict.said.push(Said::warning("NodeNotReady", "Node is not ready"));
    }
    if pod.is_terminating() {
        verdict.said.extend(lost.then(|| stuck(node)));
        return;
    }
    match dates(facts, |taint| off || taint.key != OUT_OF_SERVICE).min() {
        Some(date) if date <= now => {
            verdict.leave = Some(Leave::Evict);
            verdict.said.push(marking(facts, ""));
        }
        Some(date) => verdict.until = Some(date),
        None if facts.was_going => verdict.said.push(cancelling(facts)),
        None => {}
    }
}

/// When the pod must go, for each of these taints that it does not tolerate for ever.
fn dates(facts: &PodFacts, counts: impl Fn(&Taint) -> bool) -> impl Iterator<Item = Instant> {
    let counted = facts.taints.iter().filter(move |(taint, _)| counts(taint));
    counted.filter_map(|(taint, seen)| taints::deadline(&facts.pod, taint, *seen))
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

fn marking(facts: &PodFacts, why: &str) -> Said {
    let key = facts.pod.key();
    let text = format!("Marking for deletion Pod {}/{}{why}", key.namespace, key.name);
    Said::normal("TaintManagerEviction", text)
}

fn cancelling(facts: &PodFacts) -> Said {
    let key = facts.pod.key();
    Said::normal("TaintManagerEviction", format!("Cancelling deletion of Pod {}/{}", key.namespace, key.name))
}

/// Why a pod stays Terminating.
fn stuck(node: &Seen<Node>) -> Said {
    let (name, since) = (node.name(), taints::since(node));
    let command = taints::out_of_service_command(name);
    let text = format!(
        "The pod is to be deleted, but node {name} has not been Ready since {since}: its containers may still run there, so \
         the pod stays until the node's agent says that they have ended. Bring node {name} back; or power it off and run: \
         {command}"
    );
    Said::warning("NodeNotReady", text)
}
