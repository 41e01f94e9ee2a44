//! Keeps true: the nodes of the cluster, and nobody else, may mount an export of Orlop's own.
//!
//! ```text
//!  node Ready ──► its address in nfs.orlop.dev/clients ──► keeper's agent exports to it ──► nfs.orlop.dev/exported-to
//!  node gone, or out of service ──► its address goes ──► its mounts are cut off
//!  keeper silent ──► claim and pods are told: their files are there, and nowhere else
//! ```
//!
//! **A node that goes silent stays a client while pods on it use the volume.** Its agent may have stopped while its pods
//! write on; a client that is shut out gets errors, and what a `hard` mount holds back is lost. Several writers are what
//! such a volume is for, so nothing is won by cutting one off early. Whoever knows that the node is off says so with the
//! taint `node.kubernetes.io/out-of-service`: then its address goes at once.
//!
//! Must not know: how an export is done, which addresses the keeper has let in.

mod apply;
pub(crate) mod decide;
#[cfg(test)]
mod tests;
pub(crate) mod view;

use orlop_objects::{Key, Kind, Object, kind};
use orlop_registry::Registry;
use orlop_store::Snapshot;

use self::{decide::Verdict, view::View};
use crate::{
    Error, attacher,
    parts::Parts,
    worker::{Controller, Due, Next, Reader, Related},
};

/// The exports controller.
pub(crate) struct Exports {
    parts: Parts,
}

impl Exports {
    /// A controller that writes to this registry.
    pub(crate) fn new(registry: Registry) -> Self {
        Self { parts: Parts::of::<Self>(registry, "exports-controller") }
    }
}

impl Controller for Exports {
    type Verdict = Verdict;
    type View = View;

    const KEYS: &'static [&'static Kind] = &[&kind::PERSISTENT_VOLUME];
    const NAME: &'static str = "exports";
    const WATCHES: &'static [&'static Kind] = &[&kind::PERSISTENT_VOLUME, &kind::NODE, &kind::POD];

    /// | changed | looked at |
    /// |---|---|
    /// | volume | itself |
    /// | node | every export: each of them waits for nodes |
    /// | pod | the volumes that its claims name |
    fn related(&self, object: &Object, snapshot: &Snapshot) -> Related {
        match object.key.kind.kind {
            "PersistentVolume" => Related::itself(object),
            "Pod" => Related::keys(attacher::volumes_of_pod(object, snapshot)),
            _ => Related::waiting(),
        }
    }

    fn gone(&self, key: &Key) -> Related {
        if *key.kind == kind::NODE { Related::waiting() } else { Related::default() }
    }

    fn view(&self, keys: &[Due], reader: &mut Reader) -> View {
        view::view(keys, reader)
    }

    fn decide(view: &View) -> Vec<(Key, Verdict)> {
        decide::decide(view)
    }

    async fn apply(&self, key: &Key, verdict: Verdict) -> Result<Next, Error> {
        apply::apply(&self.parts, key, verdict).await
    }
}
