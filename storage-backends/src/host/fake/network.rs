//! The network of the fake machine: one interface beside loopback, with a route to everywhere, and what is added to them.
//!
//! What the kernel refuses is refused: a cable to no bridge or into no namespace, a route over a machine that is on no
//! segment. A cable goes with its namespace. Tests take the right to change anything away with [`Fake::forbid_network`].

use std::{collections::BTreeMap, net::Ipv4Addr, path::Path};

use nix::errno::Errno;
use orlop_objects::cidr::Cidr;

use super::{Fake, Machine};
use crate::host::{
    Cause, Error, Result,
    network::{Bridge, Cable, Link, LinkAddress, Network, Passage, Route},
};

/// Interfaces, addresses, routes and rules.
#[derive(Debug)]
pub(super) struct Interfaces {
    links: Vec<Link>,
    addresses: Vec<LinkAddress>,
    routes: Vec<Route>,
    cables: BTreeMap<String, Cable>,
    passages: BTreeMap<String, Passage>,
    next: u32,
    forbidden: bool,
}

/// The machine's own interface and address.
const UPLINK: u32 = 2;
const OWN: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);

impl Interfaces {
    pub(super) fn new() -> Self {
        let link = |index, name: &str, mtu| Link {
            index,
            name: name.into(),
            alias: String::new(),
            up: true,
            bridge: None,
            mtu,
            kind: String::new(),
        };
        let address = |link, address, length| LinkAddress { link, address, length };
        let segment = Cidr::around(OWN, 24);
        let everywhere = Cidr::around(Ipv4Addr::UNSPECIFIED, 0);
        let route = |to, via| Route { to, via, link: Some(UPLINK), instance: None };
        Self {
            links: vec![link(1, "lo", 65536), link(UPLINK, "eth0", 1500)],
            addresses: vec![address(1, Ipv4Addr::LOCALHOST, 8), address(UPLINK, OWN, 24)],
            routes: segment
                .map(|to| route(to, None))
                .into_iter()
                .chain(everywhere.map(|to| route(to, Some(Ipv4Addr::new(192, 0, 2, 1)))))
                .collect(),
            cables: BTreeMap::new(),
            passages: BTreeMap::new(),
            next: 3,
            forbidden: false,
        }
    }

    fn named(&self, name: &str) -> Option<&Link> {
        self.links.iter().find(|link| link.name == name)
    }

    fn allowed(&self, operation: &'static str, object: &str) -> Result<()> {
        if self.forbidden { Err(refused(operation, object, Errno::EPERM)) } else { Ok(()) }
    }

    fn add(&mut self, name: &str, kind: &str) -> u32 {
        let index = self.next;
        self.next += 1;
        let (name, kind) = (name.to_owned(), kind.to_owned());
        self.links.push(Link { index, name, alias: String::new(), up: false, bridge: None, mtu: 1500, kind });
        index
    }

    fn remove(&mut self, name: &str) {
        let Some(index) = self.named(name).map(|link| link.index) else { return };
        self.links.retain(|link| link.index != index);
        self.links.iter_mut().filter(|link| link.bridge == Some(index)).for_each(|link| link.bridge = None);
        self.addresses.retain(|address| address.link != index);
        self.routes.retain(|route| route.link != Some(index));
        self.cables.remove(name);
    }

    /// What the kernel does when the last to hold a namespace lets go of it.
    pub(super) fn namespace_gone(&mut self, namespace: &Path) {
        let of = |cable: &&Cable| cable.namespace == namespace;
        let gone: Vec<String> = self.cables.values().filter(of).map(|cable| cable.name.clone()).collect();
        gone.iter().for_each(|name| self.remove(name));
    }
}

fn refused(operation: &'static str, object: &str, errno: Errno) -> Error {
    Error { operation, object: object.to_owned(), source: Cause::Os(errno.into()) }
}

impl Fake {
    /// The right to change the network is taken away, as from a container without it, or given back.
    pub fn forbid_network(&self, forbidden: bool) {
        self.machine().network.forbidden = forbidden;
    }

    /// The address of the pod at the other end of a cable.
    pub fn address_of(&self, cable: &str) -> Option<Ipv4Addr> {
        self.machine().network.cables.get(cable).map(|cable| cable.address)
    }

    /// What the firewall was told to let through, by mark.
    pub fn passage(&self, mark: &str) -> Option<Passage> {
        self.machine().network.passages.get(mark).cloned()
    }
}

impl Machine {
    fn set_bridge(&mut self, bridge: &Bridge) -> Result<()> {
        let network = &mut self.network;
        network.allowed("set up bridge", &bridge.name)?;
        let index = match network.named(&bridge.name) {
            Some(link) if link.kind != "bridge" => {
                return Err(refused("set up bridge", &bridge.name, Errno::EOPNOTSUPP));
            }
            Some(link) => link.index,
            None => network.add(&bridge.name, "bridge"),
        };
        for link in network.links.iter_mut().filter(|link| link.index == index) {
            (link.up, link.mtu) = (true, bridge.mtu);
            link.alias.clone_from(&bridge.alias);
        }
        network.addresses.retain(|address| address.link != index);
        network.routes.retain(|route| route.link != Some(index));
        let address = LinkAddress { link: index, address: bridge.address, length: bridge.length };
        network.addresses.push(address);
        let connected = Cidr::around(bridge.address, bridge.length);
        let route = |to| Route { to, via: None, link: Some(index), instance: None };
        network.routes.extend(connected.map(route));
        Ok(())
    }

