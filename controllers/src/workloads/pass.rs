//! One pass of a workload's controller: the facts about each of its workloads, and what is to be done about a set.

use std::{sync::Arc, time::Instant};

use jiff::Timestamp;
use orlop_objects::{DecodeError, Key};

use crate::worker::{Due, Reader, Seen};

/// The facts of one pass.
pub(crate) struct View<F> {
    /// The monotonic time.
    pub(crate) now: Instant,
    /// The time that conditions are written in.
    pub(crate) clock: Timestamp,
    /// The workloads, with the facts about each.
    pub(crate) workloads: Vec<(Key, F)>,
}

impl<F> View<F> {
    /// Gathers the facts. About one that is gone, or that cannot be read, there are none.
    pub(crate) fn gather(
        keys: &[Due],
        reader: &mut Reader,
        clock: Timestamp,
        facts: impl Fn(&Due, &Reader) -> Result<Option<F>, DecodeError>,
    ) -> Self {
        let mut view = Self { now: reader.now, clock, workloads: Vec::new() };
        for due in keys {
            let facts = reader.about(&due.key, |reader| facts(due, reader)).flatten();
            view.workloads.extend(facts.map(|facts| (due.key.clone(), facts)));
        }
        view
    }

    /// All verdicts of the pass; `one` decides about one workload.
    pub(crate) fn decide<V>(&self, one: impl Fn(&F, &Self) -> V) -> Vec<(Key, V)> {
        self.workloads.iter().map(|(key, facts)| (key.clone(), one(facts, self))).collect()
    }
}

/// What to do about one set.
#[derive(Debug)]
pub(crate) struct Verdict<T, S, A> {
    /// The set as it was seen.
    pub(crate) set: Arc<Seen<T>>,
    /// What its status is to say, where that is not what it says.
    pub(crate) status: Option<S>,
    /// And then.
    pub(crate) act: A,
}
