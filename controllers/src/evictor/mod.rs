//! Keeps true: pods leave nodes whose taints they do not tolerate, and nobody is left in doubt about pods on nodes that
//! nobody hears from.
//!
//! ```text
//!  taint NoExecute ──► tolerated? ── no ──► Evict: deleted as a user would, with its grace
//!                          │ for a time ──► when that is over
//!  out-of-service, believed ──► Force: removed without its node's agent (its volumes follow: attacher)
//! ```
//!
//! A pod that has a node is removed by that node's agent, when nothing of it runs any more. Only the word of a person, that
//! the node is off, or the node's own end stands in for that.
//! Must not know: why a node has a taint, volumes.

mod apply;
pub(crate) mod decide;
pub(crate) mod memory;
#[cfg(test)]
mod tests;
pub(crate) mod view;

use std::sync::{Mutex, PoisonError};

use orlop_objects::{Key, Kind, Object, index::Index, kind};
use orlop_registry::Registry;
use orlop_store::Snapshot;

use self::{
    decide::{Verdict, View},
    memory::Memory,
};
use crate::{
    Error,
    parts::Parts,
    worker::{Controller, Due, Next, Reader, Related},
};

/// The evictor.
pub(crate) struct Evictor {
    parts: Parts,
    memory: Mutex<Memory>,
}

impl Evictor {
    /// An evictor that has seen nothing yet.
    pub(crate) fn new(registry: Registry) -> Self {
        Self { parts: Parts::of::<Self>(registry, "taint-eviction-controller"), memory: Mutex::default() }
    }
}

impl Controller for Evictor {
    type Verdict = Verdict;
    type View = View;

    const KEYS: &'static [&'static Kind] = &[&kind::POD];
    const NAME: &'static str = "evictor";
    const WATCHES: &'static [&'static Kind] = &[&kind::POD, &kind::NODE];

    /// | changed | looked at |
    /// |---|---|
    /// | pod | itself |
    /// | node | the pods on it |
    /// | node, gone | every pod that has a node |
    fn related(&self, object: &Object, snapshot: &Snapshot) -> Related {
        if *object.key.kind == kind::POD {
            return Related::itself(object);
        }
        let pods = snapshot.having(Index::PodsByNode, &object.key.name);
        Related::keys(pods.map(|pod| pod.key.clone()))
    }

    fn gone(&self, key: &Key) -> Related {
        if *key.kind == kind::NODE { Related::waiting() } else { Related::default() }
    }

    fn view(&self, keys: &[Due], reader: &mut Reader) -> View {
        // A poisoned lock only means that a pass died while it looked: what is in it is whole.
        view::view(keys, reader, &mut self.memory.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn decide(view: &View) -> Vec<(Key, Verdict)> {
        decide::decide(view)
    }

    async fn apply(&self, key: &Key, verdict: Verdict) -> Result<Next, Error> {
        apply::apply(self, key, verdict).await
    }
}
