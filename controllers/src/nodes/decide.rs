//! Whether a node is alive, and what follows from that for its conditions and taints. Pure.
//!
//! | lease | Ready says | another node is alive | conditions | taints, beside those of others |
//! |---|---|---|---|---|
//! | renewed within the grace | True | | – | none |
//! | renewed within the grace | False | yes | – | not-ready: NoSchedule, NoExecute |
//! | renewed within the grace | False | no | – | not-ready: NoSchedule |
//! | renewed within the grace | Unknown | yes | – (its agent will say) | unreachable: NoSchedule, NoExecute |
//! | renewed within the grace | Unknown | no | – | unreachable: NoSchedule |
//! | renewed within the grace | nothing yet | | – | none |
//! | not renewed for longer, or none | any but Unknown | | all Unknown | unreachable, as above |
//! | not renewed for longer, or none | Unknown | | – | unreachable, as above |
//!
//! | `spec.unschedulable` | taint |
//! |---|---|
//! | true | unschedulable: NoSchedule |
//! | false | none |
//!
//! | out-of-service taint | node | verdict |
//! |---|---|---|
//! | none | marked as heard since | Unmark |
//! | there | Ready, not marked | tell that it is ignored |
//! | there | has renewed its lease since the taint was seen first, not marked | Mark: it is not believed any more |
//! | there | silent, or marked | – |
//!
//! Times are those of this server. One that has just started, or was suspended or stopped, has seen nothing meanwhile:
//! every node has the full grace from then on. Where no other node is alive, nobody is evicted: there is nowhere to go,
//! and the fault is more likely the server's.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use k8s_openapi::api::{coordination::v1::Lease, core::v1::Node};
use orlop_objects::Key;

use crate::{
    events::Said,
    facts,
    taints::{self, NO_EXECUTE, NO_SCHEDULE, NOT_READY, OUT_OF_SERVICE, UNREACHABLE, UNSCHEDULABLE},
    worker::Seen,
};

/// The taints that are kept here; all others are their makers'.
const OURS: [&str; 3] = [NOT_READY, UNREACHABLE, UNSCHEDULABLE];

/// A taint by key and effect.
pub(crate) type Mark = (&'static str, &'static str);

/// The facts of one pass.
pub(crate) struct View {
    /// When they were gathered.
    pub(crate) now: Instant,
    /// How long a lease may go without renewal.
    pub(crate) grace: Duration,
    /// The nodes that are looked at.
    pub(crate) nodes: Vec<NodeFacts>,
    /// The names of all nodes that are alive and Ready.
    pub(crate) alive: Vec<String>,
}

/// All that matters for one node.
pub(crate) struct NodeFacts {
    /// The node.
    pub(crate) node: Arc<Seen<Node>>,
    /// Its lease.
    pub(crate) lease: Option<Arc<Seen<Lease>>>,
    /// When this server saw it renewed, or first looked.
    pub(crate) renewed: Instant,
    /// Whether it was renewed since the node was first seen with the out-of-service taint.
    pub(crate) heard_since: bool,
}

/// What to do about one node.
#[derive(Debug)]
pub(crate) struct Verdict {
    /// The node.
    pub(crate) node: Arc<Seen<Node>>,
    /// Write its conditions as Unknown, since it has been silent for so long.
    pub(crate) lost: Option<Duration>,
    /// Taints to put on.
    pub(crate) put: Vec<Mark>,
    /// Taints to take off.
    pub(crate) take: Vec<Mark>,
    /// Mark it as heard since it was called out of service, or take the mark off.
    pub(crate) heard: Option<bool>,
    /// What to tell when that is written.
    pub(crate) said: Vec<Said>,
    /// The lease, where it does not say the grace that is given here.
    pub(crate) lease: Option<Arc<Seen<Lease>>>,
    /// When to look again.
    pub(crate) until: Instant,
}

/// How often every node is looked at: often enough to notice that this server itself was not running.
pub(crate) fn look_every(grace: Duration) -> Duration {
    grace / 4
}

/// What a lease says: for how many seconds its holder counts as alive.
pub(crate) fn lease_seconds(grace: Duration) -> i32 {
    i32::try_from(grace.as_secs()).unwrap_or(i32::MAX).max(1)
}

/// All verdicts of a pass.
pub(crate) fn decide(view: &View) -> Vec<(Key, Verdict)> {
    view.nodes.iter().map(|facts| (facts.node.key().clone(), decide_node(facts, view))).collect()
}

