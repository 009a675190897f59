//! Fields that several kinds of requests carry: idempotency key, trace, and what the edge stamps.

use http::{HeaderMap, HeaderName};
use tidegate_core::cohort::{COHORT_HEADER, COHORTS, RELEASE_HEADER};

use crate::error::Refusal;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Longest idempotency key.
const MAX_KEY_BYTES: usize = 255;

/// Longest name of a release.
const MAX_RELEASE_BYTES: usize = 128;

/// What the edge says of a request: jobs that it gives rise to carry it on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) release: Option<String>,
    pub(crate) cohort: Option<u16>,
}

// === impl Stamp ===

impl Stamp {
    /// Reads the stamps. Clients can't set them: the edge strips theirs.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        Self {
            release: text(RELEASE_HEADER)
                .filter(|release| (1..=MAX_RELEASE_BYTES).contains(&release.len()))
                .map(str::to_owned),
            cohort: text(COHORT_HEADER)
                .and_then(|cohort| cohort.parse().ok())
                .filter(|cohort| *cohort < COHORTS),
        }
    }
}

/// Reads `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header-07, an expired draft).
pub(crate) fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Refusal> {
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

/// Reads a W3C trace context of version 00; any other is dropped, as its standard says.
pub(crate) fn traceparent(headers: &HeaderMap) -> Option<String> {
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

    #[test]
    fn stamps_out_of_range_are_none() {
        let release = HeaderName::from_static(RELEASE_HEADER);
        let cohort = HeaderName::from_static(COHORT_HEADER);
        let long = "r".repeat(129);
        assert_eq!(Stamp::of(&headers(release.clone(), &[&long])), Stamp::default());
        assert_eq!(Stamp::of(&headers(cohort.clone(), &["10000"])), Stamp::default());
        let mut both = headers(release, &["sha256:aa"]);
        both.insert(cohort, HeaderValue::from_static("9999"));
        let stamp = Stamp { release: Some("sha256:aa".to_owned()), cohort: Some(9_999) };
        assert_eq!(Stamp::of(&both), stamp);
    }
}
