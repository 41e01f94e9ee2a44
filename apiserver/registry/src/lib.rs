//! The one door to the store: default, admit, validate, split spec and status, delete by the rules.
//!
//! Nothing writes an object round it, controllers included.
//! Must not know: HTTP, drivers, mounts.

use std::{future::Future, sync::Arc};

use orlop_objects::{FieldError, Key, Kind, Object, Revision};
use orlop_store::{Snapshot, Store};
use serde_json::Value;

/// Why the door stayed shut. `apiserver` alone knows which status code that is.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// There is no such object.
    #[error("{0} not found")]
    NotFound(Key),
    /// There is one already.
    #[error("{0} already exists")]
    AlreadyExists(Key),
    /// Somebody else changed it first: read again and retry.
    #[error("operation cannot be fulfilled on {key}: {reason}")]
    Conflict { key: Key, reason: String },
    /// Fields are wrong.
    #[error("{key} is invalid: {}", .causes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))]
    Invalid { key: Key, causes: Vec<FieldError> },
    /// The request makes no sense.
    #[error("{0}")]
    BadRequest(String),
    /// The writer may not do this.
    #[error("{key}: forbidden: {reason}")]
    Forbidden { key: Key, reason: String },
    /// The store could not.
    #[error(transparent)]
    Store(#[from] orlop_store::Error),
}

/// Which half of an object a write may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// All but status: what the main resource's PUT and PATCH do.
    Main,
    /// Status alone: what `…/status` does.
    Status,
    /// Both at once: for controllers in this process.
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
    /// The object as it is now (as it last was, when it is gone).
    pub object: Arc<Object>,
    /// Whether it is gone from the store.
    pub gone: bool,
    /// Sentences for the client's `Warning:` header.
    pub warnings: Vec<String>,
}

/// The door. Cheap to clone.
#[derive(Clone)]
pub struct Registry;

/// The door inside one transaction. Every method applies all rules to its object; nothing is written unless all pass.
pub struct Door<'a, 'tx>(&'a mut orlop_store::Tx<'tx>);

impl Registry {
    /// Opens the door of a store.
    pub fn new(_store: Store) -> Self { todo!() }
    /// The newest snapshot.
    pub fn snapshot(&self) -> Snapshot { todo!() }
    /// The store, for watching and reading.
    pub fn store(&self) -> &Store { todo!() }
    /// Creates an object; `metadata.name` may be empty where `generateName` is given.
    pub async fn create(&self, _kind: &'static Kind, _namespace: &str, _body: Value, _who: &Who, _dry_run: bool) -> Result<Outcome, Error> { todo!() }
    /// Changes an object by a pure function of its current value (with `resourceVersion` in it); a `resourceVersion` in
    /// the result that is not the current one is a conflict.
    pub fn change(&self, _key: &Key, _part: Part, _who: &Who, _dry_run: bool, _f: impl Fn(Value) -> Result<Value, Error> + Send)
        -> impl Future<Output = Result<Outcome, Error>> + Send { async { todo!() } }
    /// Asks for an object's deletion.
    pub async fn delete(&self, _key: &Key, _options: &DeleteOptions, _who: &Who) -> Result<Outcome, Error> { todo!() }
    /// Several objects, at most one of each kind, in one commit. `f` is pure and may be run again.
    pub fn transact<T: Send>(&self, _who: &Who, _f: impl Fn(&mut Door<'_, '_>) -> Result<T, Error> + Send)
        -> impl Future<Output = Result<T, Error>> + Send { async { todo!() } }
    /// Records an Event about `about`; repeats count up. Never fails the caller: a failure is logged.
    pub async fn event(&self, _about: &Object, _event: Note<'_>) { todo!() }
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

impl Door<'_, '_> {
    /// The snapshot beneath the transaction.
    pub fn snapshot(&self) -> &Snapshot { todo!() }
    /// Reads one object under the transaction's protection.
    pub fn get(&mut self, _key: &Key) -> Option<Arc<Object>> { todo!() }
    /// Creates an object.
    pub fn create(&mut self, _kind: &'static Kind, _namespace: &str, _body: Value) -> Result<Outcome, Error> { todo!() }
    /// Changes an object.
    pub fn change(&mut self, _key: &Key, _part: Part, _f: impl FnOnce(Value) -> Result<Value, Error>) -> Result<Outcome, Error> { todo!() }
    /// Deletes an object by the rules (finalizers, grace).
    pub fn delete(&mut self, _key: &Key, _options: &DeleteOptions) -> Result<Outcome, Error> { todo!() }
}
