//! Which range of pod addresses a node gets. Pure.
//!
//! What a node proposes is the word of one machine, and every other machine of the cluster will send what goes there to it:
//! so nothing is given that could be somebody else's.
//!
//! | node | its proposals | verdict |
//! |---|---|---|
//! | terminating, or has a range | any | – |
//! | has none | none | – |
//! | has none | one is fit | Give the first such |
//! | has none | none is fit | Wait, and say of each why |
//!
//! | a proposal | fit |
//! |---|---|
//! | reaches beyond the cluster's pool | no |
//! | of another length than 16 to 28 | no |
//! | holds the internal address of a node | no |
//! | overlaps a node's range, or one given in this pass | no |
//! | any other | yes |

use std::{collections::BTreeSet, net::Ipv4Addr, ops::RangeInclusive, sync::Arc};

use k8s_openapi::api::core::v1::Node;
use orlop_objects::{Key, cidr::Cidr};

use crate::{events::Said, worker::Seen};

/// Lengths of the prefix of a range that one node may have.
const LENGTHS: RangeInclusive<u8> = 16..=28;

/// The facts of one pass.
#[derive(Default)]
pub(crate) struct View {
    /// Nodes that are due.
    pub(crate) nodes: Vec<Facts>,
    /// The ranges of all nodes.
    pub(crate) taken: BTreeSet<Cidr>,
    /// The internal addresses of all nodes.
    pub(crate) addresses: BTreeSet<Ipv4Addr>,
    /// Where the pods of the whole cluster may be.
    pub(crate) pool: Vec<Cidr>,
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
    /// None that it proposes can be its.
    Wait { node: Arc<Seen<Node>>, said: Said },
}

/// Why a proposal is not fit.
enum Unfit {
    Outside,
    Length,
    Holds(Ipv4Addr),
    Taken(Cidr),
}

/// All verdicts of a pass.
pub(crate) fn decide(view: &View) -> Vec<(Key, Verdict)> {
    let mut taken = view.taken.clone();
    let mut verdicts = Vec::new();
    for facts in view.nodes.iter().filter(|f| !f.has && !f.node.is_terminating() && !f.proposals.is_empty()) {
        let node = facts.node.clone();
        let fit = facts.proposals.iter().find(|range| unfit(**range, view, &taken).is_none()).copied();
        let verdict = match fit {
            Some(range) => {
                taken.insert(range);
                Verdict::Give { node, range }
            }
            None => Verdict::Wait { node, said: none_fits(facts, view, &taken) },
        };
        verdicts.push((facts.node.key().clone(), verdict));
    }
    verdicts
}

/// The first reason why a proposal cannot be given.
fn unfit(range: Cidr, view: &View, taken: &BTreeSet<Cidr>) -> Option<Unfit> {
    if !view.pool.iter().any(|pool| pool.length() <= range.length() && pool.contains(range.network())) {
        return Some(Unfit::Outside);
    }
    if !LENGTHS.contains(&range.length()) {
        return Some(Unfit::Length);
    }
    if let Some(address) = view.addresses.iter().find(|address| range.contains(**address)) {
        return Some(Unfit::Holds(*address));
    }
    taken.iter().find(|other| other.overlaps(&range)).copied().map(Unfit::Taken)
}

