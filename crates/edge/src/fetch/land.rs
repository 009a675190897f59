//! Stores what was fetched, unless something else happened to its key meanwhile.

use std::sync::Arc;

use tidegate_core::cache_key::CacheKey;

use super::{Landing, Lookup};
use crate::cache::collapse::Permit;
use crate::cache::status::Storing;
use crate::cache::storage::{Put, StoredResponse};
use crate::edge::Edge;

/// What is there once a fetched response was to be stored.
pub(super) struct Landed {
    pub(super) response: Arc<StoredResponse>,
    pub(super) storing: Storing,
    pub(super) reach: Reach,
}

/// For whom a response is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    Everyone,
    /// Whoever asked before its key was invalidated.
    Asker,
    /// Something newer is known by now.
    Nobody,
}

/// Stores a response, unless its key was invalidated while it was fetched, or something newer was
/// written back.
pub(super) fn store(
    edge: &Edge,
    lookup: &Lookup,
    response: Arc<StoredResponse>,
    permit: &Permit<CacheKey, Landing>,
) -> Landed {
    let put = edge.cache.storage.store(&lookup.key, &response);
    let (response, storing, reach) = match put {
        // Looked at after storing: an invalidation spoils first and removes then, so that one of
        // both sees the other.
        Put::Stored if permit.is_spoiled() => {
            edge.cache.storage.remove(&lookup.key);
            (response, Storing::NotStored, Reach::Asker)
        }
        Put::Stored => (response, Storing::Stored, Reach::Everyone),
        Put::Kept(newer) if newer.links.is_doubted() => {
            (response, Storing::NotStored, Reach::Nobody)
        }
        Put::Kept(newer) => (newer, Storing::NotStored, Reach::Everyone),
    };
    let reach = if edge.cache.tags.is_purged(&response.links) { Reach::Nobody } else { reach };
    Landed { response, storing, reach }
}
