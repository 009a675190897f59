//! How an edge learns whose response a credential may read, without verifying credentials itself.

use std::fmt::Write as _;

use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Path on the api's private listener; the credential travels in `Authorization`.
pub const PATH: &str = "/internal/scope";

/// Answer of [`PATH`] for a credential that is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResolvedScope {
    /// Equal for credentials that may read the same responses.
    pub scope_key: String,
    /// The token's tenant.
    pub tenant: String,
    /// The token's name: the client key of cohorts and rate limits.
    pub subject: String,
    /// What it may do, such as `read:air`.
    pub scopes: Vec<String>,
    /// How long the edge may rely on this answer, in milliseconds.
    pub lifetime_ms: u64,
}

/// Returns `HMAC(tenant, scopes, row filter)` as hex: a cache partition that tells nothing about
/// the token. Scopes are taken as a set.
pub fn scope_key(secret: &[u8], tenant: &str, scopes: &[String], row_filter: &str) -> String {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret).expect("HMAC must take a key of any length");
    let mut scopes: Vec<&str> = scopes.iter().map(String::as_str).collect();
    scopes.sort_unstable();
    scopes.dedup();
    for part in [&[tenant, row_filter], scopes.as_slice()].concat() {
        mac.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        mac.update(part.as_bytes());
    }
    hex(mac.finalize().into_bytes().get(..16).unwrap_or_default())
}

/// Stands for every product in a scope.
const ANY: &str = "*";

/// Administration of a product; includes reading and writing.
const ADMIN: &str = "admin";

/// Returns whether a scope such as `read:air`, `write:*` or `admin:air` allows `action` on `product`.
pub fn grants(scope: &str, action: &str, product: &str) -> bool {
    scope
        .split_once(':')
        .is_some_and(|(granted, of)| (granted == action || granted == ADMIN) && covers(of, product))
}

/// Returns whether a scope allows anything at all on `product`.
pub fn knows(scope: &str, product: &str) -> bool {
    scope.split_once(':').is_some_and(|(_, of)| covers(of, product))
}

fn covers(of: &str, product: &str) -> bool {
    of == ANY || of == product
}

/// Returns the SHA-256 of a credential as hex: the only form in which one is kept or broadcast.
pub fn credential_digest(credential: &str) -> String {
    hex(&Sha256::digest(credential.as_bytes()))
}

/// Writes bytes as lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string does not fail.
        write!(text, "{byte:02x}").ok();
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(scope: &str, needed: &str, expected: bool) {
        let (action, product) = needed.split_once(':').unwrap();
        assert_eq!(grants(scope, action, product), expected, "{scope} for {needed}");
    }

    #[test]
    fn a_scope_grants_its_action_on_its_product() {
        check("read:air", "read:air", true);
        check("read:air", "write:air", false);
        check("read:air", "read:shop", false);
        check("read:air", "read:airport", false);
        check("read:*", "read:shop", true);
        check("read:*", "write:shop", false);
    }

    #[test]
    fn admin_reads_and_writes() {
        check("admin:air", "read:air", true);
        check("admin:air", "write:air", true);
        check("admin:air", "write:shop", false);
        check("admin:*", "write:shop", true);
    }

    #[test]
    fn a_malformed_scope_grants_nothing() {
        for scope in ["", "*", "read", "air", ":air", "read:"] {
            check(scope, "read:air", false);
        }
    }

    #[test]
    fn the_order_of_scopes_does_not_matter_but_their_borders_do() {
        let key = |scopes: &[&str]| {
            let scopes: Vec<String> = scopes.iter().map(|s| (*s).to_owned()).collect();
            scope_key(b"secret", "acme", &scopes, "")
        };
        assert_eq!(key(&["read:air", "write:air"]), key(&["write:air", "read:air", "read:air"]));
        assert_ne!(key(&["ab", "c"]), key(&["a", "bc"]));
    }
}
