//! Controllers: each keeps one thing true, in three steps: view, decide, apply.
//!
//! Owns: one folder per controller, the generic worker that runs them, and [`bootstrap`], which makes what exists from
//! the start. One task per controller; [`start`] spawns them, [`Controllers::stop`] ends them.
//!
//! | folder | keeps true |
//! |---|---|
//! | [`binder`] | a claim is bound to the best volume there is, in one transaction |
//!
//! Must not know: HTTP, mount calls, how a driver does its work.

mod affinity;
mod amount;
mod binder;
mod edit;
mod error;
mod events;
mod facts;
mod worker;

pub use error::Error;
use orlop_registry::Who;

/// The user that a controller writes as.
fn who(name: &str) -> Who {
    Who::new(format!("orlop:{name}"), format!("orlop-{name}"))
}
