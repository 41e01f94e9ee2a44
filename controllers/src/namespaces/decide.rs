//! How a terminating namespace comes to its end. Pure.
//!
//! | namespace | content | verdict |
//! |---|---|---|
//! | not terminating | | – |
//! | terminating | some not asked to go yet | Empty: ask them, at most 64 at once |
//! | terminating | all asked, some still there, a short while | Wait |
//! | terminating | all asked, some still there, for longer | Tell what is left and which finalizers hold it |
//! | terminating | none, finalizer in spec | Finalize |
//! | terminating | none, no finalizer in spec | – (others' finalizers hold it) |

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use orlop_objects::{Key, Revision};

/// Objects asked to go at once, at most.
pub(crate) const AT_ONCE: usize = 64;
/// What goes by itself within this time is not told.
const PATIENCE: Duration = Duration::from_secs(3);

/// The facts of one pass.
pub(crate) struct View {
    /// When they were gathered.
    pub(crate) now: Instant,
    /// Terminating namespaces.
    pub(crate) namespaces: Vec<NamespaceFacts>,
}

/// All that matters for one terminating namespace.
pub(crate) struct NamespaceFacts {
    /// Its key.
    pub(crate) key: Key,
    /// Its version.
    pub(crate) revision: Revision,
    /// Whether its spec holds it.
    pub(crate) held: bool,
    /// Since when it has been waiting.
    pub(crate) waiting_since: Option<Instant>,
    /// Objects that nobody has asked to go yet.
    pub(crate) wanted: Vec<Key>,
    /// How many objects there are of each resource.
    pub(crate) left: BTreeMap<String, usize>,
    /// Finalizers that hold them.
    pub(crate) finalizers: BTreeSet<String>,
}

/// What to do about one namespace.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Ask these to go.
    Empty { keys: Vec<Key> },
    /// Write the condition that says what is left.
    Tell { revision: Revision, message: String },
    /// Something must go first.
    Wait { until: Instant },
    /// Let it go.
    Finalize { revision: Revision },
}

/// All verdicts of a pass.
pub(crate) fn decide(view: &View) -> Vec<(Key, Verdict)> {
    let verdict = |facts: &NamespaceFacts| Some((facts.key.clone(), decide_one(facts, view.now)?));
    view.namespaces.iter().filter_map(verdict).collect()
}

fn decide_one(facts: &NamespaceFacts, now: Instant) -> Option<Verdict> {
    if !facts.wanted.is_empty() {
        return Some(Verdict::Empty { keys: facts.wanted.iter().take(AT_ONCE).cloned().collect() });
    }
    if facts.left.is_empty() {
        return facts.held.then_some(Verdict::Finalize { revision: facts.revision });
    }
    let until = facts.waiting_since.unwrap_or(now) + PATIENCE;
    if now < until {
        return Some(Verdict::Wait { until });
    }
    Some(Verdict::Tell { revision: facts.revision, message: remaining(facts) })
}

fn remaining(facts: &NamespaceFacts) -> String {
    let count = |(resource, count): (&String, &usize)| format!("{resource} has {count} resource instances");
    let left: Vec<String> = facts.left.iter().map(count).collect();
    let mut text = format!("Some resources are remaining: {}.", left.join(", "));
    if !facts.finalizers.is_empty() {
        let finalizers: Vec<&str> = facts.finalizers.iter().map(String::as_str).collect();
        text += &format!(
            " They are held by finalizers {}; the events of those objects say what they wait for.",
            finalizers.join(", ")
        );
    }
    text
}
