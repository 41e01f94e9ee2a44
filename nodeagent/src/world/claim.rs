//! What the agent needs to know of a claim.

use std::{collections::BTreeMap, sync::Arc};

use orlop_objects::{DecodeError, Key, Object};

use super::{Claim, VolumeFacts, owned, whole};

const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";

/// A claim, as far as this node is concerned.
#[derive(Clone, Debug)]
pub struct ClaimFacts {
    /// Where it lives.
    pub key: Key,
    /// Its uid.
    pub uid: String,
    /// `spec.volumeName`, unless empty.
    pub volume: Option<String>,
    /// The node on which its volume is to be made.
    pub selected_node: Option<String>,
    /// `spec.storageClassName`, unless empty.
    pub class: Option<String>,
    /// Whether its deletion was asked for.
    pub terminating: bool,
    /// Bytes asked for.
    pub bytes: Option<u64>,
    /// Access modes.
    pub modes: Vec<String>,
    /// `spec.volumeMode`.
    pub volume_mode: Option<String>,
    /// Its annotations, for drivers that name volumes after them.
    pub annotations: BTreeMap<String, String>,
    /// The object, for Events about it.
    pub object: Arc<Object>,
}

/// The name of the volume that is made for the claim with this uid.
pub(super) fn volume_of(uid: &str) -> String {
    format!("pvc-{uid}")
}

impl ClaimFacts {
    /// Reads a claim.
    pub fn of(object: &Arc<Object>) -> Result<Self, DecodeError> {
        let claim: Claim = object.typed()?;
        let spec = claim.spec.unwrap_or_default();
        let annotations = owned(claim.metadata.annotations.as_ref());
        let requests = spec.resources.and_then(|r| r.requests).unwrap_or_default();
        Ok(Self {
            key: object.key.clone(),
            uid: object.meta.uid.clone(),
            volume: spec.volume_name.filter(|v| !v.is_empty()),
            selected_node: annotations.get(SELECTED_NODE).cloned(),
            class: spec.storage_class_name.filter(|c| !c.is_empty()),
            terminating: object.meta.is_terminating(),
            bytes: whole(requests.get("storage")),
            modes: spec.access_modes.unwrap_or_default(),
            volume_mode: spec.volume_mode,
            annotations,
            object: object.clone(),
        })
    }

    /// Whether it waits for a volume that is to be made on `node`.
    pub fn wants_volume_on(&self, node: &str) -> bool {
        self.selected_node.as_deref() == Some(node) && self.volume.is_none() && !self.terminating
    }

    /// The name under which its volume is made: repeating the making can only find the same one.
    pub fn volume_to_make(&self) -> String {
        volume_of(&self.uid)
    }

    /// Whether it and the volume name each other: the claim by name, the volume by uid.
    pub fn holds(&self, volume: &VolumeFacts) -> bool {
        self.volume.as_deref() == Some(&volume.name)
            && volume.claim.as_ref().is_some_and(|claim| claim.uid == self.uid)
    }
}
