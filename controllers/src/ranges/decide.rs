//! Which range of pod addresses a node gets. Pure.
//!
//! | node | its proposals | verdict |
//! |---|---|---|
//! | terminating, or has a range | any | – |
//! | has none | none | – |
//! | has none | one overlaps no node's range, nor one given in this pass | Give the first such |
//! | has none | all overlap | Wait |

use std::{collections::BTreeSet, sync::Arc};

use k8s_openapi::api::core::v1::Node;
use orlop_objects::{Key, cidr::Cidr};

use crate::{events::Said, worker::Seen};

/// The facts of one pass.
#[derive(Default)]
pub(crate) struct View {
    /// Nodes that are due.
    pub(crate) nodes: Vec<Facts>,
    /// The ranges of all nodes.
    pub(crate) taken: BTreeSet<Cidr>,
}

/// All that matters for one node.
pub(crate) struct Facts {
    /// The node.
    pub(crate) node: Arc<Seen<Node>>,
    /// Whether it has a range.
    pub(crate) has: bool,
    /// Ranges that are free on its machine.
    pub(crate) proposals: Vec<Cidr>,
}

/// What to do about one node.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// Write this range.
    Give { node: Arc<Seen<Node>>, range: Cidr },
    /// None that it can use is free.
    Wait { node: Arc<Seen<Node>>, said: Said },
}

/// All verdicts of a pass.
pub(crate) fn decide(view: &View) -> Vec<(Key, Verdict)> {
    let mut taken = view.taken.clone();
    let mut verdicts = Vec::new();
    for facts in view.nodes.iter().filter(|f| !f.has && !f.node.is_terminating() && !f.proposals.is_empty()) {
        let node = facts.node.clone();
        let free = |range: &&Cidr| !taken.iter().any(|other| other.overlaps(range));
        let verdict = match facts.proposals.iter().find(free).copied() {
            Some(range) => {
                taken.insert(range);
                Verdict::Give { node, range }
            }
            None => Verdict::Wait { node, said: none_free(facts) },
        };
        verdicts.push((facts.node.key().clone(), verdict));
    }
    verdicts
}

fn none_free(facts: &Facts) -> Said {
    let proposals: Vec<String> = facts.proposals.iter().map(Cidr::to_string).collect();
    let text = format!(
        "Node {} status is now: CIDRNotAvailable. All ranges of pod addresses that are free on its machine ({}) are other \
         nodes': start its agent with a larger --pod-cidr, or remove nodes that are gone (kubectl delete node NAME)",
        facts.node.name(),
        proposals.join(", ")
    );
    Said::warning("CIDRNotAvailable", text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{node, seen};

    fn ranges(text: &str) -> Vec<Cidr> {
        text.split_whitespace().map(|word| word.parse().expect(word)).collect()
    }

    /// Rows of node, whether it has a range, its proposals; what each gets.
    fn check(taken: &str, nodes: &[(&str, bool, &str)], wanted: &[&str]) {
        let facts = |(name, has, proposals): &(&str, bool, &str)| Facts {
            node: seen(&node(name, json!({}))),
            has: *has,
            proposals: ranges(proposals),
        };
        let view =
            View { nodes: nodes.iter().map(facts).collect(), taken: ranges(taken).into_iter().collect() };
        let words = |(key, verdict): (Key, Verdict)| match verdict {
            Verdict::Give { range, .. } => format!("{} {range}", key.name),
            Verdict::Wait { said, .. } => format!("{} waits: {}", key.name, said.reason),
        };
        assert_eq!(decide(&view).into_iter().map(words).collect::<Vec<_>>(), wanted);
    }

    #[test]
    fn every_row_of_the_table() {
        check("10.1.0.0/24", &[("n", true, "10.2.0.0/24")], &[]);
        check("", &[("n", false, "")], &[]);
        check("", &[("n", false, "10.2.0.0/24 10.3.0.0/24")], &["n 10.2.0.0/24"]);
        check("10.2.0.0/16", &[("n", false, "10.2.0.0/24 10.3.0.0/24")], &["n 10.3.0.0/24"]);
        check("10.2.0.0/24", &[("n", false, "10.2.0.0/24")], &["n waits: CIDRNotAvailable"]);
        let two = [("a", false, "10.2.0.0/24 10.3.0.0/24"), ("b", false, "10.2.0.0/23 10.4.0.0/24")];
        check("", &two, &["a 10.2.0.0/24", "b 10.4.0.0/24"]);
        let going = node("n", json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}));
        let facts = Facts { node: seen(&going), has: false, proposals: ranges("10.2.0.0/24") };
        assert!(decide(&View { nodes: vec![facts], taken: BTreeSet::new() }).is_empty());
    }
}
