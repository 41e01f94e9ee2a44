//! The real machine: [`Linux`] carries out [`Host`](super::Host) with system calls, three ioctls and three programs.
//!
//! Owns: how an effect is done. Must not know: when or why; policy is above.

/// The machine that this process runs on.
#[derive(Debug, Default)]
pub struct Linux {}
