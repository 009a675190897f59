//! Typed query and path parameters, parsed alike by the edge (for the cache key) and the api.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::{Timestamp, parse_span};

/// One declared parameter of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParamPlan {
    /// Name in the query or in the path template.
    pub name: String,
    /// What values it takes.
    pub kind: ParamKind,
    /// Absent is an error.
    pub required: bool,
    /// Text that stands in for an absent value, in the same syntax as a given one.
    pub default: Option<String>,
}

/// The type of a parameter and the limits of its values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ParamKind {
    /// UTF-8 text of at most `max_len` bytes.
    String {
        /// Longest value, in bytes.
        max_len: usize,
    },
    /// One of a list of words.
    Enum {
        /// The words, matched exactly.
        values: Vec<String>,
    },
    /// A whole number.
    Int {
        /// Smallest value.
        min: i64,
        /// Largest value.
        max: i64,
    },
    /// RFC 3339, or `now`, `now-24h`, `now+5m`.
    Timestamp {
        /// Values are rounded down to a multiple of this many microseconds, so that requests made
        /// seconds apart share one cache key.
        align_us: Option<i64>,
        /// Largest distance to the range's other end, in microseconds; checked by the api.
        max_span_us: Option<i64>,
    },
}

/// A checked parameter value. Its text is canonical: equal values have equal text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParamValue {
    /// Of [`ParamKind::String`] or [`ParamKind::Enum`].
    Text(String),
    /// Of [`ParamKind::Int`].
    Int(i64),
    /// Of [`ParamKind::Timestamp`], aligned.
    Time(Timestamp),
}

/// Why a request's parameters were refused; the message is the client's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("parameter '{name}': {reason}")]
pub struct ParamError {
    /// The parameter.
    pub name: String,
    /// What is wrong and what would be right.
    pub reason: String,
}

// === impl ParamPlan ===

impl ParamPlan {
    /// Parses a given or absent value; `Ok(None)` is an optional parameter that was left out.
    ///
    /// # Errors
    /// Names the parameter and what would be right.
    pub fn parse(
        &self,
        given: Option<&str>,
        now: Timestamp,
    ) -> Result<Option<ParamValue>, ParamError> {
        let Some(text) = given.or(self.default.as_deref()) else {
            if self.required {
                return Err(self.error("is required".to_owned()));
            }
            return Ok(None);
        };
        self.kind.parse(text, now).map(Some).map_err(|reason| self.error(reason))
    }

    fn error(&self, reason: String) -> ParamError {
        ParamError { name: self.name.clone(), reason }
    }
}

// === impl ParamKind ===

impl ParamKind {
    /// Parses `text`; the error says what would be right.
    ///
    /// # Errors
    /// A sentence for the client.
    pub fn parse(&self, text: &str, now: Timestamp) -> Result<ParamValue, String> {
        match self {
            Self::String { max_len } if text.len() > *max_len => {
                Err(format!("is longer than {max_len} bytes"))
            }
            Self::String { .. } => Ok(ParamValue::Text(text.to_owned())),
            Self::Enum { values } => {
                if values.iter().any(|value| value == text) {
                    Ok(ParamValue::Text(text.to_owned()))
                } else {
                    Err(format!("must be one of {}", values.join(", ")))
                }
            }
            Self::Int { min, max } => match text.parse::<i64>() {
                Ok(number) if (*min..=*max).contains(&number) => Ok(ParamValue::Int(number)),
                _ => Err(format!("must be a whole number from {min} to {max}")),
            },
            Self::Timestamp { align_us, .. } => {
                let at = parse_time(text, now).ok_or_else(|| {
                    "must be an RFC 3339 time such as 2026-11-22T10:00:00Z, or now-24h".to_owned()
                })?;
                Ok(ParamValue::Time(match align_us.and_then(|every| u64::try_from(every).ok()) {
                    Some(every) => at.align_down(Duration::from_micros(every)),
                    None => at,
                }))
            }
        }
    }
}

// === impl ParamValue ===

impl fmt::Display for ParamValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Int(number) => write!(f, "{number}"),
            Self::Time(at) => f.write_str(&at.to_rfc3339()),
        }
    }
}

/// Parses RFC 3339 or a time relative to `now`.
pub fn parse_time(text: &str, now: Timestamp) -> Option<Timestamp> {
    let Some(offset) = text.strip_prefix("now") else {
        return Timestamp::parse_rfc3339(text);
    };
    if offset.is_empty() {
        return Some(now);
    }
    if let Some(span) = offset.strip_prefix('-') {
        return parse_span(span).map(|span| now.before(span));
    }
    // A literal plus in a query decodes to a space.
    let span = offset.strip_prefix(['+', ' '])?;
    parse_span(span).map(|span| now.after(span))
}

