//! Interfaces and their addresses: looking at them, the bridge, and a pod's cable to it.

use std::{fs::File, io, net::Ipv4Addr, os::fd::AsRawFd};

use nix::libc;

use super::netlink::{Answer, Message, Socket, attributes, u32_at};
use crate::host::network::{Bridge, Cable, Link, LinkAddress};

/// The pod's end of a cable.
const POD_END: &str = "eth0";
/// Length of the fixed part (struct ifinfomsg, struct ifaddrmsg).
const LINK: usize = 16;
const ADDRESS: usize = 8;
/// Flags of an interface that is switched on.
const UP: u32 = libc::IFF_UP as u32;
const NEW: i32 = libc::NLM_F_CREATE | libc::NLM_F_EXCL;

/// The fixed part of a message about an interface (by number; 0: by name or new).
fn about(index: u32, up: bool) -> [u8; LINK] {
    let mut fixed = [0; LINK];
    fixed[4..8].copy_from_slice(&index.to_ne_bytes());
    if up {
        fixed[8..12].copy_from_slice(&UP.to_ne_bytes());
        fixed[12..16].copy_from_slice(&UP.to_ne_bytes());
    }
    fixed
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.strip_suffix(b"\0").unwrap_or(bytes)).into_owned()
}

/// What an answer says of an interface.
fn read(answer: &Answer) -> Option<Link> {
    let body = Some(&answer.body).filter(|_| answer.kind == libc::RTM_NEWLINK)?;
    let mut link = Link {
        index: u32_at(body, 4)?,
        name: String::new(),
        alias: String::new(),
        up: u32_at(body, 8)? & UP != 0,
        bridge: None,
        mtu: 0,
        kind: String::new(),
    };
    for (kind, value) in attributes(body.get(LINK..)?) {
        match kind {
            libc::IFLA_IFNAME => link.name = text(value),
            libc::IFLA_IFALIAS => link.alias = text(value),
            libc::IFLA_MASTER => link.bridge = u32_at(value, 0),
            libc::IFLA_MTU => link.mtu = u32_at(value, 0)?,
            libc::IFLA_LINKINFO => {
                let named = attributes(value).find(|(kind, _)| *kind == libc::IFLA_INFO_KIND);
                link.kind = named.map(|(_, value)| text(value)).unwrap_or_default();
            }
            _ => {}
        }
    }
    Some(link)
}

pub(super) fn all(socket: &Socket) -> io::Result<Vec<Link>> {
    let answers = socket.dump(|| Message::new(libc::RTM_GETLINK, 0, &about(0, false)))?;
    Ok(answers.iter().filter_map(read).collect())
}

pub(super) fn named(socket: &Socket, name: &str) -> io::Result<Option<Link>> {
    let question = Message::new(libc::RTM_GETLINK, 0, &about(0, false)).text(libc::IFLA_IFNAME, name);
    match socket.get(question) {
        Ok(answers) => Ok(answers.iter().find_map(read)),
        Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(None),
        Err(error) => Err(error),
    }
}

pub(super) fn addresses(socket: &Socket) -> io::Result<Vec<LinkAddress>> {
    let mut fixed = [0; ADDRESS];
    fixed[0] = family();
    let answers = socket.dump(|| Message::new(libc::RTM_GETADDR, 0, &fixed))?;
    Ok(answers.iter().filter_map(read_address).collect())
}

fn family() -> u8 {
    u8::try_from(libc::AF_INET).unwrap_or_default()
}

fn read_address(answer: &Answer) -> Option<LinkAddress> {
    let body = Some(&answer.body).filter(|_| answer.kind == libc::RTM_NEWADDR)?;
    let all: Vec<(u16, &[u8])> = attributes(body.get(ADDRESS..)?).collect();
    // On a point-to-point interface IFA_ADDRESS is the other end's.
    let own = [libc::IFA_LOCAL, libc::IFA_ADDRESS]
        .into_iter()
        .find_map(|wanted| all.iter().find(|a| a.0 == wanted))?;
    let bytes: [u8; 4] = own.1.try_into().ok()?;
    Some(LinkAddress { link: u32_at(body, 4)?, address: bytes.into(), length: *body.get(1)? })
}

fn address_message(kind: u16, flags: i32, link: u32, address: Ipv4Addr, length: u8) -> Message {
    let mut fixed = [0; ADDRESS];
    (fixed[0], fixed[1]) = (family(), length);
    fixed[4..8].copy_from_slice(&link.to_ne_bytes());
    let bytes = address.octets();
    Message::new(kind, flags, &fixed).with(libc::IFA_LOCAL, &bytes).with(libc::IFA_ADDRESS, &bytes)
}

/// A hardware address that follows from the IP address: who remembers it of a pod that is gone is right about the next one
/// that has the address.
fn hardware(address: Ipv4Addr) -> [u8; 6] {
    let [a, b, c, d] = address.octets();
    // The first byte's second bit: given by the machine's own administration, not by a maker.
    [0x0a, 0x6f, a, b, c, d]
}

