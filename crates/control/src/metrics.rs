//! Control's metrics.

use std::sync::LazyLock;

use prometheus::{IntCounterVec, IntGauge, Opts};
use tidegate_core::telemetry::registry;

/// The metrics of this process.
pub(crate) static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::register);

/// All of them.
pub(crate) struct Metrics {
    epoch: IntGauge,
    generation: IntGauge,
    /// Requests that wait for a newer document.
    pub(crate) waiters: IntGauge,
    reloads: IntCounterVec,
}

// === impl Metrics ===

impl Metrics {
    fn register() -> Self {
        let gauge = |name: &str, help: &str| {
            let gauge = IntGauge::new(name, help).expect("a metric's name must be valid");
            registry().register(Box::new(gauge.clone())).expect("a metric must be registered once");
            gauge
        };
        let opts = Opts::new(
            "tidegate_control_product_reloads_total",
            "Changes of the product file, by what became of them.",
        );
        let reloads = IntCounterVec::new(opts, &["result"]).expect("a metric's name must be valid");
        registry().register(Box::new(reloads.clone())).expect("a metric must be registered once");
        Self {
            epoch: gauge("tidegate_control_epoch_number", "Life of this control."),
            generation: gauge(
                "tidegate_control_generation_number",
                "Newest routing document within the epoch.",
            ),
            waiters: gauge(
                "tidegate_control_waiters_count",
                "Requests that wait for a newer routing document.",
            ),
            reloads,
        }
    }

    pub(crate) fn issued(&self, epoch: u64, generation: u64) {
        self.epoch.set(i64::try_from(epoch).unwrap_or(i64::MAX));
        self.generation.set(i64::try_from(generation).unwrap_or(i64::MAX));
    }

    pub(crate) fn reloaded(&self, accepted: bool) {
        let result = if accepted { "issued" } else { "refused" };
        self.reloads.with_label_values(&[result]).inc();
    }
}
