//! Keeps true: a claim with a class gets a volume, or hears why not.
//!
//! ```text
//!  class binds at once ──► Select a node ──┐
//!  class binds late ──► scheduler selects ─┴─► that node's agent: create, post the volume ──► binder
//!                                               └─ cannot: Event, takes the node away ──► another choice, later
//! ```
//!
//! Deciding stays here; carrying out is the node's, for drivers whose volumes live on nodes.
//! Must not know: how a driver makes a volume.

pub(crate) mod decide;
#[cfg(test)]
mod tests;
pub(crate) mod view;

mod apply;

use orlop_objects::{Key, Kind, Object, kind};
use orlop_registry::Registry;
use orlop_store::Snapshot;

use self::{decide::Verdict, view::View};
use crate::{
    Error,
    attempts::Attempts,
    drivers::Drivers,
    parts::Parts,
    worker::{Controller, Due, Next, Reader, Related},
};

/// The provisioner.
pub(crate) struct Provisioner {
    parts: Parts,
    drivers: Drivers,
    attempts: Attempts,
}

impl Provisioner {
    /// A provisioner that chooses among these drivers.
    pub(crate) fn new(registry: Registry, drivers: Drivers, attempts: Attempts) -> Self {
        Self { parts: Parts::of::<Self>(registry, "persistentvolume-controller"), drivers, attempts }
    }
}

impl Controller for Provisioner {
    type Verdict = Verdict;
    type View = View;

    const KEYS: &'static [&'static Kind] = &[&kind::PERSISTENT_VOLUME_CLAIM];
    const NAME: &'static str = "provisioner";
    const WATCHES: &'static [&'static Kind] = &[
        &kind::PERSISTENT_VOLUME_CLAIM,
        &kind::STORAGE_CLASS,
        &kind::NODE,
        &kind::CSI_NODE,
        &kind::CSI_DRIVER,
    ];

    /// | changed | looked at |
    /// |---|---|
    /// | claim | itself |
    /// | class, node, its drivers, driver | every claim that waits |
    fn related(&self, object: &Object, _: &Snapshot) -> Related {
        match object.key.kind.kind {
            "PersistentVolumeClaim" => Related::itself(object),
            _ => Related::waiting(),
        }
    }

    fn view(&self, keys: &[Due], reader: &mut Reader) -> View {
        view::view(keys, reader, &self.drivers, &self.attempts)
    }

    fn decide(view: &View) -> Vec<(Key, Verdict)> {
        decide::decide(view)
    }

    async fn apply(&self, key: &Key, verdict: Verdict) -> Result<Next, Error> {
        apply::apply(self, key, verdict).await
    }
}
