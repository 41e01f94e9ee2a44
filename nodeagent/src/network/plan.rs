//! The plan for this node's network. Pure.
//!
//! | range | here | steps |
//! |---|---|---|
//! | any | a look failed | wait |
//! | none given yet | anything | wait |
//! | given, too small for a pod | anything | Off |
//! | given | no bridge of ours has it, and something else here overlaps it | Off |
//! | given | the bridge is missing, or other than wanted | SetBridge |
//! | given | a route of ours that no other node wants | RemoveRoute |
//! | given | another node at another address, without a route of ours | AddRoute |
//! | given | another node at our own address, or at a loopback | no route: this machine has its bridge |
//! | given | another node's range overlaps ours, or a network that this machine is on | leave it out, and say so |
//! | given | another node's range overlaps a route of others', at least as narrow and not the very same | leave it out, and say so |

use std::net::Ipv4Addr;

use orlop_backends::host::network::{Bridge, Link, LinkAddress, Route};
use orlop_objects::cidr::Cidr;

use super::{lease, names};
use crate::plan::Look;

/// How a node gets another range: the server gives each one, once.
const ANOTHER_RANGE: &str = "take that node out (orlop node rm), run orlop down on it, and let it join again with a range \
                             that is free (--pod-cidr)";

/// Another node, as far as its pods are to be reached.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Peer {
    /// Its pods' range.
    pub range: Cidr,
    /// Its address; `None` where it has told none of IPv4.
    pub address: Option<Ipv4Addr>,
}

/// What is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Want {
    /// The instance, eight hex digits.
    pub instance: String,
    /// The range that the server gave.
    pub range: Option<Cidr>,
    /// This node's address.
    pub address: Option<Ipv4Addr>,
    /// The other nodes.
    pub peers: Vec<Peer>,
}

/// What is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// All interfaces.
    pub links: Vec<Link>,
    /// All addresses.
    pub addresses: Vec<LinkAddress>,
    /// All routes.
    pub routes: Vec<Route>,
}

/// One step. Every one reaches a fact and may be repeated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Make the bridge what it should be.
    SetBridge(Bridge),
    /// Remove a route of ours.
    RemoveRoute(Route),
    /// Add a route of ours.
    AddRoute(Route),
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Something must happen first.
    Wait(String),
    /// There can be no network, and why.
    Off(String),
    /// These steps, and then there is one with this bridge.
    On {
        /// The bridge.
        bridge: Bridge,
        /// What is missing.
        steps: Vec<Step>,
        /// Other nodes whose pods are not reached, and why: their ranges are this machine's, or its neighbours'.
        left_out: Vec<LeftOut>,
    },
}

/// The range of another node that nothing is sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// The range.
    pub range: Cidr,
    /// Why, in a sentence.
    pub why: String,
}

/// What to do about the network.
pub fn plan(want: &Want, seen: &Look<Seen>) -> Plan {
    let seen = match seen {
        Look::Seen(seen) => seen,
        Look::Unknown(why) => return Plan::Wait(why.clone()),
    };
    let Some(range) = want.range else {
        return Plan::Wait(
            "the server has given this node no range of pod addresses (spec.podCIDR) yet".to_owned(),
        );
    };
    let Some(address) = lease::gateway(range) else {
        return Plan::Off(format!("the node's range {range} is too small; {ANOTHER_RANGE}"));
    };
    let (name, mtu) = (names::bridge(&want.instance), mtu(seen));
    let alias = format!("orlop {} pods", want.instance);
    let bridge = Bridge { name, alias, address, length: range.length(), mtu };
    let own = seen.links.iter().find(|link| link.name == bridge.name);
    let instance = names::number(&want.instance);
    if let Some(other) = other_owner(range, own, instance, seen) {
        return Plan::Off(format!(
            "the node's range {range} overlaps {other} of this machine; remove that, or {ANOTHER_RANGE}"
        ));
    }
    let mut steps = Vec::new();
    if !own.is_some_and(|link| is_so(link, &bridge, seen)) {
        steps.push(Step::SetBridge(bridge.clone()));
    }
    let ours = own.map(|link| link.index);
    let left_out: Vec<LeftOut> =
        elsewhere(want).filter_map(|peer| left_out(range, peer, ours, instance, seen)).collect();
    steps.extend(routes(want, &left_out, seen));
    Plan::On { bridge, steps, left_out }
}

/// The largest packet that gets beyond this machine whole.
fn mtu(seen: &Seen) -> u32 {
    let way_out = seen.routes.iter().find(|route| route.to.length() == 0).and_then(|route| route.link);
    let link = seen.links.iter().find(|link| Some(link.index) == way_out);
    link.map_or(1500, |link| link.mtu.max(1280))
}

