//! What the edge counts of its dealings with workers.

use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec};

use super::{counter, counters, registered};
use crate::refresh::Fallback;
use crate::write_back::Outcome;

/// Bounds of the refresh histogram, in seconds.
const REFRESH_SECONDS: [f64; 13] =
    [0.002, 0.005, 0.01, 0.015, 0.02, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// Metrics about what is handed to workers and taken from them.
pub(crate) struct Workers {
    write_backs: IntCounterVec,
    fallbacks: [IntCounter; Fallback::ALL.len()],
    pub(crate) refresh_orders: IntCounter,
    pub(crate) refresh_seconds: Histogram,
    pub(crate) hot_keys_reported: IntCounter,
}

// === impl Workers ===

impl Workers {
    pub(super) fn register() -> Self {
        let fallbacks = counters(
            "refresh_fallbacks_total",
            "Stale responses that this edge validates itself though workers are to, by reason.",
            &["reason"],
        );
        Self {
            write_backs: counters(
                "write_backs_total",
                "What became of responses and findings of workers.",
                &["kind", "result"],
            ),
            fallbacks: Fallback::ALL
                .map(|fallback| fallbacks.with_label_values(&[fallback.label()])),
            refresh_orders: counter("refresh_orders_total", "Refresh jobs published."),
            refresh_seconds: registered(Histogram::with_opts(
                HistogramOpts::new(
                    "tidegate_edge_refresh_seconds",
                    "Time from a stale hit that ordered a refresh to the worker's word on it.",
                )
                .buckets(REFRESH_SECONDS.to_vec()),
            )),
            hot_keys_reported: counter("hot_keys_reported_total", "Hot keys told to the api."),
        }
    }

    /// Counts what became of something a worker said.
    pub(crate) fn written_back(&self, kind: &str, outcome: Outcome) {
        self.write_backs.with_label_values(&[kind, outcome.label()]).inc();
    }

    /// Counts a refresh that a worker is not asked for, or in vain.
    pub(crate) fn fell_back(&self, reason: Fallback) {
        self.fallbacks[reason as usize].inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_counts_under_its_own_place() {
        for (position, fallback) in Fallback::ALL.into_iter().enumerate() {
            assert_eq!(fallback as usize, position);
        }
    }
}
