//! Logs on standard error and metrics in the Prometheus text format.

use std::sync::OnceLock;

use prometheus::{Encoder, Registry, TextEncoder};
use serde::Deserialize;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::FmtSpan;

/// `[log]` of every tier's configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// Filter directives such as `info` or `info,tidegate_edge=debug`. Default: `info`.
    pub filter: String,
    /// One JSON object a line instead of text. Default: false.
    pub json: bool,
}

/// The content type of [`metrics_text`].
pub const METRICS_CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

// === impl LogConfig ===

impl Default for LogConfig {
    fn default() -> Self {
        Self { filter: "info".to_owned(), json: false }
    }
}

/// The broker's client library warns of a message that came back with all of its body.
const QUIET: &str = "lapin=error";

/// Starts logging to standard error. A second call in the same process changes nothing.
pub fn init_logs(config: &LogConfig) {
    let filter = EnvFilter::try_new(format!("{QUIET},{}", config.filter))
        .unwrap_or_else(|_| EnvFilter::new(format!("{QUIET},info")));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_span_events(FmtSpan::NONE)
        .with_ansi(false)
        .with_writer(std::io::stderr);
    // Fails only when a subscriber is already set, as in tests that run several tiers.
    if config.json {
        builder.json().try_init().ok();
    } else {
        builder.try_init().ok();
    }
}

/// Returns the registry of this process: every metric is named `tidegate_…`.
pub fn registry() -> &'static Registry {
    static REGISTRY: OnceLock<Registry> = OnceLock::new();
    REGISTRY.get_or_init(Registry::new)
}

/// Returns all metrics of this process in the Prometheus text format.
pub fn metrics_text() -> Vec<u8> {
    let mut text = Vec::with_capacity(16 * 1024);
    // Writing to memory fails only on a metric family without metrics, which `gather` leaves out.
    TextEncoder::new().encode(&registry().gather(), &mut text).ok();
    text
}
