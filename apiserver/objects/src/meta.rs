//! The part of an object's metadata that is read again and again, parsed once.

use std::collections::BTreeMap;

use serde::Deserialize;

/// An owner, as far as garbage collection and indexes need it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Owner {
    /// The owner's uid.
    pub uid: String,
    /// The owner's kind.
    pub kind: String,
    /// The owner's name.
    pub name: String,
    /// Whether the owner is the managing controller.
    pub controller: bool,
    /// Whether the owner waits for this object when deleted in the foreground.
    pub block_owner_deletion: bool,
}

/// Parsed metadata. Times stay text (RFC 3339, UTC, seconds): nothing here computes with them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Meta {
    /// The name.
    pub name: String,
    /// The namespace; empty for cluster-scoped kinds.
    pub namespace: String,
    /// The uid; empty before the registry has given one.
    pub uid: String,
    /// Counts changes of the spec.
    pub generation: i64,
    /// When it was created.
    pub creation_timestamp: String,
    /// When its deletion was asked for; `None` while it is wanted.
    pub deletion_timestamp: Option<String>,
    /// Grace that the deletion gives, in seconds.
    pub deletion_grace_period_seconds: Option<i64>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// What must still happen before it may go.
    pub finalizers: Vec<String>,
    /// Owners.
    pub owner_references: Vec<Owner>,
}

impl Meta {
    /// Whether deletion has been asked for.
    pub fn is_terminating(&self) -> bool {
        self.deletion_timestamp.is_some()
    }
}
