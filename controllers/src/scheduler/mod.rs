//! Keeps true: pods land where their volumes can be.
//!
//! ```text
//!  pod ──► filter nodes ──► all claims bound? ── yes ──► Assign: nodeName, PodScheduled, first attachment: one commit
//!                                │ no, late ones
//!                                ▼
//!                     Select: selected-node on each claim ──► (driver makes the volume, binder binds) ──► again
//! ```
//!
//! Must not know: how a volume is made or attached, containers.

pub(crate) mod apply;
pub(crate) mod decide;
pub(crate) mod filter;
pub(crate) mod load;
pub(crate) mod memory;
#[cfg(test)]
mod tests;
pub(crate) mod view;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use k8s_openapi::api::core::v1::Pod;
use orlop_objects::{Key, Kind, Object, index::Index, kind};
use orlop_registry::Registry;
use orlop_store::Snapshot;

use self::{
    decide::Verdict,
    memory::Memory,
    view::{Known, View},
};
use crate::{
    Error,
    attempts::Attempts,
    drivers::Drivers,
    facts,
    parts::Parts,
    worker::{Controller, Due, Next, Reader, Related, Seen},
};

/// The scheduler.
pub(crate) struct Scheduler {
    parts: Parts,
    drivers: Drivers,
    attempts: Attempts,
    memory: Mutex<Memory>,
}

impl Scheduler {
    /// A scheduler that knows these drivers.
    pub(crate) fn new(registry: Registry, drivers: Drivers, attempts: Attempts) -> Self {
        Self {
            parts: Parts::of::<Self>(registry, "default-scheduler"),
            drivers,
            attempts,
            memory: Mutex::default(),
        }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        // A poisoned lock only means that a pass died while it remembered something: what it has is whole.
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Controller for Scheduler {
    type Verdict = Verdict;
    type View = View;

    const KEYS: &'static [&'static Kind] = &[&kind::POD];
    const NAME: &'static str = "scheduler";
    const WATCHES: &'static [&'static Kind] = &[
        &kind::POD,
        &kind::NODE,
        &kind::CSI_NODE,
        &kind::PERSISTENT_VOLUME_CLAIM,
        &kind::PERSISTENT_VOLUME,
        &kind::STORAGE_CLASS,
    ];

    /// | changed | looked at |
    /// |---|---|
    /// | pod | itself; when it has finished or is gone, every pod that waits (it has left room) |
    /// | claim | the pods that name it |
    /// | node, its drivers, volume, class | every pod that waits |
    fn related(&self, object: &Object, snapshot: &Snapshot) -> Related {
        match object.key.kind.kind {
            "Pod" => related_to_pod(object),
            "PersistentVolumeClaim" => {
                let entry = format!("{}\0{}", object.key.namespace, object.key.name);
                let pods = snapshot.having(Index::PodsByClaim, &entry);
                Related::keys(pods.map(|pod| pod.key.clone()))
            }
            _ => Related::waiting(),
        }
    }

    fn gone(&self, key: &Key) -> Related {
        if *key.kind == kind::POD { Related::waiting() } else { Related::default() }
    }

    fn view(&self, keys: &[Due], reader: &mut Reader) -> View {
        let known = Known { drivers: &self.drivers, attempts: &self.attempts };
        view::view(keys, reader, known, &mut self.memory())
    }

    fn decide(view: &View) -> Vec<(Key, Verdict)> {
        decide::decide(view)
    }

    async fn apply(&self, key: &Key, verdict: Verdict) -> Result<Next, Error> {
        apply::apply(self, key, verdict).await
    }
}

fn related_to_pod(object: &Object) -> Related {
    let itself = Related::itself(object);
    match Seen::<Pod>::new(Arc::new(object.clone())) {
        Ok(pod) if facts::is_finished(&pod) => itself.and_waiting(),
        _ => itself,
    }
}
