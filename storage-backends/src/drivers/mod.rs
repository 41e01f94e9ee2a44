//! The drivers that are built in. Each passes [`crate::conformance`].

mod blocking;
mod fault;
pub mod loop_file;
pub mod nfs;
