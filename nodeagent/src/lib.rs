//! Pods and volumes of one node.

pub mod images;
pub mod oci;
