//! Wall-clock time as microseconds since the Unix epoch, UTC.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// A point in time: microseconds since 1970-01-01T00:00:00Z, the one unit of time in every store,
/// message and document.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

/// Microseconds in one second.
pub const MICROS_PER_SECOND: i64 = 1_000_000;

// === impl Timestamp ===

impl Timestamp {
    /// Returns the current wall-clock time.
    ///
    /// Decisions take `now` as a parameter; only the code that starts them calls this.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
    pub fn now() -> Self {
        Self::from(SystemTime::now())
    }

    /// Returns whole seconds since the epoch, rounded down.
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(MICROS_PER_SECOND)
    }

    /// Returns the time elapsed since `earlier`, zero if the clock stepped back.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Returns this time plus `span`, saturating.
    pub fn after(self, span: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(span.as_micros()).unwrap_or(i64::MAX)))
    }

    /// Returns this time minus `span`, saturating.
    pub fn before(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(span.as_micros()).unwrap_or(i64::MAX)))
    }

    /// Rounds down to a multiple of `every` since the epoch.
    pub fn align_down(self, every: Duration) -> Self {
        let every = i64::try_from(every.as_micros()).unwrap_or(i64::MAX).max(1);
        Self(self.0.saturating_sub(self.0.rem_euclid(every)))
    }

    /// Parses an RFC 3339 date-time.
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        text.parse::<jiff::Timestamp>().ok().map(|at| Self(at.as_microsecond()))
    }

    /// Writes the time as RFC 3339 in UTC, with as many fraction digits as it needs.
    pub fn to_rfc3339(self) -> String {
        jiff::Timestamp::from_microsecond(self.0)
            .map_or_else(|_| self.0.to_string(), |at| at.to_string())
    }
}

impl From<SystemTime> for Timestamp {
    fn from(at: SystemTime) -> Self {
        let micros = match at.duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_micros()).unwrap_or(i64::MAX),
            Err(before) => -i64::try_from(before.duration().as_micros()).unwrap_or(i64::MAX),
        };
        Self(micros)
    }
}

/// Parses a span such as `250ms`, `30s`, `5m`, `48h` or `400d`.
pub fn parse_span(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let number: u64 = number.parse().ok()?;
    let unit_micros: u64 = match unit {
        "us" => 1,
        "ms" => 1_000,
        "s" => 1_000_000,
        "m" => 60_000_000,
        "h" => 3_600_000_000,
        "d" => 86_400_000_000,
        _ => return None,
    };
    number.checked_mul(unit_micros).map(Duration::from_micros)
}

/// Writes a span as [`parse_span`] reads it, in the largest unit that it is a multiple of.
pub fn span_text(span: Duration) -> String {
    const UNITS: [(u128, &str); 6] = [
        (86_400_000_000, "d"),
        (3_600_000_000, "h"),
        (60_000_000, "m"),
        (1_000_000, "s"),
        (1_000, "ms"),
        (1, "us"),
    ];
    let micros = span.as_micros();
    let whole = UNITS.iter().find(|(unit, _)| micros.is_multiple_of(*unit) && micros > 0);
    whole.map_or_else(|| "0s".to_owned(), |(unit, name)| format!("{}{name}", micros / unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_need_a_number_and_a_known_unit() {
        assert_eq!(parse_span("30s"), Some(Duration::from_secs(30)));
        assert_eq!(parse_span("400d"), Some(Duration::from_secs(400 * 86_400)));
        assert_eq!(parse_span("0s"), Some(Duration::ZERO));
        for bad in ["", "s", "30", "1.5s", "30 s", "-3s", "99999999999999999999d"] {
            assert_eq!(parse_span(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_span_s_text_is_read_back_as_the_same_span() {
        for text in ["92d", "36h", "90m", "45s", "250ms", "7us", "0s"] {
            assert_eq!(parse_span(text).map(span_text).as_deref(), Some(text));
        }
    }

    #[test]
    fn times_before_the_epoch_align_down_too() {
        let hour = Duration::from_secs(3600);
        assert_eq!(Timestamp(-1).align_down(hour), Timestamp(-3_600_000_000));
        assert_eq!(Timestamp(3_600_000_001).align_down(hour), Timestamp(3_600_000_000));
    }

    #[test]
    fn rfc3339_round_trips_to_the_microsecond() {
        let at = Timestamp::parse_rfc3339("2026-11-22T10:00:00.000001+01:00").unwrap();
        assert_eq!(at.to_rfc3339(), "2026-11-22T09:00:00.000001Z");
    }
}
