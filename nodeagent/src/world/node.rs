//! What the agent needs to know of a node, its own or another: where its pods are.

use std::{net::Ipv4Addr, sync::Arc};

use k8s_openapi::api::core::v1 as core;
use orlop_objects::{DecodeError, Object, cidr::Cidr};

/// A node.
#[derive(Clone, Debug)]
pub struct NodeFacts {
    /// Its name.
    pub name: String,
    /// `spec.podCIDR`, where it is a range of IPv4.
    pub range: Option<Cidr>,
    /// Its first internal address of IPv4.
    pub address: Option<Ipv4Addr>,
    /// The object, for Events about it.
    pub object: Arc<Object>,
}

impl NodeFacts {
    /// Reads a node.
    pub fn of(object: &Arc<Object>) -> Result<Self, DecodeError> {
        let node: core::Node = object.typed()?;
        let range = node.spec.and_then(|spec| spec.pod_cidr).and_then(|text| text.parse().ok());
        let addresses = node.status.and_then(|status| status.addresses).unwrap_or_default();
        let internal = addresses.iter().filter(|a| a.type_ == "InternalIP");
        Ok(Self {
            name: object.meta.name.clone(),
            range,
            address: internal.filter_map(|a| a.address.parse().ok()).next(),
            object: object.clone(),
        })
    }
}
