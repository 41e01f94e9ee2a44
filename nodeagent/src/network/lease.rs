//! Which address a new pod gets. Pure.
//!
//! The first and the last address of the range belong to nobody, the second to the node. The search begins behind the one that
//! was given last, so that a pod that is gone is not confused with the next one sooner than need be.

use std::{collections::BTreeSet, net::Ipv4Addr};

use orlop_objects::cidr::Cidr;

/// The node's own address in its pods' range.
pub fn gateway(range: Cidr) -> Option<Ipv4Addr> {
    range.nth(1).filter(|_| range.size() >= 4)
}

/// An address that is not used; `None` when all are.
pub fn free(range: Cidr, used: &BTreeSet<Ipv4Addr>, last: Option<Ipv4Addr>) -> Option<Ipv4Addr> {
    let (first, behind) = (2, u32::try_from(range.size()).ok()?.checked_sub(1)?);
    let from = last
        .filter(|last| range.contains(*last))
        .map_or(first, |last| last.to_bits() - range.network().to_bits() + 1);
    let from = from.clamp(first, behind.max(first));
    let mut places = (from..behind).chain(first..from.min(behind));
    places.find_map(|n| range.nth(n).filter(|address| !used.contains(address)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(text: &str) -> Cidr {
        text.parse().expect(text)
    }

    #[test]
    fn addresses_go_round_and_are_never_given_twice() {
        let small = range("10.1.2.0/29");
        let (mut used, mut last, mut given) = (BTreeSet::new(), None, Vec::new());
        while let Some(address) = free(small, &used, last) {
            assert!(used.insert(address), "{address} was given twice");
            last = Some(address);
            given.push(address.octets()[3]);
        }
        assert_eq!(given, [2, 3, 4, 5, 6]);
        used.remove(&Ipv4Addr::new(10, 1, 2, 3));
        assert_eq!(free(small, &used, last), Some(Ipv4Addr::new(10, 1, 2, 3)));
        assert_eq!(gateway(small), Some(Ipv4Addr::new(10, 1, 2, 1)));
    }

    #[test]
    fn odd_ranges_and_odd_last_ones() {
        let none = BTreeSet::new();
        for tiny in ["10.1.2.0/32", "10.1.2.0/31"] {
            assert_eq!((free(range(tiny), &none, None), gateway(range(tiny))), (None, None), "{tiny}");
        }
        let net = range("10.1.2.0/24");
        let rows = [
            ("10.9.9.9", 2),
            ("10.1.2.0", 2),
            ("10.1.2.1", 2),
            ("10.1.2.2", 3),
            ("10.1.2.254", 2),
            ("10.1.2.255", 2),
        ];
        for (last, wanted) in rows {
            let found = free(net, &none, Some(last.parse().unwrap()));
            assert_eq!(found, Some(Ipv4Addr::new(10, 1, 2, wanted)), "after {last}");
        }
    }
}
