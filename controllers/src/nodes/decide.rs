//! Whether a node is alive. Pure.
//!
//! | lease | Ready condition | verdict |
//! |---|---|---|
//! | changed within the grace, as this server saw it | Unknown, written here | Alive: the lease says so |
//! | changed within the grace | any other | Watch, until the grace is over |
//! | not changed for longer, or none | Unknown | Watch: for a change |
//! | not changed for longer, or none | any other | Lost |
//!
//! A server that has just started has seen nothing yet: every node has the full grace from then on, and none is called
//! alive before its lease was seen to change. No pod is evicted: a cluster of one node has nowhere to put it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use k8s_openapi::api::core::v1::Node;
use orlop_objects::Key;

use crate::worker::Seen;

/// The reason that tells a condition written here from one that the node wrote.
pub(crate) const REASON: &str = "NodeStatusUnknown";

/// The facts of one pass.
pub(crate) struct View {
    /// When they were gathered.
    pub(crate) now: Instant,
    /// How long a lease may go without renewal.
    pub(crate) grace: Duration,
    /// Nodes.
    pub(crate) nodes: Vec<NodeFacts>,
}

/// All that matters for one node.
pub(crate) struct NodeFacts {
    /// The node.
    pub(crate) node: Arc<Seen<Node>>,
    /// When this server saw its lease change, or first looked.
    pub(crate) last_change: Instant,
    /// Whether it saw it change at all.
    pub(crate) changed: bool,
}

/// What to do about one node.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// Write Ready=Unknown.
    Lost { node: Arc<Seen<Node>>, silent_for: Duration },
    /// Write Ready=True again.
    Alive { node: Arc<Seen<Node>> },
    /// Look again then, or when the lease changes.
    Watch { until: Option<Instant> },
}

/// All verdicts of a pass.
pub(crate) fn decide(view: &View) -> Vec<(Key, Verdict)> {
    view.nodes.iter().map(|facts| (facts.node.key().clone(), decide_node(facts, view))).collect()
}

fn decide_node(facts: &NodeFacts, view: &View) -> Verdict {
    let node = facts.node.clone();
    let (status, reason) = ready(&node);
    let until = facts.last_change + view.grace;
    if view.now < until {
        let ours = status == "Unknown" && reason == REASON;
        return if ours && facts.changed {
            Verdict::Alive { node }
        } else {
            Verdict::Watch { until: Some(until) }
        };
    }
    if status == "Unknown" {
        return Verdict::Watch { until: None };
    }
    Verdict::Lost { node, silent_for: view.now.duration_since(facts.last_change) }
}

fn ready(node: &Node) -> (&str, &str) {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let ready = conditions.iter().find(|condition| condition.type_ == "Ready");
    ready.map_or(("", ""), |c| (c.status.as_str(), c.reason.as_deref().unwrap_or_default()))
}