/// Something of somebody else's here that overlaps the range.
fn other_owner(range: Cidr, own: Option<&Link>, instance: u32, seen: &Seen) -> Option<String> {
    let ours = |link: Option<u32>| own.is_some_and(|own| link == Some(own.index));
    let overlaps = |a: &&LinkAddress| range.contains(a.address) && !ours(Some(a.link));
    if let Some(address) = seen.addresses.iter().find(overlaps) {
        return Some(format!("the address {}", address.address));
    }
    let more = |r: &&Route| {
        r.to.length() > 0 && r.to.overlaps(&range) && !ours(r.link) && r.instance != Some(instance)
    };
    // A wider route is a way to elsewhere that the bridge's own, being narrower, only cuts a piece out of.
    let route = seen.routes.iter().filter(|r| r.to.length() >= range.length()).find(more);
    route.map(|route| format!("the route to {}", route.to))
}

fn is_so(link: &Link, bridge: &Bridge, seen: &Seen) -> bool {
    let wanted = (bridge.address, bridge.length);
    let mut addresses = seen.addresses.iter().filter(|a| a.link == link.index).map(|a| (a.address, a.length));
    link.kind == "bridge"
        && link.up
        && link.alias == bridge.alias
        && link.mtu == bridge.mtu
        && addresses.next() == Some(wanted)
        && addresses.next().is_none()
}

/// The nodes that are not on this machine.
fn elsewhere(want: &Want) -> impl Iterator<Item = &Peer> {
    want.peers.iter().filter(|peer| peer.address.is_some_and(|a| Some(a) != want.address && !a.is_loopback()))
}

/// Whether a route to this peer would take away what is reached on another way. The server gives each node a range that is
/// no other node's; what else is around this machine, only this machine knows.
fn left_out(own: Cidr, peer: &Peer, bridge: Option<u32>, instance: u32, seen: &Seen) -> Option<LeftOut> {
    let range = peer.range;
    let near = seen.addresses.iter().filter(|a| Some(a.link) != bridge);
    let near = near.filter_map(|a| Cidr::around(a.address, a.length)).find(|net| net.overlaps(&range));
    let is_foreign = |r: &&Route| {
        r.instance != Some(instance) && r.to.length() > 0 && (r.link.is_none() || r.link != bridge)
    };
    // Two agents of one machine have the same ways to the others.
    let differs = |r: &&Route| r.to != range || r.via != peer.address;
    let narrow = |r: &&Route| r.to.overlaps(&range) && r.to.length() >= range.length();
    let routes = || seen.routes.iter().filter(is_foreign).filter(narrow).find(differs);
    let other = match near {
        _ if own.overlaps(&range) => format!("this node's own range {own}"),
        Some(net) => format!("the network {net} of this machine"),
        None => format!("the route to {} of this machine", routes()?.to),
    };
    let node = peer.address.map(|a| format!(" at {a}")).unwrap_or_default();
    let why = format!(
        "pods of the node{node} are not reached: its range {range} overlaps {other}; remove that, or {ANOTHER_RANGE}"
    );
    Some(LeftOut { range, why })
}