pub(super) fn set_bridge(socket: &Socket, bridge: &Bridge) -> io::Result<()> {
    let found = match named(socket, &bridge.name)? {
        Some(found) if found.kind != "bridge" => {
            return Err(io::Error::other(format!(
                "there is an interface of that name that is no bridge but {:?}; remove it (ip link delete {})",
                found.kind, bridge.name
            )));
        }
        Some(found) => found,
        None => {
            let new = Message::new(libc::RTM_NEWLINK, NEW, &about(0, false))
                .text(libc::IFLA_IFNAME, &bridge.name)
                .with(libc::IFLA_ADDRESS, &hardware(bridge.address))
                .nest(libc::IFLA_LINKINFO, &[], |info| info.with(libc::IFLA_INFO_KIND, b"bridge"));
            socket.change(new)?;
            named(socket, &bridge.name)?.ok_or_else(|| io::Error::other("it vanished"))?
        }
    };
    let set = Message::new(libc::RTM_NEWLINK, 0, &about(found.index, true))
        .text(libc::IFLA_IFALIAS, &bridge.alias)
        .with(libc::IFLA_MTU, &bridge.mtu.to_ne_bytes());
    socket.change(set)?;
    let wanted = LinkAddress { link: found.index, address: bridge.address, length: bridge.length };
    let has: Vec<_> = addresses(socket)?.into_iter().filter(|a| a.link == found.index).collect();
    for old in has.iter().filter(|a| **a != wanted) {
        socket.change(address_message(libc::RTM_DELADDR, 0, old.link, old.address, old.length))?;
    }
    if has.contains(&wanted) {
        return Ok(());
    }
    socket.change(address_message(libc::RTM_NEWADDR, NEW, found.index, bridge.address, bridge.length))
}

pub(super) fn connect(socket: &Socket, cable: &Cable) -> io::Result<()> {
    let missing = || io::Error::other(format!("the bridge {} is not there", cable.bridge));
    let bridge = named(socket, &cable.bridge)?.ok_or_else(missing)?.index;
    if let Some(found) = named(socket, &cable.name)? {
        if found.alias == cable.alias && found.up && found.bridge == Some(bridge) {
            return Ok(());
        }
        remove(socket, &cable.name)?;
    }
    let namespace = File::open(&cable.namespace)?;
    let mtu = cable.mtu.to_ne_bytes();
    let pair = Message::new(libc::RTM_NEWLINK, NEW, &about(0, false))
        .text(libc::IFLA_IFNAME, &cable.name)
        .with(libc::IFLA_MTU, &mtu)
        .with(libc::IFLA_MASTER, &bridge.to_ne_bytes())
        .nest(libc::IFLA_LINKINFO, &[], |info| {
            info.with(libc::IFLA_INFO_KIND, b"veth").nest(libc::IFLA_INFO_DATA, &[], |data| {
                data.nest(VETH_INFO_PEER, &about(0, false), |peer| {
                    peer.text(libc::IFLA_IFNAME, POD_END)
                        .with(libc::IFLA_MTU, &mtu)
                        .with(libc::IFLA_ADDRESS, &hardware(cable.address))
                        .with(libc::IFLA_NET_NS_FD, &namespace.as_raw_fd().to_ne_bytes())
                })
            })
        });
    socket.change(pair)?;
    set_pod_end(cable)?;
    let index = named(socket, &cable.name)?.ok_or_else(|| io::Error::other("it vanished"))?.index;
    let complete =
        Message::new(libc::RTM_NEWLINK, 0, &about(index, true)).text(libc::IFLA_IFALIAS, &cable.alias);
    socket.change(complete)
}

/// VETH_INFO_PEER (linux/veth.h).
const VETH_INFO_PEER: u16 = 1;

/// Address, switch, and the way out, in the pod's namespace.
fn set_pod_end(cable: &Cable) -> io::Result<()> {
    let socket = Socket::open_in(&cable.namespace)?;
    let end = named(&socket, POD_END)?.ok_or_else(|| io::Error::other("the pod's end is not there"))?;
    socket.change(address_message(libc::RTM_NEWADDR, NEW, end.index, cable.address, cable.length))?;
    socket.change(Message::new(libc::RTM_NEWLINK, 0, &about(end.index, true)))?;
    socket.change(super::routes::default_message(cable.gateway))
}

pub(super) fn remove(socket: &Socket, name: &str) -> io::Result<()> {
    let gone = Message::new(libc::RTM_DELLINK, 0, &about(0, false)).text(libc::IFLA_IFNAME, name);
    match socket.change(gone) {
        Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(()),
        outcome => outcome,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_without_its_fixed_part_is_no_interface() {
        for body in [vec![], vec![0; 15]] {
            assert_eq!(read(&Answer { kind: libc::RTM_NEWLINK, body }), None);
        }
        assert_eq!(read(&Answer { kind: libc::RTM_NEWADDR, body: vec![0; 16] }), None);
    }
}
