//! Keeps true: a node that has gone silent does not look ready.
//!
//! ```text
//!  agent renews its lease each 10 s ──► seen to change ──► fine for 40 s
//!                                        └── not any more ──► Ready=Unknown; the scheduler goes elsewhere
//!  seen to change again ──► Ready=True
//! ```
//!
//! Must not know: pods; nothing is evicted.

mod apply;
pub(crate) mod decide;
#[cfg(test)]
mod tests;
pub(crate) mod view;

use std::time::Duration;

use orlop_objects::{Key, Kind, Object, kind};
use orlop_registry::{Registry, Who};
use orlop_store::Snapshot;

use self::{
    decide::{Verdict, View},
    view::Beats,
};
use crate::{
    Error,
    events::Teller,
    worker::{Controller, Due, Next, Reader, Related},
};

/// The nodes controller.
pub(crate) struct Nodes {
    registry: Registry,
    teller: Teller,
    who: Who,
    beats: Beats,
    grace: Duration,
}

impl Nodes {
    /// A controller that gives silent nodes this grace.
    pub(crate) fn new(registry: Registry, grace: Duration) -> Self {
        let teller = Teller::new(registry.clone(), "node-controller");
        Self { registry, teller, who: crate::who(Self::NAME), beats: Beats::default(), grace }
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
    /// | node | itself |
    /// | lease of a node | the node |
    fn related(&self, object: &Object, _: &Snapshot) -> Related {
        if *object.key.kind == kind::NODE {
            return Related::itself(object);
        }
        let is_nodes = object.key.namespace == view::LEASES;
        Related::keys(is_nodes.then(|| Key::cluster(&kind::NODE, &*object.key.name)))
    }

    fn view(&self, keys: &[Due], reader: &mut Reader) -> View {
        view::view(keys, reader, &self.beats, self.grace)
    }

    fn decide(view: &View) -> Vec<(Key, Verdict)> {
        decide::decide(view)
    }

    async fn apply(&self, key: &Key, verdict: Verdict) -> Result<Next, Error> {
        apply::apply(self, key, verdict).await
    }
}
