//! Ordered indexes: which objects are found by what, without scanning a set.

use serde_json::Value;

use crate::Kind;

/// An ordered index. Entries are text, compared bytewise; parts are joined by `\0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Index {
    /// Pods by `spec.nodeName`.
    PodsByNode,
    /// Pods by each claim they name: `namespace\0claim`.
    PodsByClaim,
    /// Unclaimed, not terminating volumes by `class\0volumeMode\0size` (size as 32 hex digits, so that order is order).
    FreeVolumes,
    /// Volumes by the claim their claimRef names: `namespace\0name`.
    VolumesByClaim,
    /// Claims by `spec.volumeName`.
    ClaimsByVolume,
    /// Attachments by volume name.
    AttachmentsByVolume,
    /// Attachments by node name.
    AttachmentsByNode,
    /// Any object by each owner's uid.
    ByOwner,
}

/// The entries of one object.
pub fn entries(_kind: &'static Kind, _object: &Value) -> Vec<(Index, String)> {
    Vec::new()
}
