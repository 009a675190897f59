//! Refuses ingest while too many batches wait: better now, with a time to come back, than later.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tidegate_core::clock::Timestamp;
use tidegate_store::Store;

use crate::error::Refusal;
use crate::metrics::metrics;

/// How often the backlog is counted.
pub(crate) const SAMPLE_EVERY: Duration = Duration::from_secs(1);

/// The backlog as it was counted last.
pub(crate) struct Backlog {
    batches: AtomicU64,
    most: u64,
}

// === impl Backlog ===

impl Backlog {
    pub(crate) fn new(most: u64) -> Self {
        Self { batches: AtomicU64::new(0), most }
    }

    /// Lets a batch in, or refuses it.
    pub(crate) fn admit(&self) -> Result<(), Refusal> {
        let over = self.batches.load(Ordering::Relaxed) > self.most;
        if over { Err(Refusal::Backlog) } else { Ok(()) }
    }

    /// Counts the backlog. While it can't be counted the last count stays.
    pub(crate) async fn sample(&self, store: &dyn Store, now: Timestamp) {
        let backlog = match store.backlog().await {
            Ok(backlog) => backlog,
            Err(error) => {
                tracing::warn!(error = %error, "Backlog could not be counted.");
                return;
            }
        };
        self.batches.store(backlog.batches, Ordering::Relaxed);
        let gauge = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        let age = backlog.oldest.map_or(0, |oldest| now.since(oldest).as_secs());
        metrics().backlog_batches.set(gauge(backlog.batches));
        metrics().backlog_age_seconds.set(gauge(age));
        metrics().outbox_lines.set(gauge(backlog.outbox));
        metrics().dead_letters.set(gauge(backlog.dead));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ingest_is_refused_only_beyond_the_limit() {
        let backlog = Backlog::new(2);
        for (batches, admitted) in [(0, true), (2, true), (3, false)] {
            backlog.batches.store(batches, Ordering::Relaxed);
            assert_eq!(backlog.admit().is_ok(), admitted, "{batches}");
        }
    }
}
