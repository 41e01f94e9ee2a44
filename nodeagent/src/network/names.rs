//! What this instance's interfaces are called, and what their descriptions say. Pure.
//!
//! A name has at most 15 characters. Every name of ours begins with `o` or `orlop-` and the instance, so that another Orlop's
//! are never taken for ours.

use std::net::Ipv4Addr;

use orlop_backends::host::network::Link;
use sha2::{Digest, Sha256};

use crate::paths::hex;

/// The bridge of an instance.
pub fn bridge(instance: &str) -> String {
    format!("orlop-{instance}")
}

/// The node's end of a pod's cable.
pub fn cable(instance: &str, pod: &str) -> String {
    let mut digits = hex(&Sha256::digest(pod.as_bytes()));
    digits.truncate(6);
    format!("o{instance}{digits}")
}

/// What the description of a pod's cable says.
pub fn description(instance: &str, pod: &str, address: Ipv4Addr) -> String {
    format!("orlop {instance} pod {pod} {address}")
}

/// The pod and the address that a link of this instance is for.
pub fn described(instance: &str, link: &Link) -> Option<(String, Ipv4Addr)> {
    let rest = link.alias.strip_prefix(&format!("orlop {instance} pod "))?;
    let (pod, address) = rest.split_once(' ')?;
    Some((pod.to_owned(), address.parse().ok()?))
}

/// Whether an interface of this name is this instance's.
pub fn is_ours(instance: &str, name: &str) -> bool {
    let digits = name.strip_prefix(&format!("o{instance}"));
    name == bridge(instance)
        || digits.is_some_and(|d| d.len() == 6 && d.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// The instance as a number: the metric of its routes.
pub fn number(instance: &str) -> u32 {
    u32::from_str_radix(instance, 16).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_and_are_known_again() {
        let (bridge, cable) = (bridge("0123abcd"), cable("0123abcd", "a-uid"));
        assert!(bridge.len() <= 15 && cable.len() <= 15, "{bridge} {cable}");
        let rows = [
            (bridge.as_str(), true),
            (&cable, true),
            ("orlop-0123abce", false),
            ("o0123abcdxyzxyz", false),
            ("o0123abcd12345", false),
            ("eth0", false),
        ];
        for (name, ours) in rows {
            assert_eq!(is_ours("0123abcd", name), ours, "{name}");
        }
    }

    #[test]
    fn descriptions_are_read_again() {
        let address = Ipv4Addr::new(10, 1, 2, 3);
        let link = |alias: String| Link {
            index: 3,
            name: "n".into(),
            alias,
            up: true,
            bridge: None,
            mtu: 1500,
            kind: "veth".into(),
        };
        let own = link(description("0123abcd", "a-uid", address));
        assert_eq!(described("0123abcd", &own), Some(("a-uid".to_owned(), address)));
        assert_eq!(described("00000000", &own), None);
        for alias in ["", "orlop 0123abcd pod u", "orlop 0123abcd pod u 10.1.2"] {
            assert_eq!(described("0123abcd", &link(alias.into())), None, "{alias:?}");
        }
    }
}
