//! What becomes of a response that this cache gets hold of: fetched, confirmed by a 304, or rendered
//! elsewhere and written back. One decision for all of them.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{AGE, CONTENT_LENGTH, DATE, HeaderMap, HeaderValue};
use http::{Method, StatusCode};
use tidegate_core::clock::Timestamp;
use tidegate_core::edge_plan::CachePlan;

use super::control::{RequestControl, ResponseControl};
use super::freshness::{Exchange, Metadata};
use super::storable::{Candidate, Credentials, NotStorable, judge};
use super::storage::StoredResponse;
use super::tags::{Began, Links, Refused};
use super::vary::{AuthorizationField, Selecting};
use super::{EdgeCache, date, validate};

/// What of a request decides about storing its response.
#[derive(Clone, Copy)]
pub(crate) struct Terms<'a> {
    pub(crate) request: &'a HeaderMap,
    pub(crate) control: RequestControl,
    pub(crate) credentials: Credentials,
    pub(crate) authorization: AuthorizationField,
    pub(crate) plan: CachePlan,
}

/// When a response was read and exchanged.
pub(crate) type Times = (Began, Exchange);

/// Why a response is not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    NotStorable(NotStorable),
    /// It was read before the last purge of one of its tags.
    Outdated,
}

/// What a 304 does to a stored response.
pub(crate) enum Confirmation {
    /// It is as good as new.
    Fresh(Arc<StoredResponse>),
    /// It was meant for another one.
    Unconfirmed,
    /// With the 304's fields it may not be stored any more.
    Passing(HeaderMap, Why),
}

/// A response head with everything that decides about it.
pub(crate) struct Assessed {
    metadata: Metadata,
    selecting: Selecting,
    links: Links,
    headers: HeaderMap,
}

// === impl Why ===

impl Why {
    /// Returns the word for `Cache-Status`.
    pub(crate) fn detail(self) -> &'static str {
        match self {
            Self::NotStorable(reason) => reason.detail(),
            Self::Outdated => "outdated",
        }
    }
}

// === impl EdgeCache ===

impl EdgeCache {
    /// Decides whether a response may be stored, and under which terms.
    pub(crate) fn assess(
        &self,
        terms: Terms<'_>,
        (status, headers): (StatusCode, &HeaderMap),
        (began, exchange): Times,
    ) -> Result<Assessed, Why> {
        let control = ResponseControl::parse(headers);
        let metadata = Metadata::measure(status, headers, &control, exchange, terms.plan);
        let candidate = Candidate {
            method: &Method::GET,
            request: terms.control,
            credentials: terms.credentials,
            plan: terms.plan,
            status,
            headers,
            control: &control,
            metadata: &metadata,
        };
        judge(&candidate).map_err(Why::NotStorable)?;
        let selecting = Selecting::take(headers, terms.request, terms.authorization)
            .map_err(|_| Why::NotStorable(NotStorable::VaryAny))?;
        let links = self.tags.link(headers, began).map_err(|refused| match refused {
            Refused::Outdated => Why::Outdated,
            Refused::Unreadable => Why::NotStorable(NotStorable::Unpurgeable),
        })?;
        let headers = kept_headers(headers, &control, exchange.response_time);
        Ok(Assessed { metadata, selecting, links, headers })
    }

    /// Brings a stored response up to date with the fields of a 304 (RFC 9111 section 4.3.4).
    pub(crate) fn confirm(
        &self,
        terms: Terms<'_>,
        stored: &StoredResponse,
        not_modified: &HeaderMap,
        times: Times,
    ) -> Confirmation {
        if !validate::confirms(not_modified, &stored.headers) {
            return Confirmation::Unconfirmed;
        }
        let mut merged = validate::merge(&stored.headers, not_modified);
        // An age that the 304 does not repeat belongs to the response that was stored.
        if !not_modified.contains_key(DATE) {
            merged.insert(DATE, date_value(times.1.response_time));
        }
        match self.assess(terms, (stored.status, &merged), times) {
            Ok(assessed) => {
                Confirmation::Fresh(assessed.into_response(stored.status, stored.body.clone()))
            }
            Err(why) => {
                merged.remove(AGE);
                Confirmation::Passing(merged, why)
            }
        }
    }
}

/// Copies the fields that are kept: without those that are computed on delivery, and without those
/// that `no-cache` and `private` name (RFC 9111 sections 5.2.2.4 and 5.2.2.7).
fn kept_headers(headers: &HeaderMap, control: &ResponseControl, now: Timestamp) -> HeaderMap {
    let mut kept = HeaderMap::with_capacity(headers.len() + 1);
    for (name, value) in headers {
        let withheld = control.no_cache.named().contains(name)
            || control.private.named().contains(name)
            || name == AGE
            || name == CONTENT_LENGTH;
        // Copied, as a value that came in shares the memory of a whole read buffer.
        if !withheld && let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
            kept.append(name, value);
        }
    }
    // RFC 9110 section 6.6.1: whoever stores a response without a date adds one.
    kept.entry(DATE).or_insert_with(|| date_value(now));
    kept
}

/// Writes a time as the value of `Date`.
pub(crate) fn date_value(at: Timestamp) -> HeaderValue {
    HeaderValue::try_from(date::format(at)).expect("a date must be a field value: it is ASCII")
}

// === impl Assessed ===

impl Assessed {
    pub(crate) fn into_response(self, status: StatusCode, body: Bytes) -> Arc<StoredResponse> {
        let Self { metadata, selecting, links, headers } = self;
        let requests = Arc::default();
        Arc::new(StoredResponse { status, headers, body, metadata, selecting, links, requests })
    }
}
