//! What is said about cached responses outside of HTTP: refresh orders on their way to a worker, and
//! updates on their way to every edge.

use serde::{Deserialize, Serialize};

use crate::cache_key::KeyParts;
use crate::clock::Timestamp;
use crate::job::Arm;
use crate::seq::DataSeq;

/// Longest body that is written back, in bytes: a broadcast goes to every process.
pub const MAX_BODY_BYTES: usize = 128 << 10;

/// Path on the api's private listener by which a worker has a response looked at anew.
pub const REFRESH_PATH: &str = "/internal/refresh";

/// What is asked for, apart from where it was asked: with an [`Origin`] it makes a cache key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Resource {
    /// The path as it goes upstream.
    pub path: String,
    /// The normalised query, without its question mark.
    pub query: String,
    /// The resolved scope, empty for what anyone may read. Never a credential.
    pub scope_key: String,
    /// The contract epoch of the route.
    pub epoch: String,
}

/// By which name a response was asked for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Origin {
    /// `https` or `http`.
    pub scheme: String,
    /// Lower case, with a port only if it is not the scheme's default.
    pub host: String,
}

/// Whose response it is: what the api checks before it renders without a credential.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Reader {
    /// The tenant.
    pub tenant: String,
    /// The token's scopes, empty for what anyone may read.
    #[serde(default)]
    pub scopes: Vec<String>,
}

/// Body of a refresh job: an edge served this response stale and wants it looked at anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefreshOrder {
    /// What.
    pub resource: Resource,
    /// Where it is stored.
    pub origin: Origin,
    /// For whom.
    pub reader: Reader,
    /// `ETag` of the stored response.
    pub entity_tag: String,
}

/// How one order of a request to [`REFRESH_PATH`] ended. The request is a JSON array of at most
/// [`MAX_ORDERS`] orders, the answer an array of as many of these, in the same order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefreshOutcome {
    /// The stored response is still right; the edges were told.
    Unchanged,
    /// Another one is right now; the edges were told.
    Changed,
    /// Nobody can ask for this any more, or this reader may not: nothing is to be done.
    Gone,
    /// It could not be looked at now: try again.
    Failed,
}

/// Most orders of one request to [`REFRESH_PATH`].
pub const MAX_ORDERS: usize = 32;

/// A complete response for every edge to store, unless it knows better.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheUpdate {
    /// What.
    pub resource: Resource,
    /// Under which names.
    pub origins: Vec<Origin>,
    /// The snapshot it was rendered from: an edge that holds a newer one keeps it.
    pub seq: DataSeq,
    /// Fields as the api would send them, `Content-Type`, `ETag` and `Surrogate-Key` among them.
    pub fields: Vec<(String, String)>,
    /// The body; representations of endpoints are text.
    pub body: String,
    /// When it was rendered.
    pub rendered_at: Timestamp,
    /// Release that rendered it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
    /// An edge refuses a canary's update to the stable partition.
    #[serde(default)]
    pub arm: Arm,
}

/// How a look at a response ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refreshed {
    /// What.
    pub resource: Resource,
    /// Under which names.
    pub origins: Vec<Origin>,
    /// The snapshot that was looked at.
    pub seq: DataSeq,
    /// When.
    pub looked_at: Timestamp,
    /// What was found.
    pub finding: Finding,
}

/// What a look at a response found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "finding", rename_all = "snake_case")]
pub enum Finding {
    /// The response with this `ETag` is still right: as a 304 with these fields (RFC 9111 section
    /// 4.3.4).
    Unchanged {
        /// The response it is about.
        entity_tag: String,
        /// Fields of the 304.
        fields: Vec<(String, String)>,
    },
    /// Another response is right now: what is stored must be validated before it is reused.
    Changed,
}

// === impl Resource ===

impl Resource {
    /// Returns what a cache key asks for.
    pub fn of(parts: &KeyParts<'_>) -> Self {
        Self {
            path: parts.path.to_owned(),
            query: parts.query.to_owned(),
            scope_key: parts.scope_key.to_owned(),
            epoch: parts.epoch.to_owned(),
        }
    }

    /// Returns the parts of the cache key under one of its names.
    pub fn key_parts<'a>(&'a self, origin: &'a Origin) -> KeyParts<'a> {
        KeyParts {
            scheme: &origin.scheme,
            host: &origin.host,
            path: &self.path,
            query: &self.query,
            scope_key: &self.scope_key,
            epoch: &self.epoch,
        }
    }
}

// === impl Origin ===

impl Origin {
    /// Returns the name under which a cache key asks.
    pub fn of(parts: &KeyParts<'_>) -> Self {
        Self { scheme: parts.scheme.to_owned(), host: parts.host.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_at_an_origin_is_its_key_and_the_other_way_round() {
        let parts = KeyParts {
            scheme: "https",
            host: "a.example",
            path: "/v1/air/worst",
            query: "k=5",
            scope_key: "s",
            epoch: "e",
        };
        assert_eq!(Resource::of(&parts).key_parts(&Origin::of(&parts)), parts);
    }
}
