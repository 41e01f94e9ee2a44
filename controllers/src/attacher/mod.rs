//! Keeps true: every volume a node's pods need is attached there, and nowhere else when its mode says so.
//!
//! ```text
//!  pod has a node ──► Attach (VolumeAttachment) ──► agent: attached=true ──► stage, publish
//!  last pod gone  ──► Detach (delete it)        ──► agent: unstage, detach, takes the finalizer away ──► gone
//!                                     └── its node is silent ──► it stays; a person says "off" ──► Release
//! ```
//!
//! The scheduler asks for a pod's first attachment itself, in the transaction that gives the pod its node (through
//! [`request`], under the same rule); all others are asked for here.
//! Must not know: devices, mounts, how an agent attaches.

mod apply;
pub(crate) mod decide;
pub(crate) mod request;
#[cfg(test)]
mod tests;
pub(crate) mod view;

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};

use k8s_openapi::api::{core::v1::Pod, storage::v1::VolumeAttachment};
use orlop_objects::{Key, Kind, Object, index::Index, kind};
use orlop_registry::Registry;
use orlop_store::Snapshot;

use self::{decide::Verdict, view::View};
use crate::{
    Error,
    drivers::Drivers,
    edit, facts,
    parts::Parts,
    worker::{Controller, Due, Next, Reader, Related, Seen},
};

/// Told successes are forgotten beyond this number, which at worst repeats an Event.
const REMEMBERED: usize = 4096;

/// The attacher.
pub(crate) struct Attacher {
    parts: Parts,
    drivers: Drivers,
    /// Attachments older than this were told by an earlier server.
    started: String,
    told: Mutex<HashSet<String>>,
}

impl Attacher {
    /// An attacher for volumes of these drivers.
    pub(crate) fn new(registry: Registry, drivers: Drivers) -> Self {
        let started = edit::seconds(registry.now());
        Self {
            parts: Parts::of::<Self>(registry, "attachdetach-controller"),
            drivers,
            started,
            told: Mutex::default(),
        }
    }

    fn is_told(&self, attachment: &Seen<VolumeAttachment>) -> bool {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        attachment.object.meta.creation_timestamp < self.started || told.contains(attachment.uid())
    }

    fn remember(&self, uid: String) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() >= REMEMBERED {
            told.clear();
        }
        told.insert(uid);
    }
}

impl Controller for Attacher {
    type Verdict = Verdict;
    type View = View;

    const KEYS: &'static [&'static Kind] = &[&kind::PERSISTENT_VOLUME];
    const NAME: &'static str = "attacher";
    const WATCHES: &'static [&'static Kind] = &[
        &kind::PERSISTENT_VOLUME,
        &kind::PERSISTENT_VOLUME_CLAIM,
        &kind::POD,
        &kind::VOLUME_ATTACHMENT,
        &kind::NODE,
    ];

    /// | changed | looked at |
    /// |---|---|
    /// | volume | itself |
    /// | claim | the volume it names |
    /// | pod | the volumes that its claims name |
    /// | attachment | its volume |
    /// | node | the volumes that are attached to it |
    /// | node, gone | every volume that waits |
    fn related(&self, object: &Object, snapshot: &Snapshot) -> Related {
        match object.key.kind.kind {
            "PersistentVolume" => Related::itself(object),
            "PersistentVolumeClaim" => Related::keys(volume_of_claim(object)),
            "Pod" => Related::keys(volumes_of_pod(object, snapshot)),
            "Node" => {
                let attached = snapshot.having(Index::AttachmentsByNode, &object.key.name);
                Related::keys(attached.filter_map(|attachment| volume_of_attachment(attachment)))
            }
            _ => Related::keys(volume_of_attachment(object)),
        }
    }

    fn gone(&self, key: &Key) -> Related {
        if *key.kind == kind::NODE { Related::waiting() } else { Related::default() }
    }

    fn view(&self, keys: &[Due], reader: &mut Reader) -> View {
        view::view(keys, reader, &self.drivers, |attachment| self.is_told(attachment))
    }

    fn decide(view: &View) -> Vec<(Key, Verdict)> {
        decide::decide(view)
    }

    async fn apply(&self, _: &Key, verdict: Verdict) -> Result<Next, Error> {
        apply::apply(self, verdict).await
    }
}

fn volume_at(object: &Object, path: &str) -> Option<Key> {
    let value = object.value();
    let name = value.pointer(path)?.as_str()?;
    Some(Key::cluster(&kind::PERSISTENT_VOLUME, name))
}

/// The volume that an attachment is about.
pub(crate) fn volume_of_attachment(object: &Object) -> Option<Key> {
    volume_at(object, "/spec/source/persistentVolumeName")
}

/// The volume that a claim names.
pub(crate) fn volume_of_claim(object: &Object) -> Option<Key> {
    volume_at(object, "/spec/volumeName")
}

/// The claims that a pod uses.
pub(crate) fn claims_of_pod(object: &Object) -> Vec<Key> {
    let Ok(pod) = Seen::<Pod>::new(Arc::new(object.clone())) else {
        return Vec::new();
    };
    let claim = |name| Key::new(&kind::PERSISTENT_VOLUME_CLAIM, object.key.namespace.as_str(), name);
    facts::pod_claims(&pod).into_iter().map(claim).collect()
}

/// The volumes that a pod's claims name.
pub(crate) fn volumes_of_pod(object: &Object, snapshot: &Snapshot) -> Vec<Key> {
    let claims = claims_of_pod(object);
    claims.iter().filter_map(|claim| volume_of_claim(&*snapshot.get(claim)?)).collect()
}
