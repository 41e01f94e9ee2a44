//! What a caller says to the door and what it hears back.

use std::sync::Arc;

use orlop_objects::{Object, Revision};

/// Which half of an object a write may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// All but status: what the main resource's PUT and PATCH do.
    Main,
    /// Status alone: what `…/status` does.
    Status,
    /// Both at once: for controllers in this process, and for a namespace's `finalize`.
    Whole,
}

/// Who writes: for managedFields, events and refusals.
#[derive(Clone, Debug)]
pub struct Who {
    /// `system:admin`, `system:node:laptop`, `orlop:binder`, …
    pub user: String,
    /// The field manager, as the client named it.
    pub manager: String,
}

impl Who {
    /// A writer with its field manager.
    pub fn new(user: impl Into<String>, manager: impl Into<String>) -> Self {
        Self { user: user.into(), manager: manager.into() }
    }
}

/// What a delete asks for.
#[derive(Clone, Debug, Default)]
pub struct DeleteOptions {
    /// Seconds; `None` = the object's own.
    pub grace: Option<i64>,
    /// Only if it still has this uid.
    pub uid: Option<String>,
    /// Only if it still has this version.
    pub revision: Option<Revision>,
    /// Nothing is written.
    pub dry_run: bool,
    /// `Orphan`, `Background`, `Foreground`.
    pub propagation: Option<String>,
}

/// What became of a write.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The object as it is now (as it last was, when it is gone). Inside a transaction and after a dry run, a version
    /// that is not committed has revision 0.
    pub object: Arc<Object>,
    /// Whether it is gone from the store.
    pub gone: bool,
    /// Sentences for the client's `Warning:` header.
    pub warnings: Vec<String>,
}

impl Outcome {
    /// The object is there.
    pub(crate) fn kept(object: Arc<Object>) -> Self {
        Self { object, gone: false, warnings: Vec::new() }
    }

    /// The object was there.
    pub(crate) fn gone(object: Arc<Object>) -> Self {
        Self { gone: true, ..Self::kept(object) }
    }
}

/// An Event to record.
#[derive(Clone, Copy, Debug)]
pub struct Note<'a> {
    /// Normal or Warning.
    pub warning: bool,
    /// CamelCase reason.
    pub reason: &'a str,
    /// A sentence that a user can act on.
    pub message: &'a str,
    /// Which part of Orlop says it.
    pub source: &'a str,
}
