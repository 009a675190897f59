//! The run's figures while it goes: written by everyone, read by the progress line and the report.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::time::Instant;

/// Figures of one run. They only inform; nothing is decided by them.
#[derive(Debug)]
pub(crate) struct Board {
    started: Instant,
    rows: u64,
    accepted: AtomicU64,
    applied: AtomicU64,
    lag_ms: AtomicU64,
    reads: AtomicU64,
    hits: AtomicU64,
}

// === impl Board ===

impl Board {
    /// Starts a run of `rows` rows.
    pub(crate) fn new(rows: u64) -> Self {
        Self {
            started: Instant::now(),
            rows,
            accepted: AtomicU64::new(0),
            applied: AtomicU64::new(0),
            lag_ms: AtomicU64::new(0),
            reads: AtomicU64::new(0),
            hits: AtomicU64::new(0),
        }
    }

    /// Rows were answered 202.
    pub(crate) fn accepted(&self, rows: u32) {
        self.accepted.fetch_add(u64::from(rows), Relaxed);
    }

    /// Rows were applied, or refused for good.
    pub(crate) fn applied(&self, rows: u32) {
        self.applied.fetch_add(u64::from(rows), Relaxed);
    }

    /// The oldest job that has not ended was accepted this long ago.
    pub(crate) fn lags(&self, behind: Duration) {
        self.lag_ms.store(u64::try_from(behind.as_millis()).unwrap_or(u64::MAX), Relaxed);
    }

    /// A read was answered, from the edge's cache or not.
    pub(crate) fn read(&self, hit: Hit) {
        self.reads.fetch_add(1, Relaxed);
        self.hits.fetch_add(u64::from(hit == Hit::Yes), Relaxed);
    }

    /// Returns rows to send.
    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    /// Returns rows applied or refused for good.
    pub(crate) fn rows_applied(&self) -> u64 {
        self.applied.load(Relaxed)
    }

    /// Returns reads that were answered.
    pub(crate) fn reads(&self) -> u64 {
        self.reads.load(Relaxed)
    }

    /// Returns the share of reads answered by the edge's cache, if there were any.
    pub(crate) fn hit_ratio(&self) -> Option<f64> {
        let reads = self.reads();
        (reads > 0).then(|| self.hits.load(Relaxed) as f64 / reads as f64)
    }

    /// Describes the run in one line, what matters first: a narrow terminal cuts its end.
    pub(crate) fn line(&self) -> String {
        let seconds = self.started.elapsed().as_secs_f64().max(0.001);
        let applied = self.rows_applied();
        let hits = self.hit_ratio().map_or("no".into(), |ratio| format!("{:.0} %", ratio * 100.0));
        format!(
            "{} rows/s, {hits} hits, {} of {} applied, {} accepted, {} ms behind",
            grouped((applied as f64 / seconds) as u64),
            grouped(applied),
            grouped(self.rows),
            grouped(self.accepted.load(Relaxed)),
            self.lag_ms.load(Relaxed),
        )
    }
}

/// Whether the edge's cache answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hit {
    /// From memory.
    Yes,
    /// Not without the origin.
    No,
}

// === impl Hit ===

impl Hit {
    /// Reads a `Cache-Status` field (RFC 9211): any cache on the way may have answered.
    pub(crate) fn of(cache_status: Option<&str>) -> Self {
        let is_hit = cache_status
            .unwrap_or_default()
            .split([',', ';'])
            .any(|part| part.trim().eq_ignore_ascii_case("hit"));
        if is_hit { Self::Yes } else { Self::No }
    }
}

/// Writes a number with commas between groups of three digits.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_parameter_hit_is_a_hit() {
        assert_eq!(Hit::of(Some("edge; hit; ttl=3")), Hit::Yes);
        assert_eq!(Hit::of(Some("edge; fwd=miss, other; hit")), Hit::Yes);
        for miss in ["edge; fwd=stale; stored", "hit-ward; fwd=miss", ""] {
            assert_eq!(Hit::of(Some(miss)), Hit::No, "{miss}");
        }
        assert_eq!(Hit::of(None), Hit::No);
    }

    #[test]
    fn digits_are_grouped_by_three() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
    }
}
