//! Keeps true: a deployment's newest template has the pods, and the way there goes step by step.
//!
//! ```text
//!  template ──► its replica set (by equality) ── none ──► Make it
//!                      │
//!     paused, or the number wanted changed ──► share the number out over the sets
//!     RollingUpdate ──► grow the new set (surge) · shrink the old ones (unavailable) · again when pods are available
//!     Recreate ──► old sets to 0 · their pods gone · the new set whole
//!                      │
//!                      └──► status, conditions Available and Progressing; old sets beyond the history go
//! ```
//!
//! Must not know: pods; its sets' numbers are all it goes by.

mod apply;
pub(crate) mod decide;
pub(crate) mod history;
pub(crate) mod progress;
pub(crate) mod rolling;
pub(crate) mod share;
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
    workloads::family,
};

/// The deployment controller.
pub(crate) struct Deployments {
    parts: Parts,
}

impl Deployments {
    /// A controller that writes through `registry`.
    pub(crate) fn new(registry: Registry) -> Self {
        Self { parts: Parts::of::<Self>(registry, "deployment-controller") }
    }
}

impl Controller for Deployments {
    type Verdict = Verdict;
    type View = View;

    const KEYS: &'static [&'static Kind] = &[&kind::DEPLOYMENT];
    const NAME: &'static str = "deployments";
    const WATCHES: &'static [&'static Kind] = &[&kind::DEPLOYMENT, &kind::REPLICA_SET];

    /// | changed | looked at |
    /// |---|---|
    /// | deployment | itself |
    /// | replica set with a controller | the deployment that this is |
    /// | replica set that nobody controls | the deployments that could adopt it |
    fn related(&self, object: &Object, snapshot: &Snapshot) -> Related {
        if *object.key.kind == kind::DEPLOYMENT {
            return Related::itself(object);
        }
        Related::keys(family::concerned(snapshot, object, &kind::DEPLOYMENT))
    }

    fn view(&self, keys: &[Due], reader: &mut Reader) -> View {
        view::view(keys, reader, self.parts.registry.now())
    }

    fn decide(view: &View) -> Vec<(Key, Verdict)> {
        decide::decide(view)
    }

    async fn apply(&self, _: &Key, verdict: Verdict) -> Result<Next, Error> {
        apply::apply(&self.parts, verdict).await
    }
}