/// Splits a raw query into decoded pairs, in order.
///
/// # Errors
/// A pair is not percent-encoded UTF-8.
pub fn decode_query(raw: &str) -> Result<Vec<(String, String)>, ParamError> {
    let pairs = raw.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let bad = || ParamError {
                name: name.chars().take(64).collect(),
                reason: "is not percent-encoded UTF-8".to_owned(),
            };
            Ok((
                percent_decode(name, true).ok_or_else(bad)?,
                percent_decode(value, true).ok_or_else(bad)?,
            ))
        })
        .collect()
}

/// Decodes percent-encoding (RFC 3986 section 2.1); with `plus_is_space` also `+`.
pub fn percent_decode(text: &str, plus_is_space: bool) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let high = char::from(rest.next()?).to_digit(16)?;
                let low = char::from(rest.next()?).to_digit(16)?;
                u8::try_from(high * 16 + low).ok()?
            }
            b'+' if plus_is_space => b' ',
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

/// Appends `text`, percent-encoding all but the unreserved characters of RFC 3986 section 2.3.
pub fn percent_encode_into(into: &mut String, text: &str) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        // Colons are allowed in a query, and times read better with them.
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b':') {
            into.push(char::from(byte));
        } else {
            into.push('%');
            into.push(char::from(HEX[usize::from(byte >> 4)]));
            into.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
}

/// Reads declared parameters from path captures and a raw query.
///
/// Returns the values in declared order, `None` where an optional one was left out.
///
/// # Errors
/// An undeclared or repeated parameter, or a value that is not of its kind.
pub fn bind(
    plans: &[ParamPlan],
    captures: &[(String, String)],
    raw_query: &str,
    now: Timestamp,
) -> Result<Vec<Option<ParamValue>>, ParamError> {
    let query = decode_query(raw_query)?;
    for (position, (name, _)) in query.iter().enumerate() {
        let error = |reason: String| ParamError { name: name.chars().take(64).collect(), reason };
        let in_path = captures.iter().any(|(captured, _)| captured == name);
        if in_path || !plans.iter().any(|plan| plan.name == *name) {
            let known: Vec<_> = plans
                .iter()
                .map(|plan| plan.name.as_str())
                .filter(|plan| !captures.iter().any(|(captured, _)| captured == plan))
                .collect();
            return Err(error(format!("is not known here; known are {}", known.join(", "))));
        }
        if query.iter().take(position).any(|(earlier, _)| earlier == name) {
            return Err(error("is given more than once".to_owned()));
        }
    }
    let given = |name: &str| {
        let pairs = captures.iter().chain(&query);
        pairs.clone().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    };
    plans.iter().map(|plan| plan.parse(given(&plan.name), now)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_763_806_500_000_000);

    fn time(align: Option<i64>) -> ParamPlan {
        ParamPlan {
            name: "from".to_owned(),
            kind: ParamKind::Timestamp { align_us: align, max_span_us: None },
            required: false,
            default: Some("now-24h".to_owned()),
        }
    }

    #[test]
    fn defaults_that_differ_by_seconds_align_to_one_value() {
        let hour = time(Some(3_600_000_000));
        let first = hour.parse(None, NOW).unwrap();
        let later = hour.parse(None, NOW.after(Duration::from_secs(59))).unwrap();
        assert_eq!(first, later);
        assert_eq!(first.unwrap().to_string(), "2025-11-21T10:00:00Z");
    }

    #[test]
    fn equal_times_in_other_zones_have_one_canonical_text() {
        let plans = [time(None)];
        let utc = bind(&plans, &[], "from=2026-01-01T00:00:00Z", NOW).unwrap();
        let cet = bind(&plans, &[], "from=2026-01-01T01:00:00%2B01:00", NOW).unwrap();
        assert_eq!(utc, cet);
    }

    #[test]
    fn undeclared_repeated_and_malformed_parameters_are_refused() {
        let plans = [time(None)];
        for (query, reason) in [
            ("frm=now", "is not known here; known are from"),
            ("from=now&from=now", "is given more than once"),
            ("from=%zz", "is not percent-encoded UTF-8"),
            ("from=yesterday", "must be an RFC 3339 time such as 2026-11-22T10:00:00Z, or now-24h"),
        ] {
            assert_eq!(bind(&plans, &[], query, NOW).unwrap_err().reason, reason, "{query}");
        }
    }
}
