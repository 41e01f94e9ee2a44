//! What this machine is: read from `/proc`, `/etc` and the kernel, once at start. Changes nothing.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
};

use crate::{Calls, error::Error, machine::Machine};

/// Pods on one node, as kubelet's default has it.
const PODS: u32 = 110;

/// What this machine is.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) address: String,
    /// Where the server's calls come in; none where they come by a socket.
    pub(crate) port: Option<u16>,
    pub(crate) hostname: String,
    pub(crate) architecture: &'static str,
    pub(crate) kernel: String,
    pub(crate) os_image: String,
    pub(crate) machine_id: String,
    pub(crate) boot_id: String,
    pub(crate) cpus: usize,
    pub(crate) memory_kib: u64,
    pub(crate) storage: u64,
    pub(crate) pods: u32,
}

impl Facts {
    /// Looks at the machine. Blocks.
    pub(crate) fn look(machine: &Machine) -> Result<Self, Error> {
        let uname = rustix::system::uname();
        let word = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
        let line = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
        Ok(Self {
            address: own_address(None).to_string(),
            port: None,
            hostname: word(uname.nodename()),
            architecture: match std::env::consts::ARCH {
                "x86_64" => "amd64",
                "aarch64" => "arm64",
                other => other,
            },
            kernel: word(uname.release()),
            os_image: os_image(&line("/etc/os-release")),
            machine_id: line("/etc/machine-id"),
            boot_id: machine.runtime.boot_id()?,
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
            memory_kib: memory_kib(&line("/proc/meminfo")),
            storage: machine.host.space(machine.layout.data()).map_or(0, |s| s.total),
            pods: PODS,
        })
    }
}

impl Facts {
    /// Where this node is reached: at the address that it was given, and by the server where its calls come in.
    pub(crate) fn reach_at(&mut self, address: Option<IpAddr>, calls: &Calls) {
        if let Some(address) = address {
            self.address = address.to_string();
        }
        if let Calls::Tls(answering) = calls {
            self.port = answering.listener.local_addr().ok().map(|at| at.port());
        }
    }
}

/// The address from which this machine speaks to `other`, or to the world where none is given; its loopback where it has
/// no route. Sends nothing.
pub fn own_address(other: Option<SocketAddr>) -> IpAddr {
    // A UDP socket is only given its route; 192.0.2.0/24 is for documentation (RFC 5737).
    let other = other.unwrap_or(SocketAddr::from(([192, 0, 2, 1], 9)));
    let any: IpAddr =
        if other.is_ipv6() { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
    let ask = || -> std::io::Result<IpAddr> {
        let socket = UdpSocket::bind((any, 0))?;
        socket.connect(other)?;
        Ok(socket.local_addr()?.ip())
    };
    ask().unwrap_or(Ipv4Addr::LOCALHOST.into())
}

fn os_image(os_release: &str) -> String {
    let name = os_release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.map_or_else(|| "Linux".to_owned(), |name| name.trim_matches('"').to_owned())
}

fn memory_kib(meminfo: &str) -> u64 {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_the_system_are_understood() {
        assert_eq!(
            os_image("ID=debian\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n"),
            "Debian GNU/Linux 12 (bookworm)"
        );
        assert_eq!(os_image(""), "Linux");
        assert_eq!(memory_kib("MemTotal:        8025532 kB\nMemFree: 1 kB\n"), 8_025_532);
    }
}
