//! Carries out the verdicts about nodes.

use k8s_openapi::api::core::v1::Node;
use orlop_objects::Key;
use orlop_registry::Part;
use serde_json::Value;

use super::{
    Nodes,
    decide::{REASON, Verdict},
};
use crate::{
    Error, edit,
    events::Said,
    worker::{Next, Seen},
};

/// Carries out one verdict.
pub(super) async fn apply(nodes: &Nodes, key: &Key, verdict: Verdict) -> Result<Next, Error> {
    match verdict {
        Verdict::Watch { until } => Ok(Next::Waiting(until)),
        Verdict::Alive { node } => {
            let words = "the node's agent renews its lease again";
            write_ready(nodes, &node, "True", "KubeletReady", words).await?;
            let text = format!("Node {} status is now: NodeReady", key.name);
            nodes.teller.tell(&node.object, Said::normal("NodeReady", text));
            Ok(Next::Settled)
        }
        Verdict::Lost { node, silent_for } => {
            let words = format!(
                "Kubelet stopped posting node status. The node's agent has not renewed its lease for {} s: start it again",
                silent_for.as_secs()
            );
            write_ready(nodes, &node, "Unknown", REASON, &words).await?;
            let text = format!("Node {} status is now: NodeNotReady. {words}", key.name);
            nodes.teller.tell(&node.object, Said::warning("NodeNotReady", text));
            Ok(Next::Waiting(None))
        }
    }
}

async fn write_ready(
    nodes: &Nodes,
    node: &Seen<Node>,
    status: &str,
    reason: &str,
    words: &str,
) -> Result<(), Error> {
    let written = nodes.registry.transact(&nodes.who, |door| {
        edit::unchanged(door, node)?;
        let now = door.now();
        let change = |mut value: Value| {
            edit::set_condition(&mut value, "Ready", status, reason, words, now);
            Ok(value)
        };
        door.change(node.key(), Part::Status, change).map(drop)
    });
    written.await.map_err(Error::doing("write the condition of", node.key()))
}