fn decide_node(facts: &NodeFacts, view: &View) -> Verdict {
    let node = &facts.node;
    let silent_for = view.now.duration_since(facts.renewed);
    let silent = silent_for >= view.grace;
    let says = taints::ready(node).map_or("", |condition| condition.status.as_str());
    let wanted = wanted_taints(facts, view, if silent { "Unknown" } else { says });
    let is_there = |(key, effect): &Mark| taints::find(node, key, effect).is_some();
    let put: Vec<Mark> = wanted.iter().copied().filter(|mark| !is_there(mark)).collect();
    let both = OURS.into_iter().flat_map(|key| [(key, NO_SCHEDULE), (key, NO_EXECUTE)]);
    let take: Vec<Mark> = both.filter(|mark| is_there(mark) && !wanted.contains(mark)).collect();
    let (heard, ignored) = out_of_service(facts);
    let mut said: Vec<Said> =
        news(node.name(), &put, &take, silent.then_some(silent_for)).into_iter().collect();
    said.extend(ignored);
    let seconds = |lease: &Seen<Lease>| lease.spec.as_ref().and_then(|spec| spec.lease_duration_seconds);
    let unfit = |lease: &&Arc<Seen<Lease>>| seconds(lease) != Some(lease_seconds(view.grace));
    Verdict {
        node: node.clone(),
        lost: (silent && says != "Unknown").then_some(silent_for),
        put,
        take,
        heard,
        said,
        lease: facts.lease.as_ref().filter(unfit).cloned(),
        until: view.now + look_every(view.grace),
    }
}

/// The taints that it should have of ours.
fn wanted_taints(facts: &NodeFacts, view: &View, ready: &str) -> Vec<Mark> {
    let name = facts.node.name();
    let somewhere_to_go = view.alive.iter().any(|other| other != name);
    let key = match ready {
        "False" => Some(NOT_READY),
        "Unknown" => Some(UNREACHABLE),
        _ => None,
    };
    let mut wanted = Vec::new();
    if let Some(key) = key {
        wanted.push((key, NO_SCHEDULE));
        wanted.extend(somewhere_to_go.then_some((key, NO_EXECUTE)));
    }
    let closed = facts.node.spec.as_ref().and_then(|spec| spec.unschedulable).unwrap_or(false);
    wanted.extend(closed.then_some((UNSCHEDULABLE, NO_SCHEDULE)));
    wanted
}

/// Tells of a change between ready and not.
fn news(name: &str, put: &[Mark], take: &[Mark], silent_for: Option<Duration>) -> Option<Said> {
    let about = |marks: &[Mark], key: &str| marks.contains(&(key, NO_SCHEDULE));
    if about(put, UNREACHABLE) {
        let words = silent_for.map_or_else(String::new, |silent| format!(". {}", why_lost(silent)));
        return Some(Said::warning(
            "NodeNotReady",
            format!("Node {name} status is now: NodeNotReady{words}"),
        ));
    }
    if about(put, NOT_READY) {
        let text = format!(
            "Node {name} status is now: NodeNotReady. Its agent says why: kubectl describe node {name}"
        );
        return Some(Said::warning("NodeNotReady", text));
    }
    let back = about(take, UNREACHABLE) || about(take, NOT_READY);
    back.then(|| Said::normal("NodeReady", format!("Node {name} status is now: NodeReady")))
}

/// What the Ready condition says of a silent node.
pub(crate) fn why_lost(silent_for: Duration) -> String {
    format!(
        "Kubelet stopped posting node status. The node's agent has not renewed its lease for {} s: start it again",
        silent_for.as_secs()
    )
}

/// Whether a person's word that the node is off is to be believed: the second half of the table.
fn out_of_service(facts: &NodeFacts) -> (Option<bool>, Option<Said>) {
    let (node, name) = (&facts.node, facts.node.name());
    let marked = taints::is_heard_since(node);
    let tainted = taints::find(node, OUT_OF_SERVICE, NO_EXECUTE).is_some();
    let said = |text: String| Some(Said::warning("OutOfServiceTaintIgnored", text));
    match (tainted, marked) {
        (false, true) => (Some(false), None),
        (true, false) if facts.heard_since => {
            let text = format!(
                "Node {name} was heard after it had been tainted {OUT_OF_SERVICE}, so it is not off: the taint is ignored, \
                 and nothing is taken from the node. Take the taint away with: kubectl taint node {name} {OUT_OF_SERVICE}- \
                 (and put it on again only when the node is powered off)"
            );
            (Some(true), said(text))
        }
        (true, false) if facts::is_ready(node) => {
            let text = format!(
                "Node {name} is Ready: the taint {OUT_OF_SERVICE} is ignored until the node is not Ready. It is for nodes \
                 that are powered off"
            );
            (None, said(text))
        }
        _ => (None, None),
    }
}
