//! A machine in memory: [`Fake`] keeps files, loop devices and mounts, and refuses what Linux refuses.
//!
//! Clones share their state, as processes share a machine: a test that lets a process die goes on with a clone.

use std::sync::Arc;

/// A machine in memory.
#[derive(Clone, Debug, Default)]
pub struct Fake {
    shared: Arc<Shared>,
}

/// What all clones of a [`Fake`] share.
#[derive(Debug, Default)]
struct Shared {}
