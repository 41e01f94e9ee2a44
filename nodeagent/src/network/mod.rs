//! Pods' addresses on this node: a range of its own, a bridge, a cable for each pod, routes to the other nodes' pods.
//!
//! ```text
//!  ranges free on this machine ──► Node (annotation) ──► server gives one: spec.podCIDR
//!                                                              │
//!  other Nodes: address, podCIDR ──► plan ◄────────────────────┘
//!                                     └─► bridge · routes · firewall       address of a pod: lease, journal, cable
//! ```
//!
//! The kernel says which cables there are, and whose: each carries pod and address in its description. The journal says which
//! addresses may be in use. Where the machine allows no network, pods have their loopback, and the Node says why.

pub mod lease;
pub mod names;
pub mod plan;
pub mod ranges;

mod pass;

use std::net::Ipv4Addr;

use orlop_objects::cidr::Cidr;

pub(crate) use pass::Leases;

/// What pods can have of a network now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Not known yet, and what it waits for: pods wait too.
    Unknown(String),
    /// None, and why: pods have their loopback.
    Off(String),
    /// Addresses of a range.
    On(On),
}

/// A network that works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct On {
    /// Where pods' addresses come from.
    pub(crate) range: Cidr,
    /// The bridge's own address.
    pub(crate) gateway: Ipv4Addr,
    /// The largest packet.
    pub(crate) mtu: u32,
    /// What does not work, in sentences.
    pub(crate) troubles: Vec<String>,
}

impl State {
    /// As a condition of the Node: status, reason and message. `None` while it is not known.
    pub(crate) fn condition(&self) -> Option<(&'static str, &'static str, String)> {
        match self {
            Self::Unknown(_) => None,
            Self::Off(why) => {
                Some(("True", "PodNetworkOff", format!("pods have no addresses, only their loopback: {why}")))
            }
            Self::On(on) if on.troubles.is_empty() => {
                Some(("False", "PodNetworkReady", format!("pods have addresses of {}", on.range)))
            }
            Self::On(on) => Some(("False", "PodNetworkLimited", on.troubles.join("; "))),
        }
    }
}
