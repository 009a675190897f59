//! One exchange with an origin, and what its answer is good for.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{AGE, CONTENT_LENGTH, DATE, HeaderMap, HeaderValue};
use http::uri::PathAndQuery;
use http::{Method, Response, StatusCode};
use hyper::body::Incoming;
use tidegate_core::clock::Timestamp;

use super::collect::{Collected, collect};
use super::{Lookup, Stale};
use crate::body::Body;
use crate::cache::control::ResponseControl;
use crate::cache::date;
use crate::cache::freshness::{Exchange, Metadata, OriginFailure};
use crate::cache::storable::{Candidate, NotStorable, judge};
use crate::cache::storage::StoredResponse;
use crate::cache::tags::{Began, Links, Refused};
use crate::cache::validate;
use crate::cache::vary::Selecting;
use crate::edge::Edge;
use crate::error::RequestError;
use crate::upstream::pool::Content;
use crate::upstream::{Outbound, headers};

/// What an exchange brought.
pub(super) enum Attempt {
    /// A complete response that may be stored; `origin` is the status the origin sent.
    Complete { response: Arc<StoredResponse>, origin: StatusCode },
    /// A response that may not.
    Passing { response: Response<Body>, why: Why },
    /// A 304 that does not speak of the stored response.
    Unconfirmed,
    /// A server error, and a stale response that may stand in for it.
    Covered { response: Arc<StoredResponse>, origin: StatusCode },
}

/// Why a response passes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    NotStorable(NotStorable),
    /// It was read before the last purge of one of its tags.
    Outdated,
}

/// A response head with everything that decides about it.
struct Assessed {
    metadata: Metadata,
    selecting: Selecting,
    links: Links,
    headers: HeaderMap,
}

// === impl Why ===

impl Why {
    pub(super) fn detail(self) -> &'static str {
        match self {
            Self::NotStorable(reason) => reason.detail(),
            Self::Outdated => "outdated",
        }
    }
}

/// Asks the origin; conditionally if there is something to validate.
pub(super) async fn attempt(
    edge: &Edge,
    lookup: &Lookup,
    validating: Option<&Arc<StoredResponse>>,
    stale: Option<&Stale>,
) -> Result<Attempt, RequestError> {
    let began = edge.cache.tags.begin();
    let request_time = Timestamp::now();
    let outbound = outbound(edge, lookup, validating)?;
    let response = edge.upstreams.forward(&lookup.origin, outbound).await?;
    let exchange = Exchange { request_time, response_time: Timestamp::now() };
    let (mut parts, body) = response.into_parts();
    headers::from_origin(&mut parts.headers, &edge.settings.node);
    let status = parts.status;
    if let Some(stale) = stale.filter(|_| is_failure(status))
        && stale.covers(OriginFailure::Error, exchange.response_time)
    {
        let response = Arc::clone(&stale.response);
        return Ok(Attempt::Covered { response, origin: status });
    }
    match validating {
        Some(stored) if status == StatusCode::NOT_MODIFIED => {
            Ok(confirm(lookup, edge, stored, &parts.headers, (began, exchange)))
        }
        _ => receive(edge, lookup, (status, parts.headers, body), (began, exchange)).await,
    }
}

fn outbound(
    edge: &Edge,
    lookup: &Lookup,
    validating: Option<&Arc<StoredResponse>>,
) -> Result<Outbound, RequestError> {
    let mut headers = lookup.headers.clone();
    headers::for_origin(&mut headers, &lookup.target, lookup.client, &edge.settings.node);
    match validating {
        Some(stored) => validate::condition(&mut headers, &stored.headers),
        // The complete response is wanted, whatever the client has.
        None => validate::remove_conditions(&mut headers),
    }
    let path_and_query = path_and_query(lookup.target.path(), &lookup.query)?;
    Ok(Outbound { method: Method::GET, path_and_query, headers, content: Content::None })
}

