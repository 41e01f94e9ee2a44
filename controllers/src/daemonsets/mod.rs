//! Keeps true: a daemon set has one pod on every node that its template fits.
//!
//! ```text
//!  nodes ──► template fits? ── yes, no pod ──► Create, for this node alone
//!                  │            yes, several, or ended ──► Delete all but the oldest
//!                  └── no ──► Delete what may not stay
//!  old revisions ──► Delete, as long as no more than `maxUnavailable` are missing
//! ```
//!
//! Must not know: how a pod gets onto its node; the scheduler puts it on the one that its affinity names.

mod apply;
pub(crate) mod decide;
pub(crate) mod form;
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

/// The daemon set controller.
pub(crate) struct DaemonSets {
    parts: Parts,
    pods: Pods,
}

impl DaemonSets {
    /// A controller that has read no pods yet.
    pub(crate) fn new(registry: Registry) -> Self {
        Self { parts: Parts::of::<Self>(registry, "daemonset-controller"), pods: Pods::default() }
    }
}

impl Controller for DaemonSets {
    type Verdict = Verdict;
    type View = View;

    const KEYS: &'static [&'static Kind] = &[&kind::DAEMON_SET];
    const NAME: &'static str = "daemonsets";
    const WATCHES: &'static [&'static Kind] =
        &[&kind::DAEMON_SET, &kind::POD, &kind::CONTROLLER_REVISION, &kind::NODE];

    /// | changed | looked at |
    /// |---|---|
    /// | set | itself |
    /// | pod, revision | the set that controls it or could adopt it |
    /// | node | every set: they are few, and each may want a pod there |
    fn related(&self, object: &Object, snapshot: &Snapshot) -> Related {
        match object.key.kind.kind {
            "DaemonSet" => Related::itself(object),
            "Node" => {
                let sets = snapshot.list(&kind::DAEMON_SET, None, None);
                Related::keys(sets.map(|set| set.key.clone()))
            }
            _ => Related::keys(family::concerned(snapshot, object, &kind::DAEMON_SET)),
        }
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
