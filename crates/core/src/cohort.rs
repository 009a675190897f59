//! Cohorts: which share of clients a client belongs to, release by release.
//!
//! The edge decides once and stamps its requests; api and jobs copy the stamps, so that a client's
//! requests and the jobs they cause are all taken by the same release.

use std::net::{IpAddr, Ipv6Addr};

use sha2::{Digest, Sha256};

/// Names the release whose pool takes a request; set by the edge, never by a client.
pub const RELEASE_HEADER: &str = "x-tidegate-release";

/// The client's cohort in basis points; set by the edge, never by a client.
pub const COHORT_HEADER: &str = "x-tidegate-cohort";

/// Number of cohorts: a weight in basis points takes as many of them.
pub const COHORTS: u16 = 10_000;

/// Bits of an IPv6 address that name a client: it owns the rest, and changes it at will.
const CLIENT_BITS_V6: u32 = 64;

/// Returns a client's cohort for a release: the first eight bytes, big-endian, of SHA-256(release ‖
/// 0 ‖ client key) modulo [`COHORTS`]. Another release deals the clients anew.
pub fn cohort(release: &str, client_key: &str) -> u16 {
    let mut hash = Sha256::new();
    hash.update(release.as_bytes());
    hash.update([0]);
    hash.update(client_key.as_bytes());
    let first = hash.finalize().iter().take(8).fold(0, |sum, byte| (sum << 8) | u64::from(*byte));
    u16::try_from(first % u64::from(COHORTS)).expect("a remainder must be below its modulus")
}

/// Returns the key of a client that is known by its address only: the address, for IPv6 that of its
/// /64.
pub fn address_key(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let mask = u128::MAX << CLIENT_BITS_V6;
            Ipv6Addr::from_bits(address.to_bits() & mask).to_string()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cohort_is_what_everyone_computes_alike() {
        // printf 'sha256:aa\0acme-reader' | sha256sum
        assert_eq!(cohort("sha256:aa", "acme-reader"), 2_528);
        assert_eq!(cohort("sha256:bb", "acme-reader"), 8_762);
    }

    #[test]
    fn clients_spread_evenly_and_anew_for_each_release() {
        let below = |release: &str, weight: u16| {
            (0..20_000).filter(|n| cohort(release, &format!("client {n}")) < weight).count()
        };
        for release in ["sha256:aa", "sha256:bb"] {
            let tenth = below(release, COHORTS / 10);
            assert!((1_850..2_150).contains(&tenth), "{tenth}");
            assert_eq!((below(release, 0), below(release, COHORTS)), (0, 20_000));
        }
        let moved = (0..1_000).filter(|n| {
            let client = format!("client {n}");
            cohort("sha256:aa", &client) != cohort("sha256:bb", &client)
        });
        assert!(moved.count() > 990);
    }

    #[test]
    fn a_client_keeps_its_key_while_it_changes_its_interface_identifier() {
        let key = |text: &str| address_key(text.parse().unwrap());
        assert_eq!(key("192.0.2.7"), "192.0.2.7");
        assert_eq!(key("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(key("2001:db8:1:2:9::1"), key("2001:db8:1:2:3:4:5:6"));
        assert_ne!(key("2001:db8:1:3::1"), key("2001:db8:1:2::1"));
    }
}
