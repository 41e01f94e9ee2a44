//! The one door to the store: default, admit, validate, split spec and status, delete by the rules.
//!
//! Nothing writes an object round it, controllers included. Rooms:
//!
//! | room | rule |
//! |---|---|
//! | `create` | what a new object gets and may not bring |
//! | `change` | which half of an object a write may change, and what no write may change |
//! | `delete` | grace, finalizers, preconditions |
//! | `admit` | what depends on other objects or on settings: namespace, default class, service account, tolerations |
//! | `managed` | who set which field, kept in `managedFields` |
//! | `events` | Events: derived names, repeats, expiry |
//! | `bind` | a pod gets its node |
//! | `evict` | a pod is sent away |
//! | `adopt` | objects of an earlier schema get this one's defaults |
//! | `door` | the rules above in one transaction |
//!
//! Must not know: HTTP, drivers, mounts.

mod admit;
mod adopt;
mod bind;
mod change;
mod create;
mod delete;
mod door;
mod error;
mod events;
mod evict;
mod json;
mod managed;
mod registry;
mod request;

#[cfg(test)]
mod tests;

pub use admit::does_not_grow;
pub use adopt::schema;
pub use door::Door;
pub use error::Error;
pub use registry::{Clock, Registry};
pub use request::{DeleteOptions, Note, Outcome, Part, Who};
