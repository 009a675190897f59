//! What the fields of an ingest request ask for.

use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName};

use crate::body::Coding;
use crate::error::Refusal;
use crate::fields::{Stamp, idempotency_key, traceparent};

const PREFER: HeaderName = HeaderName::from_static("prefer");

/// Longest time an answer is held back for its job.
const MAX_WAIT: Duration = Duration::from_secs(30);

/// How rows are written in a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyFormat {
    /// One JSON array of objects.
    JsonArray,
    /// One JSON object a line.
    Ndjson,
}

/// What the fields of an ingest request ask for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) format: BodyFormat,
    pub(super) coding: Coding,
    pub(super) idempotency_key: Option<String>,
    pub(super) wait: Option<Duration>,
    pub(super) traceparent: Option<String>,
    pub(super) stamp: Stamp,
}

// === impl Asked ===

impl Asked {
    pub(super) fn parse(headers: &HeaderMap) -> Result<Self, Refusal> {
        Ok(Self {
            format: format(headers)?,
            coding: Coding::of(headers)?,
            idempotency_key: idempotency_key(headers)?,
            wait: wait(headers),
            traceparent: traceparent(headers),
            stamp: Stamp::of(headers),
        })
    }
}

fn format(headers: &HeaderMap) -> Result<BodyFormat, Refusal> {
    let mut fields = headers.get_all(CONTENT_TYPE).iter();
    let (Some(field), None) = (fields.next(), fields.next()) else {
        return Err(Refusal::MediaType);
    };
    let text = field.to_str().unwrap_or_default();
    // Parameters say nothing new: JSON is UTF-8 (RFC 8259 section 8.1).
    let name = text.split(';').next().unwrap_or_default().trim();
    if name.eq_ignore_ascii_case("application/json") {
        Ok(BodyFormat::JsonArray)
    } else if name.eq_ignore_ascii_case("application/x-ndjson") {
        Ok(BodyFormat::Ndjson)
    } else {
        Err(Refusal::MediaType)
    }
}

/// Reads `Prefer: wait=N`. A preference that can't be read is ignored (RFC 7240 section 2).
fn wait(headers: &HeaderMap) -> Option<Duration> {
    let fields = headers.get_all(PREFER).iter().filter_map(|field| field.to_str().ok());
    let mut preferences = fields.flat_map(|field| field.split(','));
    let seconds: u64 = preferences.find_map(|preference| {
        let (name, value) = preference.split(';').next()?.split_once('=')?;
        let value = value.trim().trim_matches('"');
        name.trim().eq_ignore_ascii_case("wait").then(|| value.parse().ok())?
    })?;
    Some(Duration::from_secs(seconds).min(MAX_WAIT)).filter(|wait| !wait.is_zero())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(name: HeaderName, values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(name.clone(), HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    #[test]
    fn only_json_and_ndjson_are_taken() {
        for (values, expected) in [
            (&["application/json"][..], Some(BodyFormat::JsonArray)),
            (&["Application/JSON; charset=utf-8"], Some(BodyFormat::JsonArray)),
            (&["application/x-ndjson"], Some(BodyFormat::Ndjson)),
            (&["text/csv"], None),
            (&["application/json", "application/json"], None),
            (&[], None),
        ] {
            assert_eq!(format(&headers(CONTENT_TYPE, values)).ok(), expected, "{values:?}");
        }
    }

    #[test]
    fn a_wait_is_capped_and_nonsense_ignored() {
        for (values, expected) in [
            (&["wait=5"][..], Some(5)),
            (&["respond-async, wait=10"], Some(10)),
            (&["respond-async", "Wait = 10;x=y"], Some(10)),
            (&["wait=3600"], Some(30)),
            (&["wait=0"], None),
            (&["wait=soon"], None),
            (&["wait"], None),
            (&[], None),
        ] {
            let wait = wait(&headers(PREFER, values)).map(|wait| wait.as_secs());
            assert_eq!(wait, expected, "{values:?}");
        }
    }
}
