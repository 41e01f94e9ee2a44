//! Which ranges of pod addresses an agent proposes for its node. Pure.
//!
//! | range | proposed |
//! |---|---|
//! | the one that this instance's bridge already has, and that overlaps nothing else | first: its pods keep their addresses |
//! | the same, outside of the pool that was named | never: somebody wants another one |
//! | overlaps an address, a route or another node's range | never |
//! | any other of the pool | in an order that the seed gives: two nodes rarely want the same |

use orlop_objects::cidr::Cidr;
use sha2::{Digest, Sha256};

/// Prefix length of a node's range: 253 pods.
const LENGTH: u8 = 24;
/// How many are proposed.
const PROPOSALS: usize = 16;
/// Pools with more ranges are searched by chance, smaller ones wholly.
const WHOLE: u64 = 4096;
/// Where the addresses of Services will be (Kubernetes' usual range).
const SERVICES: &str = "10.96.0.0/12";

/// Ranges of `pool` (by default 10.0.0.0/8) to propose, the best first; `own` is what the bridge has.
pub fn proposals(named: Option<Cidr>, seed: &str, own: Option<Cidr>, taken: &[Cidr]) -> Vec<Cidr> {
    let pool = named.unwrap_or(Cidr::PODS);
    let services: Option<Cidr> =
        SERVICES.parse().ok().filter(|s: &Cidr| !s.overlaps(&pool) || s.size() < pool.size());
    let free = |range: &Cidr| !taken.iter().chain(&services).any(|other| other.overlaps(range));
    let length = LENGTH.max(pool.length());
    let parts = 1_u64 << (length - pool.length());
    let begin = chance(seed, 0);
    let tries = u32::try_from(parts.min(WHOLE)).unwrap_or(u32::MAX);
    let place = |n: u32| if parts <= WHOLE { begin.wrapping_add(n) } else { chance(seed, n) };
    let is_kept = |own: &Cidr| {
        let is_named = named.is_none_or(|named| named.overlaps(own) && named.length() <= own.length());
        is_named && !taken.iter().any(|other| other != own && other.overlaps(own))
    };
    let mut found: Vec<Cidr> = own.into_iter().filter(is_kept).collect();
    for range in (0..tries).filter_map(|n| pool.part(length, place(n))) {
        if found.len() >= PROPOSALS {
            break;
        }
        if free(&range) && !found.contains(&range) {
            found.push(range);
        }
    }
    found
}

fn chance(seed: &str, n: u32) -> u32 {
    let digest = Sha256::digest(format!("{seed}/{n}").as_bytes());
    digest.first_chunk().copied().map_or(0, u32::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(text: &str) -> Cidr {
        text.parse().expect(text)
    }

    #[test]
    fn a_large_pool_is_drawn_from_by_chance() {
        let pool = range("10.0.0.0/8");
        let one = proposals(None, "0123abcd/n1", None, &[]);
        assert_eq!(one.len(), PROPOSALS);
        assert!(
            one.iter().all(|r| r.length() == 24 && pool.overlaps(r) && !range(SERVICES).overlaps(r)),
            "{one:?}"
        );
        assert_eq!(one, proposals(None, "0123abcd/n1", None, &[]), "the same each time");
        assert_ne!(one[0], proposals(Some(pool), "0123abcd/n2", None, &[])[0]);
        let rest = proposals(Some(pool), "0123abcd/n1", None, &one[..1]);
        assert_eq!(rest[0], one[1]);
    }

    #[test]
    fn a_small_pool_is_used_to_the_last_range() {
        let pool = range("10.5.0.0/22");
        let taken = [range("10.5.0.0/24"), range("10.5.2.7/32"), range("192.0.2.0/24")];
        let mut found = proposals(Some(pool), "seed", None, &taken);
        found.sort();
        assert_eq!(found, [range("10.5.1.0/24"), range("10.5.3.0/24")]);
        assert_eq!(proposals(Some(pool), "seed", None, &[pool]), []);
        assert_eq!(proposals(Some(range("10.5.1.128/26")), "seed", None, &[]), [range("10.5.1.128/26")]);
        assert_eq!(
            proposals(Some(range("10.96.0.0/16")), "seed", None, &[]).len(),
            PROPOSALS,
            "asked for by name"
        );
    }

    #[test]
    fn what_the_bridge_has_comes_first() {
        let own = range("172.30.1.0/24");
        let found = proposals(None, "seed", Some(own), &[own]);
        assert_eq!((found[0], found.len()), (own, PROPOSALS));
        let elsewhere = proposals(Some(range("10.7.0.0/16")), "seed", Some(own), &[]);
        assert!(elsewhere.len() == PROPOSALS && !elsewhere.contains(&own), "another pool was named");
        let within = proposals(Some(range("172.30.0.0/16")), "seed", Some(own), &[]);
        assert_eq!(within[0], own);
        let taken = proposals(None, "seed", Some(own), &[own, range("172.30.0.0/16")]);
        assert!(!taken.contains(&own), "somebody else's network is around it");
    }
}
