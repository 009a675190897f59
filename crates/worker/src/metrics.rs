//! Metrics of the worker.

use std::sync::OnceLock;
use std::time::Duration;

use prometheus::core::Collector;
use prometheus::{
    Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGaugeVec, Opts, exponential_buckets,
};
use tidegate_core::clock::Timestamp;
use tidegate_core::telemetry::registry;
use tidegate_queue::{Depth, Depths};
use tidegate_store::Counts;

use crate::settle::Outcome;

/// Everything the worker counts.
pub(crate) struct Metrics {
    rows: IntCounterVec,
    jobs: IntCounterVec,
    swept: IntCounter,
    apply_seconds: Histogram,
    apply_rows: Histogram,
    lag_seconds: Histogram,
    queue_jobs: IntGaugeVec,
    queue_age_seconds: IntGaugeVec,
}

/// Returns the metrics of this process.
pub(crate) fn metrics() -> &'static Metrics {
    static METRICS: OnceLock<Metrics> = OnceLock::new();
    METRICS.get_or_init(|| Metrics::new().expect("metrics must register: their names are ours"))
}

// === impl Metrics ===

impl Metrics {
    fn new() -> Result<Self, prometheus::Error> {
        let labelled = |name: &str, help: &str, labels: &[&str]| {
            register(IntCounterVec::new(Opts::new(name, help), labels)?)
        };
        let gauge = |name: &str, help: &str, labels: &[&str]| {
            register(IntGaugeVec::new(Opts::new(name, help), labels)?)
        };
        let histogram = |name: &str, help: &str, buckets: Vec<f64>| {
            register(Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets))?)
        };
        let queue_jobs = gauge(
            "tidegate_worker_queue_jobs",
            "Jobs in the queue by lane and state.",
            &["lane", "state"],
        )?;
        let queue_age_seconds = gauge(
            "tidegate_worker_queue_age_seconds",
            "Age of the oldest job of a lane that is ready or held.",
            &["lane"],
        )?;
        Ok(Self {
            rows: labelled(
                "tidegate_worker_rows_total",
                "Rows of applied batches by how they ended.",
                &["outcome"],
            )?,
            jobs: labelled("tidegate_worker_jobs_total", "Deliveries settled.", &["outcome"])?,
            swept: register(IntCounter::new(
                "tidegate_worker_swept_batches_total",
                "Batches published again because their message may be lost.",
            )?)?,
            apply_seconds: histogram(
                "tidegate_worker_apply_seconds",
                "Time to apply a group of batches.",
                exponential_buckets(0.001, 2.0, 14)?,
            )?,
            apply_rows: histogram(
                "tidegate_worker_apply_rows",
                "Rows of a group of batches.",
                exponential_buckets(1.0, 4.0, 10)?,
            )?,
            lag_seconds: histogram(
                "tidegate_worker_lag_seconds",
                "Time from accepting a batch to its commit.",
                exponential_buckets(0.005, 2.0, 16)?,
            )?,
            queue_jobs,
            queue_age_seconds,
        })
    }

    /// Counts the rows of an applied batch.
    pub(crate) fn rows(&self, counts: &Counts) {
        let Counts { new, duplicate, late, rejected } = *counts;
        let outcomes =
            [("new", new), ("duplicate", duplicate), ("late", late), ("rejected", rejected)];
        for (outcome, rows) in outcomes {
            self.rows.with_label_values(&[outcome]).inc_by(rows);
        }
    }

    /// Counts a settled delivery.
    pub(crate) fn job(&self, outcome: &Outcome) {
        self.jobs.with_label_values(&[outcome.label()]).inc();
    }

    /// Counts batches that were published again.
    pub(crate) fn swept(&self, batches: usize) {
        self.swept.inc_by(u64::try_from(batches).unwrap_or(u64::MAX));
    }

    /// Observes an applied group.
    pub(crate) fn group(&self, elapsed: Duration, rows: usize) {
        self.apply_seconds.observe(elapsed.as_secs_f64());
        self.apply_rows.observe(f64::from(u32::try_from(rows).unwrap_or(u32::MAX)));
    }

    /// Observes the time from accepting a batch to its commit.
    pub(crate) fn lag(&self, lag: Duration) {
        self.lag_seconds.observe(lag.as_secs_f64());
    }

    /// Shows how much work waits.
    pub(crate) fn depths(&self, depths: &Depths, now: Timestamp) {
        let gauge = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        let stable = depths.lanes.iter().filter(|depth| depth.canary.is_none());
        for Depth { lane, ready, unacked, oldest, .. } in stable {
            let lane = lane.as_str();
            for (state, count) in [("ready", ready), ("unacked", unacked)] {
                self.queue_jobs.with_label_values(&[lane, state]).set(gauge(*count));
            }
            let age = oldest.map_or(0, |oldest| now.since(oldest).as_secs());
            self.queue_age_seconds.with_label_values(&[lane]).set(gauge(age));
        }
    }
}

fn register<C: Collector + Clone + 'static>(collector: C) -> Result<C, prometheus::Error> {
    registry().register(Box::new(collector.clone()))?;
    Ok(collector)
}
