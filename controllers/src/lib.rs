//! Controllers: each keeps one thing true, in three steps: view, decide, apply.
//!
//! Owns: one folder per controller, the generic worker that runs them, and [`bootstrap`], which makes what exists from
//! the start. One task per controller; [`start`] spawns them, [`Controllers::stop`] ends them.
//!
//! | folder | keeps true |
//! |---|---|
//! | `binder` | a claim is bound to the best volume there is, in one transaction |
//! | `provisioner` | a claim with a class gets a volume, or hears why not |
//! | `scheduler` | pods land where their volumes can be |
//! | `attacher` | every volume a node's pods need is attached there, and nowhere else when its mode says so |
//! | `exports` | the nodes of the cluster, and nobody else, may mount an export of Orlop's own |
//! | `reclaimer` | a volume whose claim is gone is kept or deleted, as its policy says |
//! | `protector` | nothing in use goes away |
//! | `nodes` | a node that has gone silent does not look ready, and is tainted |
//! | `evictor` | pods leave nodes whose taints they do not tolerate |
//! | `namespaces` | a deleted namespace takes its content with it |
//! | `garbage` | what belongs to something gone goes too |
//! | `serviceaccounts` | every namespace has the service account `default` |
//! | `deployments` | a deployment's newest template has the pods, and the way there goes step by step |
//! | `replicasets` | a replica set has as many pods as it wants |
//! | `daemonsets` | a daemon set has one pod on every node that its template fits |
//! | `statefulsets` | a stateful set has one pod for each of its numbers, with the claims of that number |
//!
//! Must not know: HTTP, mount calls, how a driver does its work.

mod affinity;
mod amount;
mod attacher;
mod attempts;
mod binder;
mod bootstrap;
mod daemonsets;
mod deployments;
mod drivers;
mod edit;
mod error;
mod events;
mod evictor;
mod exports;
mod facts;
mod garbage;
mod namespaces;
mod nodes;
mod parts;
mod pools;
mod protector;
mod provisioner;
mod ranges;
mod reclaimer;
mod replicasets;
mod scheduler;
mod serviceaccounts;
mod start;
mod statefulsets;
mod taints;
#[cfg(test)]
mod testing;
mod worker;
mod workloads;

pub use bootstrap::{LOOP_DRIVER, NFS_DRIVER, bootstrap};
pub use drivers::DriverInfo;
pub use error::Error;
use orlop_registry::Who;
pub use start::{Controllers, Settings, start};

/// The user that a controller writes as.
fn who(name: &str) -> Who {
    Who::new(format!("orlop:{name}"), format!("orlop-{name}"))
}
