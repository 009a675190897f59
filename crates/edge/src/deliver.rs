//! Builds the response that a client gets.

use http::header::{AGE, CONTENT_LENGTH, HeaderMap, HeaderValue};
use http::{Method, Response, StatusCode};
use hyper::body::Incoming;
use tidegate_core::clock::Timestamp;

use crate::body::Body;
use crate::cache::status::CacheStatus;
use crate::cache::storage::StoredResponse;
use crate::cache::validate::{self, Condition};
use crate::edge::Edge;
use crate::upstream::headers;

/// What of a request decides how a stored response is delivered.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a> {
    pub(crate) method: &'a Method,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) now: Timestamp,
}

/// Delivers a complete response from memory: whole, its head only, or as a 304.
pub(crate) fn from_memory(
    edge: &Edge,
    reader: Reader<'_>,
    stored: &StoredResponse,
    status: CacheStatus,
) -> Response<Body> {
    let Reader { method, headers: request, now } = reader;
    let mut headers = stored.headers.clone();
    // RFC 9111 section 5.1: what is reused tells its age.
    headers.insert(AGE, HeaderValue::from(stored.metadata.age(now).as_secs()));
    status.append_to(&mut headers, &edge.settings.node);
    let condition = validate::evaluate(request, stored.status, &stored.headers, now);
    let (status, body) = match condition {
        Condition::NotModified => {
            validate::strip_for_not_modified(&mut headers);
            (StatusCode::NOT_MODIFIED, Body::empty())
        }
        Condition::Send if method == Method::HEAD => {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(stored.body.len()));
            (stored.status, Body::empty())
        }
        Condition::Send => (stored.status, Body::full(stored.body.clone())),
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// Delivers an origin's response as it comes.
pub(crate) fn as_it_comes(edge: &Edge, response: Response<Incoming>) -> Response<Body> {
    let (parts, body) = response.into_parts();
    let mut response = Response::new(Body::relay(Vec::new(), body, edge.limits.body_idle));
    *response.status_mut() = parts.status;
    *response.headers_mut() = parts.headers;
    headers::from_origin(response.headers_mut(), &edge.settings.node);
    response
}