fn routes(want: &Want, left_out: &[LeftOut], seen: &Seen) -> Vec<Step> {
    let instance = names::number(&want.instance);
    let reached = |peer: &&Peer| !left_out.iter().any(|left| left.range == peer.range);
    let route =
        |peer: &Peer| Route { to: peer.range, via: peer.address, link: None, instance: Some(instance) };
    let wanted: Vec<Route> = elsewhere(want).filter(reached).map(route).collect();
    let has: Vec<&Route> = seen.routes.iter().filter(|r| r.instance == Some(instance)).collect();
    let same = |a: &Route, b: &Route| a.to == b.to && a.via == b.via;
    let stale = has.iter().filter(|r| !wanted.iter().any(|w| w.to == r.to)).map(|r| Step::RemoveRoute(**r));
    let missing = wanted.iter().filter(|w| !has.iter().any(|r| same(r, w))).map(|w| Step::AddRoute(*w));
    stale.chain(missing).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const INSTANCE: &str = "0000abcd";

    fn range(text: &str) -> Cidr {
        text.parse().expect(text)
    }

    fn link(index: u32, name: &str, kind: &str) -> Link {
        let alias = if kind == "bridge" { format!("orlop {INSTANCE} pods") } else { String::new() };
        Link { index, name: name.into(), alias, up: true, bridge: None, mtu: 1400, kind: kind.into() }
    }

    fn route(to: &str, via: Option<[u8; 4]>, link: u32, instance: Option<u32>) -> Route {
        Route { to: range(to), via: via.map(Ipv4Addr::from), link: Some(link), instance }
    }

    /// A machine at 192.0.2.2 with a way out, and with `more`.
    fn machine(more: impl FnOnce(&mut Seen)) -> Look<Seen> {
        let mut seen = Seen {
            links: vec![link(2, "eth0", "")],
            addresses: vec![LinkAddress { link: 2, address: Ipv4Addr::new(192, 0, 2, 2), length: 24 }],
            routes: vec![
                route("0.0.0.0/0", Some([192, 0, 2, 1]), 2, None),
                route("192.0.2.0/24", None, 2, None),
            ],
        };
        more(&mut seen);
        Look::Seen(seen)
    }

    fn with_bridge(seen: &mut Seen) {
        seen.links.push(link(7, "orlop-0000abcd", "bridge"));
        seen.addresses.push(LinkAddress { link: 7, address: Ipv4Addr::new(10, 1, 2, 1), length: 24 });
        seen.routes.push(route("10.1.2.0/24", None, 7, None));
    }

    fn want(peers: &[(&str, [u8; 4])]) -> Want {
        let peer =
            |(net, address): &(&str, [u8; 4])| Peer { range: range(net), address: Some((*address).into()) };
        Want {
            instance: INSTANCE.into(),
            range: Some(range("10.1.2.0/24")),
            address: Some(Ipv4Addr::new(192, 0, 2, 2)),
            peers: peers.iter().map(peer).collect(),
        }
    }

    /// The steps in words.
    fn check(want: &Want, seen: &Look<Seen>, wanted: &[&str]) {
        let words = match plan(want, seen) {
            Plan::Wait(why) => vec![format!("wait: {why}")],
            Plan::Off(why) => vec![format!("off: {why}")],
            Plan::On { steps, left_out, .. } => steps
                .iter()
                .map(|step| match step {
                    Step::SetBridge(b) => {
                        format!("bridge {} {}/{} mtu {}", b.name, b.address, b.length, b.mtu)
                    }
                    Step::RemoveRoute(r) => format!("no route {}", r.to),
                    Step::AddRoute(r) => {
                        format!("route {} via {:?} as {:x?}", r.to, r.via.unwrap(), r.instance.unwrap())
                    }
                })
                .chain(left_out.iter().map(|left| left.why.clone()))
                .collect(),
        };
        assert_eq!(words.len(), wanted.len(), "{words:?}");
        for (said, wanted) in words.iter().zip(wanted) {
            assert!(said.starts_with(wanted), "{said:?} should begin with {wanted:?}");
        }
    }

    #[test]
    fn every_row_of_the_table() {
        const BRIDGE: &str = "bridge orlop-0000abcd 10.1.2.1/24 mtu 1400";
        check(&want(&[]), &Look::Unknown("EIO".into()), &["wait: EIO"]);
        check(
            &Want { range: None, ..want(&[]) },
            &machine(|_| {}),
            &["wait: the server has given this node no range"],
        );
        check(
            &Want { range: Some(range("10.1.2.0/31")), ..want(&[]) },
            &machine(|_| {}),
            &["off: the node's range"],
        );
        let foreign = |s: &mut Seen| s.routes.push(route("10.1.2.128/25", None, 2, None));
        check(
            &want(&[]),
            &machine(foreign),
            &["off: the node's range 10.1.2.0/24 overlaps the route to 10.1.2.128/25"],
        );
        let cluster =
            |s: &mut Seen| s.routes.push(route("10.1.2.0/24", Some([192, 0, 2, 7]), 2, Some(0xffff)));
        check(
            &want(&[]),
            &machine(cluster),
            &["off: the node's range 10.1.2.0/24 overlaps the route to 10.1.2.0/24"],
        );
        let vpn = |s: &mut Seen| {
            s.addresses.push(LinkAddress { link: 2, address: [10, 1, 2, 9].into(), length: 32 });
        };
        check(
            &want(&[]),
            &machine(vpn),
            &["off: the node's range 10.1.2.0/24 overlaps the address 10.1.2.9"],
        );
        let wider = |s: &mut Seen| s.routes.push(route("10.0.0.0/8", Some([192, 0, 2, 9]), 2, None));
        check(&want(&[]), &machine(wider), &[BRIDGE]);
        check(&want(&[]), &machine(|_| {}), &[BRIDGE]);
        check(&want(&[]), &machine(with_bridge), &[]);
        let down = |s: &mut Seen| {
            with_bridge(s);
            s.links[1].up = false;
        };
        check(&want(&[]), &machine(down), &[BRIDGE]);
        let two = |s: &mut Seen| {
            with_bridge(s);
            s.addresses.push(LinkAddress { link: 7, address: [10, 9, 9, 1].into(), length: 24 });
        };
        check(&want(&[]), &machine(two), &[BRIDGE]);
    }

    #[test]
    fn routes_follow_the_other_nodes() {
        let peers = [
            ("10.3.0.0/24", [192, 0, 2, 3]),
            ("10.4.0.0/24", [192, 0, 2, 2]),
            ("10.5.0.0/24", [127, 0, 0, 1]),
        ];
        check(&want(&peers), &machine(with_bridge), &["route 10.3.0.0/24 via 192.0.2.3 as abcd"]);
        let has = |to: &'static str, via: [u8; 4], instance: Option<u32>| {
            move |s: &mut Seen| {
                with_bridge(s);
                s.routes.push(route(to, Some(via), 2, instance));
            }
        };
        check(&want(&peers), &machine(has("10.3.0.0/24", [192, 0, 2, 3], Some(0xabcd))), &[]);
        // It moved: the new route takes the old one's place.
        check(
            &want(&peers),
            &machine(has("10.3.0.0/24", [192, 0, 2, 9], Some(0xabcd))),
            &["route 10.3.0.0/24 via 192.0.2.3"],
        );
        check(
            &want(&[]),
            &machine(has("10.3.0.0/24", [192, 0, 2, 3], Some(0xabcd))),
            &["no route 10.3.0.0/24"],
        );
        // Another instance's, or an administrator's, is left alone.
        check(&want(&[]), &machine(has("10.3.0.0/24", [192, 0, 2, 3], Some(0xffff))), &[]);
        check(&want(&[]), &machine(has("10.3.0.0/24", [192, 0, 2, 3], None)), &[]);
    }

    #[test]
    fn nothing_of_this_machine_or_near_it_is_sent_to_another_node() {
        let left = |range: &str, other: &str| {
            format!("pods of the node at 192.0.2.3 are not reached: its range {range} overlaps {other};")
        };
        let check_range = |to: &'static str, more: fn(&mut Seen), wanted: &str| {
            let machine = machine(|s| {
                with_bridge(s);
                more(s);
            });
            check(&want(&[(to, [192, 0, 2, 3])]), &machine, &[wanted]);
        };
        let lan = |s: &mut Seen| {
            s.addresses.push(LinkAddress { link: 2, address: [10, 8, 0, 9].into(), length: 16 });
        };
        let vpn = |s: &mut Seen| {
            s.addresses.push(LinkAddress { link: 2, address: [10, 8, 0, 9].into(), length: 32 });
        };
        let behind = |s: &mut Seen| s.routes.push(route("10.8.0.0/24", Some([192, 0, 2, 9]), 2, None));
        let wide = |s: &mut Seen| s.routes.push(route("10.0.0.0/8", Some([192, 0, 2, 9]), 2, None));
        let rows: [(_, fn(&mut Seen), _); 8] = [
            ("10.8.0.0/24", lan, left("10.8.0.0/24", "the network 10.8.0.0/16 of this machine")),
            ("10.8.7.0/28", lan, left("10.8.7.0/28", "the network 10.8.0.0/16 of this machine")),
            ("10.8.0.0/24", vpn, left("10.8.0.0/24", "the network 10.8.0.9/32 of this machine")),
            ("192.0.2.0/26", |_| {}, left("192.0.2.0/26", "the network 192.0.2.0/24 of this machine")),
            ("128.0.0.0/1", |_| {}, left("128.0.0.0/1", "the network 192.0.2.0/24 of this machine")),
            ("10.1.0.0/16", |_| {}, left("10.1.0.0/16", "this node's own range 10.1.2.0/24")),
            ("10.8.0.0/24", behind, left("10.8.0.0/24", "the route to 10.8.0.0/24 of this machine")),
            ("10.8.0.0/16", behind, left("10.8.0.0/16", "the route to 10.8.0.0/24 of this machine")),
        ];
        for (to, more, wanted) in rows {
            check_range(to, more, &wanted);
        }
        // A wider route is a way to elsewhere; another agent of this machine has the very same one.
        check_range("10.8.0.0/24", wide, "route 10.8.0.0/24 via 192.0.2.3");
        let twin = |s: &mut Seen| s.routes.push(route("10.8.0.0/24", Some([192, 0, 2, 3]), 2, Some(0xffff)));
        check_range("10.8.0.0/24", twin, "route 10.8.0.0/24 via 192.0.2.3");
        // A route that was made before the machine came to that network is taken back.
        let late = machine(|s| {
            with_bridge(s);
            lan(s);
            s.routes.push(route("10.8.0.0/24", Some([192, 0, 2, 3]), 2, Some(0xabcd)));
        });
        let wanted = left("10.8.0.0/24", "the network 10.8.0.0/16 of this machine");
        check(&want(&[("10.8.0.0/24", [192, 0, 2, 3])]), &late, &["no route 10.8.0.0/24", &wanted]);
    }
}
