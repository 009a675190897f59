//! Metrics of the worker.

use std::sync::OnceLock;
use std::time::Duration;

use prometheus::core::Collector;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    exponential_buckets,
};
use tidegate_core::clock::Timestamp;
use tidegate_core::job::Lane;
use tidegate_core::telemetry::registry;
use tidegate_queue::{Depth, Depths};
use tidegate_store::{Counts, Ending, Swept};

use crate::kinds::Kind;
use crate::settle::Outcome;

/// Everything the worker counts.
pub(crate) struct Metrics {
    rows: IntCounterVec,
    jobs: IntCounterVec,
    run_seconds: HistogramVec,
    long: IntCounterVec,
    swept: IntCounterVec,
    dead_letters: IntCounterVec,
    drift: IntCounterVec,
    write_back: IntCounterVec,
    apply_seconds: Histogram,
    apply_rows: Histogram,
    lag_seconds: Histogram,
    queue_jobs: IntGaugeVec,
    queue_age_seconds: IntGaugeVec,
    queue_unfiled: IntGauge,
    queue_unrouted: IntGauge,
}

/// Returns the metrics of this process.
pub(crate) fn metrics() -> &'static Metrics {
    static METRICS: OnceLock<Metrics> = OnceLock::new();
    METRICS.get_or_init(|| Metrics::new().expect("metrics must register: their names are ours"))
}

// === impl Metrics ===

impl Metrics {
    fn new() -> Result<Self, prometheus::Error> {
        Ok(Self {
            rows: counters(
                "tidegate_worker_rows_total",
                "Rows of applied batches by how they ended.",
                &["outcome"],
            )?,
            jobs: counters(
                "tidegate_worker_jobs_total",
                "Deliveries settled.",
                &["kind", "lane", "outcome"],
            )?,
            run_seconds: register(HistogramVec::new(
                HistogramOpts::new("tidegate_worker_run_seconds", "Time of a run of jobs.")
                    .buckets(exponential_buckets(0.001, 4.0, 10)?),
                &["kind"],
            )?)?,
            long: counters(
                "tidegate_worker_long_jobs_total",
                "Runs under a lease by how they ended.",
                &["ending"],
            )?,
            swept: counters(
                "tidegate_worker_swept_total",
                "What was forgotten and brought back, or past its time and dropped.",
                &["what"],
            )?,
            dead_letters: counters(
                "tidegate_worker_dead_letters_total",
                "Dead letters filed.",
                &["kind", "code"],
            )?,
            drift: counters(
                "tidegate_view_drift_groups_total",
                "Groups of a view that differed from their recomputation.",
                &["product", "view"],
            )?,
            write_back: counters(
                "tidegate_worker_write_back_total",
                "Hot responses after a commit, by what became of them.",
                &["outcome"],
            )?,
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
            queue_jobs: gauges(
                "tidegate_worker_queue_jobs",
                "Jobs in the queue by lane and state.",
                &["lane", "state"],
            )?,
            queue_age_seconds: gauges(
                "tidegate_worker_queue_age_seconds",
                "Age of the oldest job of a lane that is ready or held.",
                &["lane"],
            )?,
            queue_unfiled: register(IntGauge::new(
                "tidegate_worker_queue_unfiled_jobs",
                "Jobs kept aside by the queue and not yet filed.",
            )?)?,
            queue_unrouted: register(IntGauge::new(
                "tidegate_worker_queue_unrouted_jobs",
                "Jobs for which there was no queue.",
            )?)?,
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
    pub(crate) fn job(&self, kind: Option<Kind>, lane: Lane, outcome: &Outcome) {
        let kind = kind.map_or("unknown", Kind::as_str);
        self.jobs.with_label_values(&[kind, lane.as_str(), outcome.label()]).inc();
    }

    /// Observes a run.
    pub(crate) fn ran(&self, kind: Kind, elapsed: Duration) {
        self.run_seconds.with_label_values(&[kind.as_str()]).observe(elapsed.as_secs_f64());
    }

    /// Counts a run under a lease.
    pub(crate) fn long(&self, ending: &Ending) {
        let label = match ending {
            Ending::Done { .. } => "done",
            Ending::Retry { .. } => "retried",
            Ending::GivenBack => "given_back",
            Ending::Failed { .. } => "failed",
            Ending::Dead { .. } => "dead",
            Ending::Cancelled => "cancelled",
        };
        self.long.with_label_values(&[label]).inc();
    }

    /// Counts what one look for forgotten things has done.
    pub(crate) fn swept(&self, swept: &Swept) {
        let Swept { requeued, due, expired, dropped, pruned } = *swept;
        let counts = [
            ("requeued", requeued),
            ("due", due),
            ("expired", expired),
            ("dropped", dropped),
            ("pruned", pruned),
        ];
        for (what, count) in counts {
            let count = u64::try_from(count).unwrap_or(u64::MAX);
            self.swept.with_label_values(&[what]).inc_by(count);
        }
    }

    /// Counts a dead letter. Its growth is what operators are alerted on.
    pub(crate) fn dead_letter(&self, kind: &str, code: &str) {
        self.dead_letters.with_label_values(&[kind, code]).inc();
    }

    /// Counts groups that differed from their recomputation; a view without any counts none.
    pub(crate) fn drift(&self, product: &str, view: &str, groups: u64) {
        self.drift.with_label_values(&[product, view]).inc_by(groups);
    }

    /// Counts hot responses after a commit.
    pub(crate) fn write_back(&self, outcome: &str, responses: usize) {
        let responses = u64::try_from(responses).unwrap_or(u64::MAX);
        self.write_back.with_label_values(&[outcome]).inc_by(responses);
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
        self.queue_unfiled.set(gauge(depths.unfiled));
        self.queue_unrouted.set(gauge(depths.unrouted));
    }
}

fn counters(name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec, prometheus::Error> {
    register(IntCounterVec::new(Opts::new(name, help), labels)?)
}

fn gauges(name: &str, help: &str, labels: &[&str]) -> Result<IntGaugeVec, prometheus::Error> {
    register(IntGaugeVec::new(Opts::new(name, help), labels)?)
}

fn histogram(name: &str, help: &str, buckets: Vec<f64>) -> Result<Histogram, prometheus::Error> {
    register(Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets))?)
}

fn register<C: Collector + Clone + 'static>(collector: C) -> Result<C, prometheus::Error> {
    registry().register(Box::new(collector.clone()))?;
    Ok(collector)
}
