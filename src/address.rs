//! By which names and addresses this machine is reached. Looks, and changes nothing.

use std::net::{IpAddr, SocketAddr};

/// All addresses under which a server that listens on `listen` is reached, but for loopback.
pub(crate) fn served(listen: IpAddr) -> nix::Result<Vec<IpAddr>> {
    if !listen.is_unspecified() {
        return Ok(if listen.is_loopback() { Vec::new() } else { vec![listen] });
    }
    let interfaces = nix::ifaddrs::getifaddrs()?;
    let mut all: Vec<IpAddr> = interfaces.filter_map(|interface| of(interface.address?)).collect();
    all.sort();
    all.dedup();
    Ok(all)
}

fn of(address: nix::sys::socket::SockaddrStorage) -> Option<IpAddr> {
    let v4 = address.as_sockaddr_in().map(|a| IpAddr::from(a.ip()));
    let v6 =
        address.as_sockaddr_in6().map(|a| a.ip()).filter(|a| !a.is_unicast_link_local()).map(IpAddr::from);
    v4.or(v6).filter(|address| !address.is_loopback())
}

/// The host's own name, where it is one that a certificate can carry.
pub(crate) fn host_name() -> Option<String> {
    let name = nix::unistd::gethostname().ok()?.to_string_lossy().to_lowercase();
    orlop_objects::names::dns_subdomain(&name).is_none().then_some(name)
}

/// What others are told: `name` where there is one, else the address that is listened on, else the one by which this
/// machine speaks to others.
pub(crate) fn shown(listen: SocketAddr, name: Option<&str>) -> String {
    match name {
        Some(name) if name.contains(':') => format!("[{name}]:{}", listen.port()),
        Some(name) => format!("{name}:{}", listen.port()),
        None if !listen.ip().is_unspecified() => listen.to_string(),
        None => SocketAddr::new(orlop_nodeagent::own_address(None), listen.port()).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_are_told_what_reaches() {
        let listen = |text: &str| text.parse().expect("an address");
        assert_eq!(shown(listen("10.0.0.1:6443"), None), "10.0.0.1:6443");
        assert_eq!(shown(listen("0.0.0.0:6443"), Some("server")), "server:6443");
        assert_eq!(shown(listen("[::]:6443"), Some("fd00::1")), "[fd00::1]:6443");
        assert!(shown(listen("0.0.0.0:6443"), None).ends_with(":6443"));
        assert_eq!(served("127.0.0.1".parse().expect("an address")), Ok(Vec::new()));
    }
}