fn none_fits(facts: &Facts, view: &View, taken: &BTreeSet<Cidr>) -> Said {
    let pool = view.pool.iter().map(Cidr::to_string).collect::<Vec<_>>().join(", ");
    let reason = |range: &Cidr| {
        let why = match unfit(*range, view, taken)? {
            Unfit::Outside => format!("is not within the cluster's pool {pool}"),
            Unfit::Length => {
                format!("has a length that is not {} to {}", LENGTHS.start(), LENGTHS.end())
            }
            Unfit::Holds(address) => format!("holds {address}, a node's own address"),
            Unfit::Taken(other) => format!("overlaps {other}, which is a node's"),
        };
        Some(format!("{range} {why}"))
    };
    let reasons: Vec<String> = facts.proposals.iter().filter_map(reason).collect();
    let text = format!(
        "Node {} status is now: CIDRNotAvailable. It gets none of the ranges of pod addresses that its agent proposes: {}. \
         Start its agent with a larger --pod-cidr within the pool, or the server with a --cluster-cidr that holds it, or \
         remove nodes that are gone (kubectl delete node NAME)",
        facts.node.name(),
        reasons.join("; ")
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

    /// Rows of node, whether it has a range, its proposals; what each gets. The node of the server is at 10.7.0.7, another
    /// at 192.0.2.7.
    fn check(taken: &str, nodes: &[(&str, bool, &str)], wanted: &[&str]) {
        let facts = |(name, has, proposals): &(&str, bool, &str)| Facts {
            node: seen(&node(name, json!({}))),
            has: *has,
            proposals: ranges(proposals),
        };
        let view = View {
            nodes: nodes.iter().map(facts).collect(),
            taken: ranges(taken).into_iter().collect(),
            addresses: [Ipv4Addr::new(10, 7, 0, 7), Ipv4Addr::new(192, 0, 2, 7)].into(),
            pool: ranges("10.0.0.0/8 172.30.0.0/20"),
        };
        let words = |(key, verdict): (Key, Verdict)| match verdict {
            Verdict::Give { range, .. } => format!("{} {range}", key.name),
            Verdict::Wait { said, .. } => {
                let reasons =
                    said.message.split("proposes: ").nth(1).and_then(|text| text.split(". ").next());
                format!("{} waits: {}: {}", key.name, said.reason, reasons.unwrap_or_default())
            }
        };
        assert_eq!(decide(&view).into_iter().map(words).collect::<Vec<_>>(), wanted);
    }

    #[test]
    fn every_row_of_the_table() {
        check("10.1.0.0/24", &[("n", true, "10.2.0.0/24")], &[]);
        check("", &[("n", false, "")], &[]);
        check("", &[("n", false, "10.2.0.0/24 10.3.0.0/24")], &["n 10.2.0.0/24"]);
        check("10.2.0.0/16", &[("n", false, "10.2.0.0/24 10.3.0.0/24")], &["n 10.3.0.0/24"]);
        let waits = "n waits: CIDRNotAvailable: 10.2.0.0/24 overlaps 10.2.0.0/24, which is a node's";
        check("10.2.0.0/24", &[("n", false, "10.2.0.0/24")], &[waits]);
        let two = [("a", false, "10.2.0.0/24 10.3.0.0/24"), ("b", false, "10.2.0.0/23 10.4.0.0/24")];
        check("", &two, &["a 10.2.0.0/24", "b 10.4.0.0/24"]);
        let going = node("n", json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}));
        let facts = Facts { node: seen(&going), has: false, proposals: ranges("10.2.0.0/24") };
        let pool = ranges("10.0.0.0/8");
        assert!(decide(&View { nodes: vec![facts], pool, ..View::default() }).is_empty());
    }

    #[test]
    fn what_could_be_somebody_elses_is_never_given() {
        let outside = "is not within the cluster's pool 10.0.0.0/8, 172.30.0.0/20";
        let length = "has a length that is not 16 to 28";
        let rows = [
            ("192.168.1.5/32", outside),
            ("192.168.1.0/26", outside),
            ("128.0.0.0/1", outside),
            ("0.0.0.0/0", outside),
            ("172.30.0.0/19", outside),
            ("10.0.0.0/8", length),
            ("10.0.0.0/15", length),
            ("10.9.9.0/29", length),
            ("10.9.9.9/32", length),
            ("10.7.0.0/16", "holds 10.7.0.7, a node's own address"),
            ("10.7.0.0/28", "holds 10.7.0.7, a node's own address"),
        ];
        for (proposal, why) in rows {
            let waits = format!("n waits: CIDRNotAvailable: {proposal} {why}");
            check("", &[("n", false, proposal)], &[&waits]);
            // What is fit behind it is given all the same.
            check("", &[("n", false, &format!("{proposal} 10.2.0.0/24"))], &["n 10.2.0.0/24"]);
        }
        for good in ["10.8.0.0/16", "10.7.0.16/28", "172.30.0.0/20"] {
            check("", &[("n", false, good)], &[&format!("n {good}")]);
        }
    }
}
