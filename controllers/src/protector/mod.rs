//! Keeps true: nothing in use goes away.
//!
//! ```text
//!  delete claim  ──► terminating, held by kubernetes.io/pvc-protection ──► no unfinished pod on a node names it ──► let go
//!  delete volume ──► terminating, held by kubernetes.io/pv-protection  ──► not bound any more                   ──► let go
//! ```
//!
//! The registry puts the finalizers on; they are taken off here. Must not know: mounts, drivers.

mod apply;
pub(crate) mod decide;
#[cfg(test)]
mod tests;
pub(crate) mod view;

use orlop_objects::{Key, Kind, Object, index::Index, kind};
use orlop_registry::Registry;
use orlop_store::Snapshot;

use self::{decide::Verdict, view::View};
use crate::{
    Error, attacher,
    parts::Parts,
    worker::{Controller, Due, Next, Reader, Related},
};

/// The protector.
pub(crate) struct Protector {
    parts: Parts,
}

impl Protector {
    /// A protector that writes through `registry`.
    pub(crate) fn new(registry: Registry) -> Self {
        Self { parts: Parts::of::<Self>(registry, "protection-controller") }
    }
}

impl Controller for Protector {
    type Verdict = Verdict;
    type View = View;

    const KEYS: &'static [&'static Kind] = &[&kind::PERSISTENT_VOLUME_CLAIM, &kind::PERSISTENT_VOLUME];
    const NAME: &'static str = "protector";
    const WATCHES: &'static [&'static Kind] =
        &[&kind::PERSISTENT_VOLUME_CLAIM, &kind::PERSISTENT_VOLUME, &kind::POD];

    /// | changed | looked at |
    /// |---|---|
    /// | claim | itself, the volumes whose claimRef names it |
    /// | volume | itself |
    /// | pod | the claims that it names |
    fn related(&self, object: &Object, snapshot: &Snapshot) -> Related {
        match object.key.kind.kind {
            "PersistentVolumeClaim" => {
                let entry = format!("{}\0{}", object.key.namespace, object.key.name);
                let volumes = snapshot.having(Index::VolumesByClaim, &entry);
                Related::itself(object).and(volumes.map(|volume| volume.key.clone()))
            }
            "PersistentVolume" => Related::itself(object),
            _ => Related::keys(attacher::claims_of_pod(object)),
        }
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
