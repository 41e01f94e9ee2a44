//! Keeps true: a replica set has as many pods as it wants.
//!
//! ```text
//!  its pods (by owner) ─┬─ adopt, release            one step a pass:
//!  orphans (by label) ──┘       │ nothing to move    the next look shows what it did
//!                               ▼
//!                  fewer than wanted: Create ─┐
//!                  more: Delete, by rank ─────┼──► status: replicas, ready, available
//!                  as many ───────────────────┘
//! ```
//!
//! Must not know: why it wants so many (that is its deployment's business), nodes, volumes.

mod apply;
pub(crate) mod decide;
pub(crate) mod rank;
#[cfg(test)]
mod tests;
pub(crate) mod view;

use orlop_objects::{Key, Kind, Object, kind};
use orlop_registry::Registry;
use orlop_store::Snapshot;

use self::{decide::Verdict, view::View};
use crate::{
    Error,
    parts::Parts,
    worker::{Controller, Due, Next, Reader, Related},
    workloads::{family, pods::Pods},
};

/// The replica set controller.
pub(crate) struct ReplicaSets {
    parts: Parts,
    pods: Pods,
}

impl ReplicaSets {
    /// A controller that has read no pods yet.
    pub(crate) fn new(registry: Registry) -> Self {
        Self { parts: Parts::of::<Self>(registry, "replicaset-controller"), pods: Pods::default() }
    }
}

impl Controller for ReplicaSets {
    type Verdict = Verdict;
    type View = View;

    const KEYS: &'static [&'static Kind] = &[&kind::REPLICA_SET];
    const NAME: &'static str = "replicasets";
    const WATCHES: &'static [&'static Kind] = &[&kind::REPLICA_SET, &kind::POD];

    /// | changed | looked at |
    /// |---|---|
    /// | replica set | itself |
    /// | pod with a controller | the replica set that this is |
    /// | pod that nobody controls | the replica sets that could adopt it |
    fn related(&self, object: &Object, snapshot: &Snapshot) -> Related {
        if *object.key.kind == kind::REPLICA_SET {
            return Related::itself(object);
        }
        Related::keys(family::concerned(snapshot, object, &kind::REPLICA_SET))
    }

    fn gone(&self, key: &Key) -> Related {
        self.pods.forget(key);
        Related::default()
    }

    fn view(&self, keys: &[Due], reader: &mut Reader) -> View {
        view::view(keys, reader, &self.pods, self.parts.registry.now())
    }

    fn decide(view: &View) -> Vec<(Key, Verdict)> {
        decide::decide(view)
    }

    async fn apply(&self, _: &Key, verdict: Verdict) -> Result<Next, Error> {
        apply::apply(&self.parts, verdict).await
    }
}
