//! Pods and volumes of one node.
