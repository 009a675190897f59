//! The cache key: one type, so that an edge and a worker that writes back make the same key.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// What selects a stored response (RFC 9111 section 2), before `Vary` is looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyParts<'a> {
    /// `https` or `http`.
    pub scheme: &'a str,
    /// Lower case, with a port only if it is not the scheme's default.
    pub host: &'a str,
    /// The path as it goes upstream.
    pub path: &'a str,
    /// The normalised query.
    pub query: &'a str,
    /// The resolved scope, empty for what anyone may read. Never a credential.
    pub scope_key: &'a str,
    /// The contract epoch and, where they differ, the release partition.
    pub epoch: &'a str,
}

/// An opaque, cheap to clone cache key.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CacheKey(Arc<str>);

// === impl CacheKey ===

impl CacheKey {
    /// Joins the parts with a byte that none of them can hold.
    pub fn new(parts: &KeyParts<'_>) -> Self {
        let KeyParts { scheme, host, path, query, scope_key, epoch } = parts;
        Self([*scheme, *host, *path, *query, *scope_key, *epoch].join("\n").into())
    }

    /// Returns the key of one variant of this response, selected by the fields `Vary` names.
    pub fn variant(&self, selecting_fields: &str) -> Self {
        Self([&*self.0, selecting_fields].join("\n").into())
    }

    /// Returns the key's bytes, for weighing and hashing.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for CacheKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.replace('\n', " "))
    }
}
