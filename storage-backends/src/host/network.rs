//! Interfaces, addresses, routes and the firewall: what lets pods be reached.

use std::{net::Ipv4Addr, path::PathBuf};

use orlop_objects::cidr::Cidr;

use super::Result;

/// An interface of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its number.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Its description; empty where it has none.
    pub alias: String,
    /// Whether it is switched on.
    pub up: bool,
    /// The number of the bridge that it is a port of.
    pub bridge: Option<u32>,
    /// The largest packet that it takes.
    pub mtu: u32,
    /// What kind it is: `bridge`, `veth`, …; empty for hardware.
    pub kind: String,
}

/// An IPv4 address of an interface of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkAddress {
    /// The interface's number.
    pub link: u32,
    /// The address.
    pub address: Ipv4Addr,
    /// The length of its network's prefix.
    pub length: u8,
}

/// An IPv4 route of this machine, of its main table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// Where it leads.
    pub to: Cidr,
    /// The next machine on the way; `None` for what is on the segment itself.
    pub via: Option<Ipv4Addr>,
    /// The interface's number, where the route names one.
    pub link: Option<u32>,
    /// Whose it is: the instance that made it, `None` for others'.
    pub instance: Option<u32>,
}

/// The bridge of an instance's pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bridge {
    /// Its name.
    pub name: String,
    /// Its description.
    pub alias: String,
    /// This machine's address on it, by which pods reach everything else.
    pub address: Ipv4Addr,
    /// The length of the prefix of the pods' range.
    pub length: u8,
    /// The largest packet.
    pub mtu: u32,
}

/// A pod's cable to the bridge: one end there, the other, `eth0`, in the pod's network namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cable {
    /// Name of the end at the bridge.
    pub name: String,
    /// Description of that end; it is set last, and says that the cable is complete.
    pub alias: String,
    /// The bridge.
    pub bridge: String,
    /// The pinned network namespace.
    pub namespace: PathBuf,
    /// The pod's address.
    pub address: Ipv4Addr,
    /// The length of the prefix of the pods' range.
    pub length: u8,
    /// The way to everything else: the machine's address on the bridge.
    pub gateway: Ipv4Addr,
    /// The largest packet.
    pub mtu: u32,
}

/// What the firewall is to let through for an instance's pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passage {
    /// Marks the rules: nothing without this mark is changed.
    pub mark: String,
    /// The bridge.
    pub bridge: String,
    /// The pods' range.
    pub range: Cidr,
    /// Ranges of other nodes' pods, which see a pod's own address; all others see the node's.
    pub peers: Vec<Cidr>,
}

/// Interfaces, addresses, routes and the firewall of this machine. Effects may be repeated: they look first.
pub trait Network: Send + Sync + 'static {
    /// All interfaces.
    fn links(&self) -> Result<Vec<Link>>;
    /// The interface of that name; `None` when there is none.
    fn link(&self, name: &str) -> Result<Option<Link>>;
    /// All IPv4 addresses.
    fn addresses(&self) -> Result<Vec<LinkAddress>>;
    /// All IPv4 routes of the main table.
    fn routes(&self) -> Result<Vec<Route>>;
    /// Ensures that there is a bridge like this, with this address alone, switched on. Refuses an interface of that name that
    /// is no bridge.
    fn set_bridge(&self, bridge: &Bridge) -> Result<()>;
    /// Ensures that a pod has a complete cable like this; half of one from a crash is thrown away.
    fn connect(&self, cable: &Cable) -> Result<()>;
    /// Removes an interface, with its other end where it is a cable's; fine when it is gone.
    fn remove_link(&self, name: &str) -> Result<()>;
    /// Ensures a route of an instance's own.
    fn add_route(&self, route: &Route) -> Result<()>;
    /// Removes a route of an instance's own; fine when it is gone.
    fn remove_route(&self, route: &Route) -> Result<()>;
    /// Ensures that packets of pods are passed on, and answers what could not be ensured, in sentences.
    fn open_passage(&self, passage: &Passage) -> Result<Vec<String>>;
    /// Ensures that no rule with this mark is left.
    fn close_passage(&self, mark: &str) -> Result<()>;
}
