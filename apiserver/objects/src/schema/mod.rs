//! The schema table: every field of every kind, read from one data file.
//!
//! Owns: what a field is (type, list keys, enum, default, immutability, protobuf tag, documentation), and the defaults.
//! Must not know: requests, patches, what a kind means.

mod defaults;
mod immutable;
pub mod table;
#[cfg(test)]
mod tests;

use serde_json::Value;

use crate::{FieldError, Kind};

/// How far a field is fixed once its object exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// It never changes.
    Fixed,
    /// It may be given once where it was absent, and never changes then.
    SetOnce,
    /// It may change although what holds it may not.
    Free,
}

/// One rule about change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Immutable {
    /// Path from the root, list items as `[]`: `spec.containers[].image`. It covers all below; the longest path wins.
    pub path: &'static str,
    /// What holds there.
    pub rule: Rule,
}

/// The fields of `kind` that may not change on update, and the exceptions below them.
pub fn immutable_fields(kind: &'static Kind) -> &'static [Immutable] {
    &table::root(kind).rules
}

/// Every field in which `new` differs from `old` although it may not; empty when the update is allowed.
pub fn immutable_changes(kind: &'static Kind, old: &Value, new: &Value) -> Vec<FieldError> {
    immutable::changes(immutable_fields(kind), old, new)
}

/// Fills in what Kubernetes documents as the default of every field that is absent. Doing it again changes nothing.
pub fn apply_defaults(kind: &'static Kind, object: &mut Value) {
    defaults::fill(table::root(kind), object);
}
