//! One transactional store: revisions, snapshots and watch over an exchangeable engine.
//!
//! Owns: the order of commits, durability, what a snapshot sees, what a watcher is told.
//! Must not know: HTTP, what the kinds mean, who writes.
//!
//! ```text
//!  update(|tx| …)            runs on the caller's task, against a snapshot          tx, store
//!        │ what it read, what it wrote
//!        ▼
//!  committer thread          one batch → one flush → one fdatasync                  committer, plan
//!        │ all or nothing            │
//!        ▼                           ▼
//!  published state           engine: memory, or a log with sled behind it           state, engine
//!   snapshot · ring · keys                                                          snapshot, ring, changes
//! ```
//!
//! It runs one thread, the committer: in, requests from [`Store::update`]; out, batches for the engine, the published
//! state, answers. It ends when the last [`Store`] is dropped.

mod changes;
mod committer;
mod directory;
mod engine;
mod error;
mod files;
mod history;
mod layout;
mod options;
mod plan;
mod ring;
mod shared;
mod snapshot;
mod space;
mod state;
mod store;
mod tx;
mod watch;

pub use changes::Changes;
pub use error::{Error, UpdateError};
pub use options::{Options, Sync};
pub use ring::Change;
pub use snapshot::Snapshot;
pub use store::{Committed, Store};
pub use tx::Tx;
pub use watch::Watch;
