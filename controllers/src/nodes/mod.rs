//! Keeps true: a node that has gone silent does not look ready, and its taints say so to everybody who puts pods on
//! nodes or sends them away.
//!
//! ```text
//!  agent renews its lease at a quarter of the grace ──► seen renewed ──► fine for the grace (20 s)
//!                    └── not any more ──► conditions Unknown, taint unreachable ──► scheduler, evictor
//!  renewed again ──► the agent says Ready ──► taints off
//!  a person: out-of-service ──► believed of a node that is not Ready and is not heard any more
//! ```
//!
//! How long the grace is, the lease says (`leaseDurationSeconds`, written here); the agent fits its heart to it.
//! Must not know: pods.

mod apply;
pub(crate) mod decide;
#[cfg(test)]
mod tests;
pub(crate) mod view;

use std::time::Duration;

use orlop_objects::{Key, Kind, Object, kind};
use orlop_registry::Registry;
use orlop_store::Snapshot;

use self::{
    decide::{Verdict, View},
    view::Beats,
};
use crate::{
    Error,
    parts::Parts,
    worker::{Controller, Due, Next, Reader, Related},
};

/// The nodes controller.
pub(crate) struct Nodes {
    parts: Parts,
    beats: Beats,
    grace: Duration,
}

impl Nodes {
    /// A controller that gives silent nodes this grace.
    pub(crate) fn new(registry: Registry, grace: Duration) -> Self {
        Self { parts: Parts::of::<Self>(registry, "node-controller"), beats: Beats::default(), grace }
    }
}

impl Controller for Nodes {
    type Verdict = Verdict;
    type View = View;

    const KEYS: &'static [&'static Kind] = &[&kind::NODE];
    const NAME: &'static str = "nodes";
    const WATCHES: &'static [&'static Kind] = &[&kind::NODE, &kind::LEASE];

    /// | changed | looked at |
    /// |---|---|
    /// | node | itself, and all others: whether anybody is alive matters to them |
    /// | lease of a node | the node |
    fn related(&self, object: &Object, _: &Snapshot) -> Related {
        if *object.key.kind == kind::NODE {
            return Related::itself(object).and_waiting();
        }
        let is_nodes = object.key.namespace == view::LEASES;
        Related::keys(is_nodes.then(|| Key::cluster(&kind::NODE, &*object.key.name)))
    }

    fn view(&self, keys: &[Due], reader: &mut Reader) -> View {
        view::view(keys, reader, &self.beats, self.grace, self.parts.registry.now())
    }

    fn decide(view: &View) -> Vec<(Key, Verdict)> {
        decide::decide(view)
    }

    async fn apply(&self, key: &Key, verdict: Verdict) -> Result<Next, Error> {
        apply::apply(self, key, verdict).await
    }
}