/// Joins a path and a query without its question mark.
pub(crate) fn path_and_query(path: &str, query: &str) -> Result<PathAndQuery, RequestError> {
    let joined = if query.is_empty() {
        PathAndQuery::try_from(path)
    } else {
        PathAndQuery::try_from(format!("{path}?{query}"))
    };
    joined.map_err(|_| RequestError::Host)
}

/// RFC 5861 section 4 names these statuses.
pub(super) fn is_failure(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::INTERNAL_SERVER_ERROR
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
    )
}

/// Brings a stored response up to date with a 304.
fn confirm(
    lookup: &Lookup,
    edge: &Edge,
    stored: &Arc<StoredResponse>,
    not_modified: &HeaderMap,
    times: (Began, Exchange),
) -> Attempt {
    if !validate::confirms(not_modified, &stored.headers) {
        return Attempt::Unconfirmed;
    }
    let mut merged = validate::merge(&stored.headers, not_modified);
    // An age that the 304 does not repeat belongs to the response that was stored.
    if !not_modified.contains_key(DATE) {
        merged.insert(DATE, date_value(times.1.response_time));
    }
    let origin = StatusCode::NOT_MODIFIED;
    match assess(edge, lookup, stored.status, &merged, times) {
        Ok(assessed) => {
            let response = assessed.into_response(stored.status, stored.body.clone());
            Attempt::Complete { response, origin }
        }
        Err(why) => {
            merged.remove(AGE);
            let response = pass(stored.status, merged, Body::full(stored.body.clone()));
            Attempt::Passing { response, why }
        }
    }
}

/// Takes a new response in.
async fn receive(
    edge: &Edge,
    lookup: &Lookup,
    (status, headers, body): (StatusCode, HeaderMap, Incoming),
    times: (Began, Exchange),
) -> Result<Attempt, RequestError> {
    let idle = edge.limits.body_idle;
    let assessed = match assess(edge, lookup, status, &headers, times) {
        Ok(assessed) => assessed,
        Err(why) => {
            let response = pass(status, headers, Body::relay(Vec::new(), body, idle));
            return Ok(Attempt::Passing { response, why });
        }
    };
    match collect(edge, body).await? {
        Collected::Whole(body) => {
            let response = assessed.into_response(status, body);
            Ok(Attempt::Complete { response, origin: status })
        }
        Collected::Partly(body, reason) => {
            let response = pass(status, headers, body);
            Ok(Attempt::Passing { response, why: Why::NotStorable(reason) })
        }
    }
}

/// Decides whether a response may be stored, and under which terms.
fn assess(
    edge: &Edge,
    lookup: &Lookup,
    status: StatusCode,
    headers: &HeaderMap,
    (began, exchange): (Began, Exchange),
) -> Result<Assessed, Why> {
    let control = ResponseControl::parse(headers);
    let metadata = Metadata::measure(status, headers, &control, exchange, lookup.plan);
    let candidate = Candidate {
        method: &Method::GET,
        request: lookup.control,
        credentials: lookup.credentials,
        plan: lookup.plan,
        status,
        headers,
        control: &control,
        metadata: &metadata,
    };
    judge(&candidate).map_err(Why::NotStorable)?;
    let selecting = Selecting::take(headers, &lookup.headers, lookup.authorization)
        .map_err(|_| Why::NotStorable(NotStorable::VaryAny))?;
    let links = edge.cache.tags.link(headers, began).map_err(|refused| match refused {
        Refused::Outdated => Why::Outdated,
        Refused::Unreadable => Why::NotStorable(NotStorable::Unpurgeable),
    })?;
    let headers = kept_headers(headers, &control, exchange.response_time);
    Ok(Assessed { metadata, selecting, links, headers })
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

fn date_value(at: Timestamp) -> HeaderValue {
    HeaderValue::try_from(date::format(at)).expect("a date must be a field value: it is ASCII")
}

fn pass(status: StatusCode, headers: HeaderMap, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

// === impl Assessed ===

impl Assessed {
    fn into_response(self, status: StatusCode, body: Bytes) -> Arc<StoredResponse> {
        let Self { metadata, selecting, links, headers } = self;
        Arc::new(StoredResponse { status, headers, body, metadata, selecting, links })
    }
}