    fn connect(&mut self, cable: &Cable) -> Result<()> {
        self.network.allowed("connect a pod by", &cable.name)?;
        let fails = |errno| Err(refused("connect a pod by", &cable.name, errno));
        let Some(bridge) = self.network.named(&cable.bridge).map(|link| link.index) else {
            return fails(Errno::ENODEV);
        };
        if !self.mounts.is_mount_point(&cable.namespace) {
            return fails(Errno::ENOENT);
        }
        if self.network.cables.get(&cable.name) == Some(cable) {
            return Ok(());
        }
        self.network.remove(&cable.name);
        let index = self.network.add(&cable.name, "veth");
        for link in self.network.links.iter_mut().filter(|link| link.index == index) {
            (link.up, link.mtu, link.bridge) = (true, cable.mtu, Some(bridge));
            link.alias.clone_from(&cable.alias);
        }
        self.network.cables.insert(cable.name.clone(), cable.clone());
        Ok(())
    }

    fn add_route(&mut self, route: &Route) -> Result<()> {
        let (network, object) = (&mut self.network, route.to.to_string());
        network.allowed("add route to", &object)?;
        let via = route.via.unwrap_or(Ipv4Addr::UNSPECIFIED);
        let near = |r: &&Route| r.via.is_none() && r.to.contains(via);
        let Some(link) = network.routes.iter().find(near).and_then(|r| r.link) else {
            return Err(refused("add route to", &object, Errno::ENETUNREACH));
        };
        network.routes.retain(|r| r.instance.is_none() || r.to != route.to || r.instance != route.instance);
        network.routes.push(Route { link: Some(link), ..*route });
        Ok(())
    }
}

impl Network for Fake {
    fn links(&self) -> Result<Vec<Link>> {
        Ok(self.machine().network.links.clone())
    }

    fn link(&self, name: &str) -> Result<Option<Link>> {
        Ok(self.machine().network.named(name).cloned())
    }

    fn addresses(&self) -> Result<Vec<LinkAddress>> {
        Ok(self.machine().network.addresses.clone())
    }

    fn routes(&self) -> Result<Vec<Route>> {
        Ok(self.machine().network.routes.clone())
    }

    fn set_bridge(&self, bridge: &Bridge) -> Result<()> {
        self.machine().set_bridge(bridge)
    }

    fn connect(&self, cable: &Cable) -> Result<()> {
        self.machine().connect(cable)
    }

    fn remove_link(&self, name: &str) -> Result<()> {
        let mut machine = self.machine();
        machine.network.allowed("remove interface", name)?;
        machine.network.remove(name);
        Ok(())
    }

    fn add_route(&self, route: &Route) -> Result<()> {
        self.machine().add_route(route)
    }

    fn remove_route(&self, route: &Route) -> Result<()> {
        let mut machine = self.machine();
        machine.network.allowed("remove route to", &route.to.to_string())?;
        machine
            .network
            .routes
            .retain(|r| r.instance.is_none() || r.to != route.to || r.instance != route.instance);
        Ok(())
    }

    fn open_passage(&self, passage: &Passage) -> Result<Vec<String>> {
        let mut machine = self.machine();
        machine.network.allowed("open passage", &passage.mark)?;
        machine.network.passages.insert(passage.mark.clone(), passage.clone());
        Ok(Vec::new())
    }

    fn close_passage(&self, mark: &str) -> Result<()> {
        self.machine().network.passages.remove(mark);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::{Namespace, Runtime};

    #[test]
    fn a_cable_needs_a_bridge_and_a_namespace_and_goes_with_it() {
        let fake = Fake::default();
        let bridge = Bridge {
            name: "b".into(),
            alias: String::new(),
            address: Ipv4Addr::new(10, 1, 2, 1),
            length: 24,
            mtu: 1500,
        };
        let cable = Cable {
            name: "c".into(),
            alias: "pod".into(),
            bridge: "b".into(),
            namespace: "/run/ns/u/net".into(),
            address: Ipv4Addr::new(10, 1, 2, 9),
            length: 24,
            gateway: bridge.address,
            mtu: 1500,
        };
        fake.connect(&cable).unwrap_err();
        fake.set_bridge(&bridge).unwrap();
        fake.connect(&cable).unwrap_err();
        fake.pin_namespaces(Path::new("/run/ns/u"), &[Namespace::Net], "h").unwrap();
        fake.connect(&cable).unwrap();
        assert_eq!(fake.link("c").unwrap().map(|link| (link.alias, link.up)), Some(("pod".into(), true)));
        fake.unpin_namespaces(Path::new("/run/ns/u")).unwrap();
        assert_eq!(fake.link("c").unwrap(), None);
        let route = |via: [u8; 4]| Route {
            to: "10.3.0.0/24".parse().unwrap(),
            via: Some(via.into()),
            link: None,
            instance: Some(7),
        };
        fake.add_route(&route([198, 51, 100, 1])).unwrap_err();
        fake.add_route(&route([192, 0, 2, 3])).unwrap();
        fake.forbid_network(true);
        fake.set_bridge(&bridge).unwrap_err();
    }
}
