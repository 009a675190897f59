//! One exchange with an origin, and what its answer is good for.

use std::sync::Arc;

use http::header::HeaderMap;
use http::uri::PathAndQuery;
use http::{Method, Response, StatusCode};
use hyper::body::Incoming;
use tidegate_core::clock::Timestamp;

use super::collect::{Collected, collect};
use super::{Lookup, Stale};
use crate::body::Body;
use crate::cache::assess::{Confirmation, Times, Why};
use crate::cache::freshness::{Exchange, OriginFailure};
use crate::cache::storage::StoredResponse;
use crate::cache::validate;
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
    let mut headers = lookup.fields(edge);
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
    stored: &StoredResponse,
    not_modified: &HeaderMap,
    times: Times,
) -> Attempt {
    match edge.cache.confirm(lookup.terms(), stored, not_modified, times) {
        Confirmation::Unconfirmed => Attempt::Unconfirmed,
        Confirmation::Fresh(response) => {
            Attempt::Complete { response, origin: StatusCode::NOT_MODIFIED }
        }
        Confirmation::Passing(headers, why) => {
            let response = pass(stored.status, headers, Body::full(stored.body.clone()));
            Attempt::Passing { response, why }
        }
    }
}

/// Takes a new response in.
async fn receive(
    edge: &Edge,
    lookup: &Lookup,
    (status, headers, body): (StatusCode, HeaderMap, Incoming),
    times: Times,
) -> Result<Attempt, RequestError> {
    let idle = edge.limits.body_idle;
    let assessed = match edge.cache.assess(lookup.terms(), (status, &headers), times) {
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

fn pass(status: StatusCode, headers: HeaderMap, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}
