//! Pods in the API's words: states of containers from what is seen and what was reported, the status that follows from
//! them, and the OCI terms of a container's spec. Pure.

pub(crate) mod env;
pub(crate) mod spec;
pub(crate) mod states;
pub(crate) mod status;
