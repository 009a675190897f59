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

    /// Returns what the key was made of; nothing for the key of a variant.
    pub fn parts(&self) -> Option<KeyParts<'_>> {
        let mut parts = self.0.split('\n');
        let [scheme, host, path, query, scope_key, epoch] = std::array::from_fn(|_| parts.next());
        if parts.next().is_some() {
            return None;
        }
        Some(KeyParts {
            scheme: scheme?,
            host: host?,
            path: path?,
            query: query?,
            scope_key: scope_key?,
            epoch: epoch?,
        })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_back_as_what_it_was_made_of() {
        let parts = KeyParts {
            scheme: "https",
            host: "a.example",
            path: "/v1/air/cities/oslo",
            query: "",
            scope_key: "",
            epoch: "e1",
        };
        let key = CacheKey::new(&parts);
        assert_eq!(key.parts(), Some(parts));
        assert_eq!(key.variant("de").parts(), None);
    }
}
