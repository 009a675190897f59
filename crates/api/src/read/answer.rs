//! Answers of endpoints: their fields, whole or not modified.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::time::Duration;

use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, ETAG, LINK, VARY};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use tidegate_core::seq::{self, DataSeq};
use tidegate_core::tag;
use tidegate_product::contract::Format;
use tidegate_product::response::content_type;

use crate::catalog::Route;

const SURROGATE_KEY: HeaderName = HeaderName::from_static(tag::HEADER);
const DATA_SEQ: HeaderName = HeaderName::from_static(seq::HEADER);
const FRESHNESS_MS: HeaderName = HeaderName::from_static("x-freshness-ms");
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// What an answer says of itself, whether its body is sent or not.
pub(super) struct Fields<'a> {
    pub(super) entity_tag: HeaderValue,
    pub(super) route: &'a Route,
    pub(super) tags: &'a [String],
    pub(super) seq: &'a DataSeq,
    /// Age of the newest data, if there is any.
    pub(super) freshness: Option<Duration>,
}

/// A body.
pub(super) struct Body {
    pub(super) bytes: Vec<u8>,
    pub(super) format: Format,
    /// `Link` to the next page, if there is one.
    pub(super) next: Option<HeaderValue>,
}

/// Where the time went.
#[derive(Clone, Copy)]
pub(super) struct Timing {
    pub(super) store: Duration,
    pub(super) render: Option<Duration>,
}

/// Returns a whole answer.
pub(super) fn whole(fields: &Fields<'_>, body: Body, timing: Timing) -> Response {
    let mut response = Response::new(axum::body::Body::empty());
    let headers = response.headers_mut();
    fields.write(headers, timing);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type(body.format)));
    if let Some(next) = body.next {
        headers.insert(LINK, next);
    }
    headers.insert(CONTENT_LENGTH, body.bytes.len().into());
    *response.body_mut() = axum::body::Body::from(body.bytes);
    response
}

/// Returns an answer that says that the client's is still right.
pub(super) fn not_modified(fields: &Fields<'_>, timing: Timing) -> Response {
    // Of unknown length: `Content-Length: 0` would speak of the body that is not sent
    // (RFC 9110 section 8.6), and the router adds it to empty ones.
    let none = stream::empty::<Result<Bytes, Infallible>>();
    let mut response = Response::new(axum::body::Body::from_stream(none));
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    fields.write(response.headers_mut(), timing);
    response
}

// === impl Fields ===

impl Fields<'_> {
    fn write(&self, headers: &mut HeaderMap, timing: Timing) {
        headers.reserve(12);
        headers.insert(ETAG, self.entity_tag.clone());
        headers.insert(CACHE_CONTROL, self.route.cache_control.clone());
        if let Some(vary) = &self.route.vary {
            headers.insert(VARY, vary.clone());
        }
        headers.insert(SURROGATE_KEY, ascii(self.tags.join(" ")));
        headers.insert(DATA_SEQ, ascii(self.seq.to_string()));
        if let Some(freshness) = self.freshness {
            let ms = u64::try_from(freshness.as_millis()).unwrap_or(u64::MAX);
            headers.insert(FRESHNESS_MS, ms.into());
        }
        headers.insert(SERVER_TIMING, timing.field());
    }
}

// === impl Timing ===

impl Timing {
    pub(super) fn of_store(store: Duration) -> Self {
        Self { store, render: None }
    }

    fn field(self) -> HeaderValue {
        let mut text = String::with_capacity(40);
        write_ms(&mut text, "store", self.store);
        if let Some(render) = self.render {
            text.push_str(", ");
            write_ms(&mut text, "render", render);
        }
        ascii(text)
    }
}

/// Writes milliseconds with three digits, without the cost of a float.
fn write_ms(text: &mut String, name: &str, span: Duration) {
    let us = span.as_micros();
    // Writing to a string does not fail.
    write!(text, "{name};dur={}.{:03}", us / 1_000, us % 1_000).ok();
}

fn ascii(text: String) -> HeaderValue {
    HeaderValue::try_from(text).expect("the field must be ASCII: its parts are escaped")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timings_are_milliseconds_with_three_digits() {
        let timing =
            Timing { store: Duration::from_micros(1_234), render: Some(Duration::from_micros(7)) };
        assert_eq!(timing.field(), "store;dur=1.234, render;dur=0.007");
        assert_eq!(Timing::of_store(Duration::ZERO).field(), "store;dur=0.000");
    }
}
