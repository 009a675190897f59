//! How hot a key is: requests that count half after each half-life.
//!
//! Kept is the logarithm (base 2) of the decayed count, plus the time in half-lives. As time goes by
//! the count sinks as fast as the time rises, so what is kept stays as it is and compares keys at
//! any time.

use tidegate_core::clock::Timestamp;
use tidegate_core::hot::{HotKey, HotReport, MAX_KEYS};

use crate::{HALF_LIFE, MAX_TAGS, StoreError};

/// A key with a decayed count below two to this power is forgotten.
const COLD: f64 = -10.0;

/// One key of a report, as it is kept.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    /// What was asked for, and where: JSON.
    pub(crate) key: String,
    /// Whose data; empty for what anyone may read.
    pub(crate) tenant: String,
    /// The whole [`HotKey`]: JSON.
    pub(crate) document: String,
    /// JSON.
    pub(crate) tags: String,
    pub(crate) requests: u64,
}

/// Takes a report apart, no further than it may reach.
pub(crate) fn reports(report: &HotReport) -> Result<Vec<Report>, StoreError> {
    let asked = report.keys.iter().filter(|key| key.requests > 0);
    asked.take(MAX_KEYS).map(Report::of).collect()
}

/// Adds requests to a key that may be known.
pub(crate) fn add(known: Option<f64>, requests: u64, now: Timestamp) -> f64 {
    let at = half_lives(now);
    let decayed = known.map_or(0.0, |heat| (heat - at).exp2());
    (decayed + requests as f64).log2() + at
}

/// Returns the decayed requests of a key at a time.
pub(crate) fn requests(heat: f64, at: Timestamp) -> u64 {
    // Saturates; a count is never negative.
    (heat - half_lives(at)).exp2().round() as u64
}

/// Returns what a key has that is forgotten.
pub(crate) fn cold(now: Timestamp) -> f64 {
    half_lives(now) + COLD
}

fn half_lives(at: Timestamp) -> f64 {
    at.0 as f64 / HALF_LIFE.as_micros() as f64
}

// === impl Report ===

impl Report {
    fn of(key: &HotKey) -> Result<Self, StoreError> {
        let tags = key.tags.get(..MAX_TAGS).unwrap_or(&key.tags);
        Ok(Self {
            key: serde_json::to_string(&(&key.resource, &key.origin))?,
            tenant: key.reader.tenant.clone(),
            document: serde_json::to_string(key)?,
            tags: serde_json::to_string(tags)?,
            requests: key.requests,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sunday, 2026-11-22T12:00:00Z.
    const NOW: Timestamp = Timestamp(1_795_348_800_000_000);

    #[test]
    fn a_request_counts_half_after_a_half_life() {
        let heat = add(None, 1_000, NOW);
        assert_eq!(requests(heat, NOW), 1_000);
        assert_eq!(requests(heat, NOW.after(HALF_LIFE)), 500);
        let heat = add(Some(heat), 500, NOW.after(HALF_LIFE));
        assert_eq!(requests(heat, NOW.after(HALF_LIFE)), 1_000);
        assert_eq!(requests(heat, NOW.after(HALF_LIFE * 100)), 0);
    }

    #[test]
    fn keys_compare_without_being_touched() {
        let (old, new) = (add(None, 1_000, NOW), add(None, 400, NOW.after(HALF_LIFE)));
        assert!(old > new);
        assert!(add(None, 600, NOW.after(HALF_LIFE)) > old);
        assert!(old > cold(NOW) && old < cold(NOW.after(HALF_LIFE * 21)));
    }
}
