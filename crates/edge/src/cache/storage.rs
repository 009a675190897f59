//! Bounded storage: which responses are kept. Whether they may be reused is decided elsewhere.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use moka::ops::compute::Op;
use moka::sync::Cache;
use tidegate_core::cache_key::CacheKey;
use tidegate_core::clock::Timestamp;

use super::freshness::Metadata;
use super::tags::Links;
use super::vary::Selecting;
use crate::hot::Requests;

/// Most variants kept for one key: a field with many values must not fill the cache.
const MAX_VARIANTS: usize = 16;

/// How long requests for a key whose response could not be stored don't wait for each other.
const UNSTORABLE_FOR: Duration = Duration::from_secs(10);

/// Bytes one key takes beside its text: table entry, eviction queues, counters.
const ENTRY_OVERHEAD: usize = 320;

/// Bytes one field takes beside its text.
const FIELD_OVERHEAD: usize = 104;

/// A complete response.
#[derive(Debug)]
pub(crate) struct StoredResponse {
    pub(crate) status: StatusCode,
    /// As delivered, but for `Age`, `Cache-Status` and framing.
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) metadata: Metadata,
    pub(crate) selecting: Selecting,
    pub(crate) links: Links,
    /// Counts requests for it; see [`crate::hot`].
    pub(crate) requests: Arc<Requests>,
}

/// What became of a response that was to be stored.
#[derive(Debug)]
pub(crate) enum Put {
    Stored,
    /// Something is stored that it would be a step back from.
    Kept(Arc<StoredResponse>),
}

/// What is kept for one key.
#[derive(Clone)]
enum Slot {
    /// Variants, the one stored last first.
    Responses(Arc<[Arc<StoredResponse>]>),
    /// The last response could not be stored.
    Unstorable { until: Timestamp },
}

/// What a lookup finds.
#[derive(Debug)]
pub(crate) enum Found {
    Response(Arc<StoredResponse>),
    /// Nothing for this key.
    UriMiss,
    /// Only variants for other requests.
    VaryMiss,
    /// Nothing, and nothing to wait for.
    Unstorable,
}

/// All stored responses of this edge.
pub(crate) struct Storage {
    slots: Cache<CacheKey, Slot>,
}

// === impl StoredResponse ===

impl StoredResponse {
    fn weight(&self) -> usize {
        let fields = self.headers.iter();
        let fields: usize =
            fields.map(|(name, value)| name.as_str().len() + value.len() + FIELD_OVERHEAD).sum();
        let own = size_of::<Self>() + size_of::<Requests>();
        own + fields + self.body.len() + self.selecting.weight() + self.links.weight()
    }
}

// === impl Storage ===

impl Storage {
    pub(crate) fn new(capacity_bytes: u64) -> Self {
        let weigher = |key: &CacheKey, slot: &Slot| {
            let responses = match slot {
                Slot::Responses(responses) => responses.iter().map(|kept| kept.weight()).sum(),
                Slot::Unstorable { .. } => 0,
            };
            let weight = key.as_str().len() + ENTRY_OVERHEAD + responses;
            u32::try_from(weight).unwrap_or(u32::MAX)
        };
        Self { slots: Cache::builder().max_capacity(capacity_bytes).weigher(weigher).build() }
    }

    /// Finds the stored response for a request. If several match, as they name different fields in
    /// `Vary`, the one stored last is used (RFC 9111 section 4.1).
    pub(crate) fn find(&self, key: &CacheKey, request: &HeaderMap, now: Timestamp) -> Found {
        match self.slots.get(key) {
            None => Found::UriMiss,
            Some(Slot::Unstorable { until }) if now < until => Found::Unstorable,
            Some(Slot::Unstorable { .. }) => Found::UriMiss,
            Some(Slot::Responses(responses)) => {
                let matching = responses.iter().find(|kept| kept.selecting.matches(request));
                matching.map_or(Found::VaryMiss, |kept| Found::Response(Arc::clone(kept)))
            }
        }
    }

    /// Stores a response that was fetched in place of the one for the same requests, unless that
    /// would be a step back: fetches and write-backs arrive in any order.
    pub(crate) fn store(&self, key: &CacheKey, response: &Arc<StoredResponse>) -> Put {
        self.put(key, response, |kept| kept.links.outranks(&response.links))
    }

    /// Stores a response that was rendered or looked at elsewhere. The message may be late: at the
    /// same position, the younger of both stays.
    pub(crate) fn write_back(&self, key: &CacheKey, response: &Arc<StoredResponse>) -> Put {
        self.put(key, response, |kept| {
            kept.links.outranks(&response.links)
                || (kept.links.is_level_with(&response.links)
                    && kept.metadata.is_younger_than(&response.metadata))
        })
    }

    fn put(
        &self,
        key: &CacheKey,
        response: &Arc<StoredResponse>,
        is_ahead: impl Fn(&StoredResponse) -> bool,
    ) -> Put {
        let mut put = Put::Stored;
        self.slots.entry(key.clone()).and_compute_with(|present| {
            let present = match present.map(moka::Entry::into_value) {
                Some(Slot::Responses(responses)) => responses,
                Some(Slot::Unstorable { .. }) | None => Arc::from([]),
            };
            let same = present.iter().find(|kept| kept.selecting == response.selecting);
            if let Some(same) = same.filter(|same| is_ahead(same)) {
                put = Put::Kept(Arc::clone(same));
                return Op::Nop;
            }
            let others = present.iter().filter(|kept| kept.selecting != response.selecting);
            let variants = std::iter::once(response).chain(others).take(MAX_VARIANTS);
            Op::Put(Slot::Responses(variants.cloned().collect()))
        });
        put
    }

    /// Returns the stored responses for a key, for whichever requests they were made.
    pub(crate) fn variants(&self, key: &CacheKey) -> Arc<[Arc<StoredResponse>]> {
        match self.slots.get(key) {
            Some(Slot::Responses(responses)) => responses,
            Some(Slot::Unstorable { .. }) | None => Arc::from([]),
        }
    }

    /// Lets `mark` mark the stored responses for a key, while none of them is being replaced;
    /// returns how many it did.
    pub(crate) fn mark_variants(
        &self,
        key: &CacheKey,
        mark: impl Fn(&StoredResponse) -> bool,
    ) -> usize {
        let mut marked = 0;
        self.slots.entry(key.clone()).and_compute_with(|present| {
            if let Some(Slot::Responses(responses)) = present.map(moka::Entry::into_value) {
                marked = responses.iter().filter(|kept| mark(kept)).count();
            }
            Op::Nop
        });
        marked
    }

    /// Takes note that responses for this key can't be stored at present.
    pub(crate) fn mark_unstorable(&self, key: &CacheKey, now: Timestamp) {
        self.slots.entry(key.clone()).and_compute_with(|present| {
            match present.map(moka::Entry::into_value) {
                // It may still stand in for an origin that fails.
                Some(Slot::Responses(_)) => Op::Nop,
                Some(Slot::Unstorable { .. }) | None => {
                    Op::Put(Slot::Unstorable { until: now.after(UNSTORABLE_FOR) })
                }
            }
        });
    }

    /// Removes everything stored for a key.
    pub(crate) fn remove(&self, key: &CacheKey) {
        self.slots.invalidate(key);
    }

    /// Returns the number of keys and the bytes they are weighed at.
    pub(crate) fn size(&self) -> (u64, u64) {
        self.slots.run_pending_tasks();
        (self.slots.entry_count(), self.slots.weighted_size())
    }
}

#[cfg(test)]
mod tests;
