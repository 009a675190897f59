//! What the edge counts.

mod workers;

use std::sync::LazyLock;

use http::StatusCode;
use prometheus::{
    Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, core::Collector,
};
use tidegate_core::telemetry::registry;

use self::workers::Workers;
use crate::error::RequestError;

/// Bounds of the upstream histogram, in seconds.
const SECONDS: [f64; 12] = [0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// How a response came about, for counting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Hit,
    StaleHit,
    Miss,
    Validated,
    Collapsed,
    StaleOnError,
    Passed,
    Refused,
}

const SOURCES: [Source; 8] = [
    Source::Hit,
    Source::StaleHit,
    Source::Miss,
    Source::Validated,
    Source::Collapsed,
    Source::StaleOnError,
    Source::Passed,
    Source::Refused,
];

const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// All metrics of this process's edge.
pub(crate) struct Metrics {
    /// By source and status class, resolved once: a hit costs one addition.
    responses: [[IntCounter; CLASSES.len()]; SOURCES.len()],
    upstream_errors: IntCounterVec,
    pub(crate) upstream_seconds: Histogram,
    pub(crate) connections: IntGauge,
    pub(crate) handshake_failures: IntCounter,
    pub(crate) purged_tags: IntCounter,
    pub(crate) notices_missed: IntCounter,
    pub(crate) subscribed: IntGauge,
    pub(crate) stale_fills_refused: IntCounter,
    pub(crate) background_skipped: IntCounter,
    pub(crate) cache_keys: IntGauge,
    pub(crate) cache_bytes: IntGauge,
    pub(crate) scope_fetches: IntCounter,
    pub(crate) workers: Workers,
    pub(crate) routing_epoch: IntGauge,
    pub(crate) routing_generation: IntGauge,
}

/// Returns the metrics, registered on first use.
pub(crate) fn metrics() -> &'static Metrics {
    static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::register);
    &METRICS
}

// === impl Source ===

impl Source {
    fn label(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::StaleHit => "stale_hit",
            Self::Miss => "miss",
            Self::Validated => "validated",
            Self::Collapsed => "collapsed",
            Self::StaleOnError => "stale_on_error",
            Self::Passed => "passed",
            Self::Refused => "refused",
        }
    }
}

// === impl Metrics ===

impl Metrics {
    fn register() -> Self {
        let responses = counters(
            "responses_total",
            "Responses by how they came about and by status class.",
            &["source", "class"],
        );
        Self {
            responses: SOURCES.map(|source| {
                CLASSES.map(|class| responses.with_label_values(&[source.label(), class]))
            }),
            upstream_errors: counters(
                "upstream_errors_total",
                "Requests to origins that got no answer.",
                &["kind"],
            ),
            upstream_seconds: registered(Histogram::with_opts(
                HistogramOpts::new(
                    "tidegate_edge_upstream_seconds",
                    "Time to the head of an origin's answer.",
                )
                .buckets(SECONDS.to_vec()),
            )),
            connections: gauge("connections", "Open client connections."),
            handshake_failures: counter(
                "handshake_failures_total",
                "TLS handshakes that did not complete.",
            ),
            purged_tags: counter("purged_tags_total", "Tags purged by notices."),
            notices_missed: counter(
                "notices_missed_total",
                "Times that notices were missed, so that everything was invalidated.",
            ),
            subscribed: gauge("subscribed", "1 while notices are received."),
            stale_fills_refused: counter(
                "stale_fills_refused_total",
                "Responses not stored as a purge overtook them.",
            ),
            background_skipped: counter(
                "background_skipped_total",
                "Background validations not started as too many were running.",
            ),
            cache_keys: gauge("cache_keys", "Keys with stored responses."),
            cache_bytes: gauge("cache_bytes", "Weight of stored responses."),
            scope_fetches: counter("scope_fetches_total", "Credentials resolved by the api."),
            workers: Workers::register(),
            routing_epoch: gauge("routing_epoch", "Epoch of the routing document in use."),
            routing_generation: gauge(
                "routing_generation",
                "Generation of the routing document in use.",
            ),
        }
    }

    /// Counts a response.
    pub(crate) fn responded(&self, source: Source, status: StatusCode) {
        let class = usize::from(status.as_u16() / 100).clamp(1, CLASSES.len()) - 1;
        self.responses[source as usize][class].inc();
    }

    /// Counts an origin's failure.
    pub(crate) fn upstream_failed(&self, error: RequestError) {
        let kind = match error {
            RequestError::Unreachable => "unreachable",
            RequestError::Closed => "closed",
            RequestError::Garbled => "garbled",
            RequestError::TimedOut => "timed_out",
            // The client's fault.
            _ => return,
        };
        self.upstream_errors.with_label_values(&[kind]).inc();
    }
}

fn opts(name: &str, help: &str) -> Opts {
    Opts::new(format!("tidegate_edge_{name}"), help)
}

fn counter(name: &str, help: &str) -> IntCounter {
    registered(IntCounter::with_opts(opts(name, help)))
}

fn counters(name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    registered(IntCounterVec::new(opts(name, help), labels))
}

fn gauge(name: &str, help: &str) -> IntGauge {
    registered(IntGauge::with_opts(opts(name, help)))
}

fn registered<C: Collector + Clone + 'static>(metric: Result<C, prometheus::Error>) -> C {
    let metric = metric.expect("the metric's name and labels must be valid");
    registry().register(Box::new(metric.clone())).expect("the metric's name must be unique");
    metric
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_source_counts_under_its_own_place() {
        for (position, source) in SOURCES.into_iter().enumerate() {
            assert_eq!(source as usize, position);
        }
    }
}
