//! Keeps true: a volume whose claim is gone is kept or deleted, as its policy says.
//!
//! ```text
//!  claim gone ──► Released ──► Retain: stays, with its data
//!                     └──────► Delete: not attached any more ──► object terminating ──► agent deletes the data,
//!                                                                 takes the finalizer away ──► gone
//! ```
//!
//! Must not know: how a driver deletes.

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
    drivers::Drivers,
    parts::Parts,
    worker::{Controller, Due, Next, Reader, Related},
};

/// The reclaimer.
pub(crate) struct Reclaimer {
    parts: Parts,
    drivers: Drivers,
}

impl Reclaimer {
    /// A reclaimer for volumes of these drivers.
    pub(crate) fn new(registry: Registry, drivers: Drivers) -> Self {
        Self { parts: Parts::of::<Self>(registry, "persistentvolume-controller"), drivers }
    }
}

impl Controller for Reclaimer {
    type Verdict = Verdict;
    type View = View;

    const KEYS: &'static [&'static Kind] = &[&kind::PERSISTENT_VOLUME];
    const NAME: &'static str = "reclaimer";
    const WATCHES: &'static [&'static Kind] = &[
        &kind::PERSISTENT_VOLUME,
        &kind::PERSISTENT_VOLUME_CLAIM,
        &kind::VOLUME_ATTACHMENT,
        &kind::NODE,
        &kind::CSI_NODE,
    ];

    /// | changed | looked at |
    /// |---|---|
    /// | volume | itself |
    /// | claim | the volumes whose claimRef names it |
    /// | attachment | its volume |
    /// | node, its drivers | every volume that waits |
    fn related(&self, object: &Object, snapshot: &Snapshot) -> Related {
        match object.key.kind.kind {
            "PersistentVolume" => Related::itself(object),
            "PersistentVolumeClaim" => {
                let entry = format!("{}\0{}", object.key.namespace, object.key.name);
                let volumes = snapshot.having(Index::VolumesByClaim, &entry);
                Related::keys(volumes.map(|volume| volume.key.clone()))
            }
            "VolumeAttachment" => Related::keys(attacher::volume_of_attachment(object)),
            _ => Related::waiting(),
        }
    }

    fn view(&self, keys: &[Due], reader: &mut Reader) -> View {
        view::view(keys, reader, &self.drivers)
    }

    fn decide(view: &View) -> Vec<(Key, Verdict)> {
        decide::decide(view)
    }

    async fn apply(&self, key: &Key, verdict: Verdict) -> Result<Next, Error> {
        apply::apply(self, key, verdict).await
    }
}
