//! What the fields of an ingest request ask for.

use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName};

use crate::body::Coding;
use crate::error::Refusal;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const PREFER: HeaderName = HeaderName::from_static("prefer");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Longest idempotency key.
const MAX_KEY_BYTES: usize = 255;

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

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    let mut fields = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(field) = fields.next() else { return Ok(None) };
    let text = field.to_str().map_err(|_| Refusal::IdempotencyKey)?;
    let well_formed = (1..=MAX_KEY_BYTES).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_graphic());
    if well_formed && fields.next().is_none() {
        Ok(Some(text.to_owned()))
    } else {
        Err(Refusal::IdempotencyKey)
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

/// Reads a W3C trace context of version 00; any other is dropped, as its standard says.
fn traceparent(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(TRACEPARENT)?.to_str().ok()?;
    let mut parts = text.split('-');
    let lower_hex = |part: Option<&str>, digits: usize| {
        part.is_some_and(|part| {
            part.len() == digits
                && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        })
    };
    let well_formed = parts.next() == Some("00")
        && lower_hex(parts.next(), 32)
        && lower_hex(parts.next(), 16)
        && lower_hex(parts.next(), 2)
        && parts.next().is_none();
    well_formed.then(|| text.to_owned())
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
    fn an_idempotency_key_is_visible_ascii_of_bounded_length() {
        let long = "k".repeat(255);
        let longer = "k".repeat(256);
        for (values, expected) in [
            (&[][..], Some(None)),
            (&["order-7"], Some(Some("order-7"))),
            (&[long.as_str()], Some(Some(long.as_str()))),
            (&[longer.as_str()], None),
            (&[""], None),
            (&["a b"], None),
            (&["a", "b"], None),
        ] {
            let key = idempotency_key(&headers(IDEMPOTENCY_KEY, values)).ok();
            assert_eq!(key, expected.map(|key| key.map(str::to_owned)), "{values:?}");
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

    #[test]
    fn a_malformed_trace_context_is_dropped() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        for (value, expected) in [
            (good, Some(good)),
            ("00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", None),
            ("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", None),
            ("00-4bf9-00f067aa0ba902b7-01", None),
            ("", None),
        ] {
            let trace = traceparent(&headers(TRACEPARENT, &[value]));
            assert_eq!(trace.as_deref(), expected, "{value}");
        }
    }
}
