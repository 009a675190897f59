//! Metrics of the api, resolved once so that a request only adds to them.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::StatusCode;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts,
};
use tidegate_core::telemetry::registry;

/// Upper bounds of the latency buckets, in seconds.
const LATENCY_BUCKETS_S: [f64; 12] =
    [0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 0.5, 2.0, 10.0];

/// Everything the api counts.
pub(crate) struct Metrics {
    requests: IntCounterVec,
    seconds: HistogramVec,
    rows: IntCounterVec,
    pub(crate) shed: IntCounter,
    pub(crate) panics: IntCounter,
    pub(crate) in_flight: IntGauge,
    pub(crate) backlog_batches: IntGauge,
    pub(crate) backlog_age_seconds: IntGauge,
    pub(crate) outbox_lines: IntGauge,
    pub(crate) desired_workers: IntGauge,
    pub(crate) dead_letters: IntGauge,
    other: Arc<Series>,
}

/// The series of one route.
pub(crate) struct Series {
    /// By the status' first digit, from 2.
    requests: [IntCounter; 4],
    seconds: Histogram,
}

/// The counters of one dataset.
pub(crate) struct RowCounters {
    pub(crate) accepted: IntCounter,
    pub(crate) rejected: IntCounter,
}

/// Returns the metrics of this process.
pub(crate) fn metrics() -> &'static Metrics {
    static METRICS: OnceLock<Metrics> = OnceLock::new();
    METRICS.get_or_init(|| Metrics::new().expect("metrics must register: their names are ours"))
}

// === impl Metrics ===

impl Metrics {
    fn new() -> Result<Self, prometheus::Error> {
        let requests = IntCounterVec::new(
            Opts::new("tidegate_api_requests_total", "Requests answered."),
            &["route", "class"],
        )?;
        let seconds = HistogramVec::new(
            HistogramOpts::new("tidegate_api_request_seconds", "Time to the answer.")
                .buckets(LATENCY_BUCKETS_S.to_vec()),
            &["route"],
        )?;
        let rows = IntCounterVec::new(
            Opts::new("tidegate_api_rows_total", "Rows received, by how validation ended."),
            &["dataset", "outcome"],
        )?;
        let registry = registry();
        registry.register(Box::new(requests.clone()))?;
        registry.register(Box::new(seconds.clone()))?;
        registry.register(Box::new(rows.clone()))?;
        let other = Arc::new(series(&requests, &seconds, "other"));
        Ok(Self {
            requests,
            seconds,
            rows,
            shed: counter("tidegate_api_shed_total", "Requests refused at the in-flight limit.")?,
            panics: counter("tidegate_api_panics_total", "Handlers that panicked.")?,
            in_flight: gauge("tidegate_api_in_flight_requests", "Requests in flight.")?,
            backlog_batches: gauge("tidegate_api_backlog_batches", "Batches not yet applied.")?,
            backlog_age_seconds: gauge(
                "tidegate_api_backlog_age_seconds",
                "Age of the oldest batch not yet applied.",
            )?,
            outbox_lines: gauge("tidegate_api_outbox_lines", "Outbox lines not yet published.")?,
            desired_workers: gauge(
                "tidegate_api_desired_workers",
                "Workers that the load asks for, as /internal/scaling says.",
            )?,
            dead_letters: gauge(
                "tidegate_api_dead_letters",
                "Dead letters that nobody has decided on.",
            )?,
            other,
        })
    }

    /// Returns the series of a route. Routes are those of the router and of contracts.
    pub(crate) fn series(&self, route: &str) -> Arc<Series> {
        Arc::new(series(&self.requests, &self.seconds, route))
    }

    /// Returns the series of requests that no route took.
    pub(crate) fn other(&self) -> &Series {
        &self.other
    }

    /// Returns the row counters of `product/dataset`.
    pub(crate) fn row_counters(&self, product: &str, dataset: &str) -> RowCounters {
        let dataset = format!("{product}/{dataset}");
        let of = |outcome| self.rows.with_label_values(&[dataset.as_str(), outcome]);
        RowCounters { accepted: of("accepted"), rejected: of("rejected") }
    }
}

// === impl Series ===

impl Series {
    /// Counts one answer.
    pub(crate) fn observe(&self, status: StatusCode, elapsed: Duration) {
        let class = usize::from(status.as_u16() / 100).saturating_sub(2);
        if let Some(counter) = self.requests.get(class) {
            counter.inc();
        }
        self.seconds.observe(elapsed.as_secs_f64());
    }
}

fn series(requests: &IntCounterVec, seconds: &HistogramVec, route: &str) -> Series {
    let class = |class| requests.with_label_values(&[route, class]);
    Series {
        requests: [class("2xx"), class("3xx"), class("4xx"), class("5xx")],
        seconds: seconds.with_label_values(&[route]),
    }
}

fn counter(name: &str, help: &str) -> Result<IntCounter, prometheus::Error> {
    let counter = IntCounter::new(name, help)?;
    registry().register(Box::new(counter.clone()))?;
    Ok(counter)
}

fn gauge(name: &str, help: &str) -> Result<IntGauge, prometheus::Error> {
    let gauge = IntGauge::new(name, help)?;
    registry().register(Box::new(gauge.clone()))?;
    Ok(gauge)
}
