//! Drives a real `orlop` from outside, as its users do: starts the binary, speaks to its socket, looks at the machine.
//!
//! Must not know: anything inside the server. What a test here sees, a user could see.
#![allow(clippy::disallowed_methods, reason = "end-to-end tests run programs; that is what they are for")]
#![allow(clippy::unwrap_used, reason = "a test helper that cannot go on should stop the test there")]

pub mod cluster;
pub mod crash;
pub mod guest;
pub mod images;
pub mod kubectl;
pub mod machine;
pub mod manifests;
pub mod member;
pub mod power;
pub mod program;
pub mod remains;
pub mod sample;
pub mod shared_pool;
pub mod stalled;
pub mod story;
pub mod writers;
