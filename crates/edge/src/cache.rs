//! The cache: what is stored, for whom, and whether it may be reused.
//!
//! Decisions are pure functions over stored metadata and `now`: [`control`] and [`date`] read
//! fields, [`storable`] says what may be stored, [`freshness`] what may be reused, [`vary`] for whom,
//! [`validate`] how it is brought up to date, [`invalidate`] what a write makes invalid; [`assess`]
//! puts them together. [`tags`], [`storage`] and [`collapse`] hold state.

pub(crate) mod assess;
pub(crate) mod collapse;
pub(crate) mod control;
pub(crate) mod date;
pub(crate) mod freshness;
pub(crate) mod invalidate;
pub(crate) mod status;
pub(crate) mod storable;
pub(crate) mod storage;
pub(crate) mod tags;
pub(crate) mod validate;
pub(crate) mod vary;

use std::sync::Arc;

use http::HeaderMap;
use tidegate_core::cache_key::CacheKey;
use tidegate_core::clock::Timestamp;

use self::collapse::Flights;
use self::freshness::Freshness;
use self::status::Forward;
use self::storage::{Found, Storage, StoredResponse};
use self::tags::Tags;
use crate::fetch::Landing;

/// Everything this edge has stored, and what it is about to store.
pub(crate) struct EdgeCache {
    pub(crate) storage: Storage,
    pub(crate) tags: Tags,
    pub(crate) flights: Flights<CacheKey, Landing>,
}

/// What a request gets from the cache.
pub(crate) enum Answer {
    /// A stored response, as it is.
    Fresh(Arc<StoredResponse>),
    /// A stored response, while it is validated in the background.
    WhileRevalidating(Arc<StoredResponse>),
    /// Nothing before a stored response is validated.
    Validate(Arc<StoredResponse>, Staleness),
    /// Nothing is stored.
    Missing(Forward),
    /// Nothing is stored, and the origin's answer likely won't be.
    Unstorable,
}

/// Why a stored response must be validated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Staleness {
    /// Its lifetime and windows are over.
    Aged,
    /// One of its tags was purged.
    Purged,
    /// A worker found that another response is right by now.
    Changed,
}

// === impl EdgeCache ===

impl EdgeCache {
    pub(crate) fn new(capacity_bytes: u64) -> Self {
        Self { storage: Storage::new(capacity_bytes), tags: Tags::new(), flights: Flights::new() }
    }

    /// Looks a request up.
    pub(crate) fn answer(&self, key: &CacheKey, request: &HeaderMap, now: Timestamp) -> Answer {
        let stored = match self.storage.find(key, request, now) {
            Found::Response(stored) => stored,
            Found::UriMiss => return Answer::Missing(Forward::UriMiss),
            Found::VaryMiss => return Answer::Missing(Forward::VaryMiss),
            Found::Unstorable => return Answer::Unstorable,
        };
        if self.tags.is_purged(&stored.links) {
            return Answer::Validate(stored, Staleness::Purged);
        }
        if stored.links.is_doubted() {
            return Answer::Validate(stored, Staleness::Changed);
        }
        match stored.metadata.freshness(now) {
            Freshness::Fresh => Answer::Fresh(stored),
            Freshness::StaleWhileRevalidate => Answer::WhileRevalidating(stored),
            Freshness::StaleIfError | Freshness::MustValidate => {
                Answer::Validate(stored, Staleness::Aged)
            }
        }
    }

    /// Makes sure that nothing stored or in flight for a key is reused.
    pub(crate) fn invalidate(&self, key: &CacheKey) {
        // In this order: a leader looks after storing whether its flight was spoiled.
        self.flights.spoil(key);
        self.storage.remove(key);
    }
}

// === impl Staleness ===

impl Staleness {
    /// Returns the word for `Cache-Status`.
    pub(crate) fn detail(self) -> Option<&'static str> {
        match self {
            Self::Aged => None,
            Self::Purged => Some("purged"),
            Self::Changed => Some("changed"),
        }
    }
}
