//! Pods' network on this machine: [`LinuxNetwork`] carries out [`Network`] by netlink, one file of `/proc/sys`, and the
//! program `iptables` where there is one.
//!
//! ```text
//!   pod A: eth0 ══ cable ══╗                      ╔══ cable ══ eth0: pod B
//!                          ╚═ bridge (gateway) ═══╝
//!                                   │ routes, passed on by this machine
//!                        other nodes' ranges, and beyond
//! ```
//!
//! A cable is complete when its end at the bridge has its description and is switched on: that comes last, so that half of
//! one is recognised. Owns: how it is done. Must not know: which pod gets which address.

mod firewall;
mod links;
mod netlink;
mod routes;
#[cfg(test)]
mod tests;

use std::{io, path::Path};

use super::failed;
use crate::host::{
    Result,
    network::{Bridge, Cable, Link, LinkAddress, Network, Passage, Route},
};
use netlink::Socket;

/// The network of the machine that this process runs on.
#[derive(Clone, Copy, Debug, Default)]
pub struct LinuxNetwork;

/// Opens a conversation for an operation on an object, and names both when something fails.
fn with<T>(operation: &'static str, object: &str, talk: impl FnOnce(&Socket) -> io::Result<T>) -> Result<T> {
    Socket::open().and_then(|socket| talk(&socket)).map_err(failed(operation, Path::new(object)))
}

impl Network for LinuxNetwork {
    fn links(&self) -> Result<Vec<Link>> {
        with("list interfaces", "*", links::all)
    }

    fn link(&self, name: &str) -> Result<Option<Link>> {
        with("look at interface", name, |socket| links::named(socket, name))
    }

    fn addresses(&self) -> Result<Vec<LinkAddress>> {
        with("list addresses", "*", links::addresses)
    }

    fn routes(&self) -> Result<Vec<Route>> {
        with("list routes", "*", routes::all)
    }

    fn set_bridge(&self, bridge: &Bridge) -> Result<()> {
        with("set up bridge", &bridge.name, |socket| links::set_bridge(socket, bridge))
    }

    fn connect(&self, cable: &Cable) -> Result<()> {
        with("connect a pod by", &cable.name, |socket| links::connect(socket, cable))
    }

    fn remove_link(&self, name: &str) -> Result<()> {
        with("remove interface", name, |socket| links::remove(socket, name))
    }

    fn add_route(&self, route: &Route) -> Result<()> {
        with("add route to", &route.to.to_string(), |socket| routes::add(socket, route))
    }

    fn remove_route(&self, route: &Route) -> Result<()> {
        with("remove route to", &route.to.to_string(), |socket| routes::remove(socket, route))
    }

    fn open_passage(&self, passage: &Passage) -> Result<Vec<String>> {
        Ok(firewall::open(passage))
    }

    fn close_passage(&self, mark: &str) -> Result<()> {
        firewall::close(mark)
    }
}
