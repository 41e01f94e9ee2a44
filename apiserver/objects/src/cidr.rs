//! Ranges of IPv4 addresses (`10.1.2.0/24`): what pods of a node get their addresses from. Pure.

use std::{fmt, net::Ipv4Addr, str::FromStr};

/// A range: a network and the length of its prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cidr {
    base: u32,
    length: u8,
}

/// A text that is no range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no range of IPv4 addresses such as 10.1.0.0/16")]
pub struct CidrError(String);

impl Cidr {
    /// 10.0.0.0/8: where pods' addresses are where nobody has chosen anything else.
    pub const PODS: Self = Self { base: 10 << 24, length: 8 };

    /// The range of that prefix length that holds `address`; `None` for a length over 32.
    pub fn around(address: Ipv4Addr, length: u8) -> Option<Self> {
        let mask = mask(length)?;
        Some(Self { base: address.to_bits() & mask, length })
    }

    /// Its first address.
    pub fn network(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.base)
    }

    /// The length of its prefix.
    pub fn length(&self) -> u8 {
        self.length
    }

    /// How many addresses it has, the first and the last among them.
    pub fn size(&self) -> u64 {
        1 << (32 - u32::from(self.length))
    }

    /// The address `n` places after the first.
    pub fn nth(&self, n: u32) -> Option<Ipv4Addr> {
        (u64::from(n) < self.size()).then(|| Ipv4Addr::from_bits(self.base + n))
    }

    /// Whether the address lies in it.
    pub fn contains(&self, address: Ipv4Addr) -> bool {
        Self::around(address, self.length) == Some(*self)
    }

    /// Whether the two have an address in common.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.contains(other.network()) || other.contains(self.network())
    }

    /// The part of it with the longer prefix `length` that stands `n` parts after the first, wrapping around.
    pub fn part(&self, length: u8, n: u32) -> Option<Self> {
        let bits = u32::from(length.checked_sub(self.length)?);
        let place = u64::from(n) % (1_u64 << bits);
        let offset = u32::try_from(place.checked_shl(u32::from(32_u8.checked_sub(length)?))?).ok()?;
        Some(Self { base: self.base + offset, length })
    }
}

fn mask(length: u8) -> Option<u32> {
    match length {
        0 => Some(0),
        1..=32 => Some(u32::MAX << (32 - u32::from(length))),
        _ => None,
    }
}

impl FromStr for Cidr {
    type Err = CidrError;

    /// Takes a network only: bits behind the prefix are a mistake.
    fn from_str(text: &str) -> Result<Self, CidrError> {
        let parse = || {
            let (address, length) = text.split_once('/')?;
            let address: Ipv4Addr = address.parse().ok()?;
            Self::around(address, length.parse().ok()?).filter(|range| range.network() == address)
        };
        parse().ok_or_else(|| CidrError(text.to_owned()))
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network(), self.length)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn range(text: &str) -> Cidr {
        text.parse().expect(text)
    }

    #[test]
    fn texts() {
        for good in ["0.0.0.0/0", "10.0.0.0/8", "10.1.2.0/24", "10.1.2.3/32"] {
            assert_eq!(range(good).to_string(), good);
        }
        for bad in
            ["", "10.0.0.0", "10.0.0.1/8", "10.0.0.0/33", "10.0.0.0/-1", "fd00::/64", "x/8", "10.0.0/8"]
        {
            assert!(bad.parse::<Cidr>().is_err(), "{bad}");
        }
    }

    #[test]
    fn addresses_and_parts() {
        let net = range("10.1.2.0/24");
        assert_eq!((net.size(), net.nth(1), net.nth(256)), (256, Some(Ipv4Addr::new(10, 1, 2, 1)), None));
        assert!(net.contains(Ipv4Addr::new(10, 1, 2, 255)) && !net.contains(Ipv4Addr::new(10, 1, 3, 0)));
        let all = range("10.0.0.0/8");
        assert_eq!(all, Cidr::PODS);
        assert_eq!(all.part(24, 258).map(|p| p.to_string()).as_deref(), Some("10.1.2.0/24"));
        assert_eq!(all.part(24, 65536), all.part(24, 0));
        assert_eq!(net.part(8, 0), None);
        assert_eq!(net.part(24, 7), Some(net));
        let overlap =
            [("10.0.0.0/8", true), ("10.1.2.128/25", true), ("10.1.3.0/24", false), ("0.0.0.0/0", true)];
        for (other, wanted) in overlap {
            assert_eq!(
                (net.overlaps(&range(other)), range(other).overlaps(&net)),
                (wanted, wanted),
                "{other}"
            );
        }
    }

    proptest! {
        #[test]
        fn a_range_survives_printing_and_holds_its_addresses(bits: u32, length in 0_u8..=32, n: u32) {
            let range = Cidr::around(Ipv4Addr::from_bits(bits), length).expect("a length of at most 32");
            prop_assert_eq!(range.to_string().parse::<Cidr>(), Ok(range));
            prop_assert!(range.contains(Ipv4Addr::from_bits(bits)));
            prop_assert!(range.nth(n).is_none_or(|address| range.contains(address)));
        }
    }
}
