//! How much work waits in the queue.

use prometheus::{IntGauge, IntGaugeVec, Opts};
use tidegate_core::clock::Timestamp;
use tidegate_queue::{Depth, Depths};

use super::register;

/// Gauges of the queue.
pub(super) struct Queue {
    jobs: IntGaugeVec,
    age_seconds: IntGaugeVec,
    unfiled: IntGauge,
    unrouted: IntGauge,
}

// === impl Queue ===

impl Queue {
    pub(super) fn new() -> Result<Self, prometheus::Error> {
        Ok(Self {
            jobs: gauges(
                "tidegate_worker_queue_jobs",
                "Jobs in the queue by lane and state.",
                &["lane", "state"],
            )?,
            age_seconds: gauges(
                "tidegate_worker_queue_age_seconds",
                "Age of the oldest job of a lane that is ready or held.",
                &["lane"],
            )?,
            unfiled: register(IntGauge::new(
                "tidegate_worker_queue_unfiled_jobs",
                "Jobs kept aside by the queue and not yet filed.",
            )?)?,
            unrouted: register(IntGauge::new(
                "tidegate_worker_queue_unrouted_jobs",
                "Jobs for which there was no queue.",
            )?)?,
        })
    }

    pub(super) fn show(&self, depths: &Depths, now: Timestamp) {
        let gauge = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        let stable = depths.lanes.iter().filter(|depth| depth.canary.is_none());
        for Depth { lane, ready, unacked, oldest, .. } in stable {
            let lane = lane.as_str();
            for (state, count) in [("ready", ready), ("unacked", unacked)] {
                self.jobs.with_label_values(&[lane, state]).set(gauge(*count));
            }
            let age = oldest.map_or(0, |oldest| now.since(oldest).as_secs());
            self.age_seconds.with_label_values(&[lane]).set(gauge(age));
        }
        self.unfiled.set(gauge(depths.unfiled));
        self.unrouted.set(gauge(depths.unrouted));
    }
}

fn gauges(name: &str, help: &str, labels: &[&str]) -> Result<IntGaugeVec, prometheus::Error> {
    register(IntGaugeVec::new(Opts::new(name, help), labels)?)
}
