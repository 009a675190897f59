//! Which values a column takes.

use tidegate_core::clock::Timestamp;

use crate::pattern::Pattern;

/// The limits of a column's values; the kind of rule is the column's kind.
#[derive(Clone, Debug)]
pub(crate) enum Rule {
    /// Text.
    String {
        /// Longest text, in bytes.
        max_len: usize,
        /// What it must match.
        pattern: Option<Pattern>,
    },
    /// One of a list of words.
    Enum {
        /// The words.
        values: Vec<String>,
    },
    /// A UUID.
    Uuid,
    /// A whole number.
    Int {
        /// Smallest.
        min: i64,
        /// Largest.
        max: i64,
    },
    /// A scaled number.
    Decimal {
        /// Smallest, scaled.
        min: i64,
        /// Largest, scaled.
        max: i64,
    },
    /// A time.
    Timestamp {
        /// Earliest.
        not_before: Option<TimeBound>,
        /// Latest.
        not_after: Option<TimeBound>,
    },
    /// `true` or `false`.
    Bool,
    /// A float.
    Float {
        /// Smallest.
        min: f64,
        /// Largest.
        max: f64,
    },
}

/// A limit of a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TimeBound {
    /// Always the same.
    Fixed(Timestamp),
    /// Microseconds from the time at which a row is validated.
    FromNow(i64),
}

// === impl Rule ===

impl Rule {
    /// Returns how many bytes a value has at most when it is written as text or as a number.
    pub(crate) fn max_bytes(&self) -> usize {
        match self {
            Self::String { max_len, .. } => *max_len,
            Self::Enum { values } => values.iter().map(String::len).max().unwrap_or(0),
            Self::Uuid => 36,
            Self::Int { .. }
            | Self::Decimal { .. }
            | Self::Timestamp { .. }
            | Self::Bool
            | Self::Float { .. } => 8,
        }
    }
}

// === impl TimeBound ===

impl TimeBound {
    /// Parses RFC 3339, `now`, `now-24h` or `now+5m`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let at = tidegate_core::param::parse_time(text, Timestamp(0))?;
        Some(if text.starts_with("now") { Self::FromNow(at.0) } else { Self::Fixed(at) })
    }

    /// Returns the limit in microseconds.
    pub(crate) fn at(&self, now: Timestamp) -> i64 {
        match self {
            Self::Fixed(at) => at.0,
            Self::FromNow(offset) => now.0.saturating_add(*offset),
        }
    }
}
