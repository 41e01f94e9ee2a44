//! The drivers that are built in. Each passes [`crate::conformance`].

pub mod loop_file;
