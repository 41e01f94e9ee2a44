//! IPv4 routes of the main table. Ours are known by their protocol, and by their metric, which is the instance: two Orlops may
//! have routes to the same range, and each sees its own.

use std::{io, net::Ipv4Addr};

use nix::libc;
use orlop_objects::cidr::Cidr;

use super::netlink::{Answer, Message, Socket, attributes, u32_at};
use crate::host::network::Route;

/// Who made a route, among those whom nobody has given a number (rtnetlink(7): above RTPROT_STATIC is for daemons).
const PROTOCOL: u8 = 79;
/// Length of the fixed part (struct rtmsg).
const ROUTE: usize = 12;

fn fixed(to: Cidr, protocol: u8) -> [u8; ROUTE] {
    let mut fixed = [0; ROUTE];
    fixed[0] = u8::try_from(libc::AF_INET).unwrap_or_default();
    fixed[1] = to.length();
    fixed[4] = libc::RT_TABLE_MAIN;
    fixed[5] = protocol;
    fixed[6] = libc::RT_SCOPE_UNIVERSE;
    fixed[7] = libc::RTN_UNICAST;
    fixed
}

/// The message that makes a gateway the way to everything.
pub(super) fn default_message(gateway: Ipv4Addr) -> Message {
    let everywhere = Cidr::around(Ipv4Addr::UNSPECIFIED, 0).map_or([0; ROUTE], |all| fixed(all, PROTOCOL));
    Message::new(libc::RTM_NEWROUTE, libc::NLM_F_CREATE | libc::NLM_F_EXCL, &everywhere)
        .with(libc::RTA_GATEWAY, &gateway.octets())
}

fn message(kind: u16, flags: i32, route: &Route) -> Message {
    let mut message = Message::new(kind, flags, &fixed(route.to, PROTOCOL))
        .with(libc::RTA_DST, &route.to.network().octets())
        .with(libc::RTA_PRIORITY, &route.instance.unwrap_or_default().to_ne_bytes());
    if let Some(via) = route.via {
        message = message.with(libc::RTA_GATEWAY, &via.octets());
    }
    message
}

pub(super) fn add(socket: &Socket, route: &Route) -> io::Result<()> {
    let flags = libc::NLM_F_CREATE | libc::NLM_F_REPLACE;
    socket.change(message(libc::RTM_NEWROUTE, flags, route)).map_err(|error| {
        match (error.raw_os_error(), route.via) {
            (Some(libc::ENETUNREACH | libc::EHOSTUNREACH), Some(via)) => io::Error::new(
                error.kind(),
                format!("{error}: {via} is not on a network segment of this machine; nodes must share one"),
            ),
            _ => error,
        }
    })
}

pub(super) fn remove(socket: &Socket, route: &Route) -> io::Result<()> {
    match socket.change(message(libc::RTM_DELROUTE, 0, route)) {
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(()),
        outcome => outcome,
    }
}

pub(super) fn all(socket: &Socket) -> io::Result<Vec<Route>> {
    let mut question = [0; ROUTE];
    question[0] = u8::try_from(libc::AF_INET).unwrap_or_default();
    let answers = socket.dump(|| Message::new(libc::RTM_GETROUTE, 0, &question))?;
    Ok(answers.iter().filter_map(read).collect())
}

/// What an answer says of a route to other machines.
fn read(answer: &Answer) -> Option<Route> {
    let body = Some(&answer.body).filter(|_| answer.kind == libc::RTM_NEWROUTE)?;
    let [_, length, _, _, table, protocol, _, kind] = *body.first_chunk()?;
    let (mut to, mut via, mut link, mut metric) = (Ipv4Addr::UNSPECIFIED, None, None, None);
    let mut of_table = u32::from(table);
    for (kind, value) in attributes(body.get(ROUTE..)?) {
        let address = || <[u8; 4]>::try_from(value).ok().map(Ipv4Addr::from);
        match kind {
            libc::RTA_DST => to = address()?,
            libc::RTA_GATEWAY => via = address(),
            libc::RTA_OIF => link = u32_at(value, 0),
            libc::RTA_PRIORITY => metric = u32_at(value, 0),
            libc::RTA_TABLE => of_table = u32_at(value, 0)?,
            _ => {}
        }
    }
    let ours = of_table == u32::from(libc::RT_TABLE_MAIN) && kind == libc::RTN_UNICAST;
    let to = Cidr::around(to, length).filter(|_| ours)?;
    Some(Route { to, via, link, instance: metric.filter(|_| protocol == PROTOCOL) })
}
