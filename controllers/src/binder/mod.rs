//! Keeps true: a claim is bound to the best volume there is, in one transaction.
//!
//! ```text
//!  claim Pending ──► (names one · one kept for it · best fit · its new one) ──► Bind ──► claim Bound, volume Bound
//!        │                                                                                   │
//!        └── nothing fits: Wait, with the reason as an Event            claim gone: volume Released (reclaimer)
//! ```
//!
//! Bound means that the volume's claimRef has the claim's uid and the claim names the volume. The annotations that
//! Kubernetes writes beside it are written too, since other tools read them.
//! Must not know: drivers, nodes' agents, how a volume is made.

mod apply;
pub(crate) mod decide;
pub(crate) mod matching;
#[cfg(test)]
mod tests;
pub(crate) mod view;

use orlop_objects::{Key, Kind, Object, index::Index, kind};
use orlop_registry::Registry;
use orlop_store::Snapshot;

use self::{decide::Verdict, view::View};
use crate::{
    Error, facts,
    parts::Parts,
    worker::{Controller, Due, Next, Reader, Related, Seen},
};

/// The binder.
pub(crate) struct Binder {
    parts: Parts,
}

impl Binder {
    /// A binder that writes through `registry`.
    pub(crate) fn new(registry: Registry) -> Self {
        Self { parts: Parts::of::<Self>(registry, "persistentvolume-controller") }
    }
}

impl Controller for Binder {
    type Verdict = Verdict;
    type View = View;

    const KEYS: &'static [&'static Kind] = &[&kind::PERSISTENT_VOLUME_CLAIM, &kind::PERSISTENT_VOLUME];
    const NAME: &'static str = "binder";
    const WATCHES: &'static [&'static Kind] =
        &[&kind::PERSISTENT_VOLUME_CLAIM, &kind::PERSISTENT_VOLUME, &kind::STORAGE_CLASS];

    /// | changed | looked at |
    /// |---|---|
    /// | claim | itself, the volume it names, the volumes kept for it |
    /// | volume | itself, the claim it is for; when it is nobody's, every claim that waits |
    /// | class | every claim that waits |
    fn related(&self, object: &Object, snapshot: &Snapshot) -> Related {
        match object.key.kind.kind {
            "PersistentVolumeClaim" => Related::itself(object).and(volumes_of(object, snapshot)),
            "PersistentVolume" => related_to_volume(object),
            _ => Related::waiting(),
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

/// The volumes that a claim names or that name it.
fn volumes_of(claim: &Object, snapshot: &Snapshot) -> Vec<Key> {
    let entry = format!("{}\0{}", claim.key.namespace, claim.key.name);
    let mut keys: Vec<Key> =
        snapshot.having(Index::VolumesByClaim, &entry).map(|volume| volume.key.clone()).collect();
    let name = claim.value().pointer("/spec/volumeName").and_then(|v| v.as_str().map(str::to_owned));
    keys.extend(name.filter(|n| !n.is_empty()).map(|n| Key::cluster(&kind::PERSISTENT_VOLUME, n)));
    keys
}

fn related_to_volume(object: &Object) -> Related {
    let itself = Related::itself(object);
    let Ok(volume) = Seen::new(std::sync::Arc::new(object.clone())) else {
        return itself.and_waiting();
    };
    match facts::claim_ref(&volume) {
        Some(reference) => itself.and([view::claim_key(reference)]),
        None => itself.and_waiting(),
    }
}
