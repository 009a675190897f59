//! `tidegate edge|api|worker|control`: one tier in this process, from its configuration file.

use serde_json::json;
use tidegate_core::config::{self, Checked};
use tidegate_core::shutdown::{self, Shutdown};
use tidegate_core::telemetry::{self, LogConfig};

use crate::args::Tier;
use crate::failure::Failure;
use crate::output::Output;

/// Runs the edge.
///
/// # Errors
/// The configuration is wrong, or the edge can't run.
pub async fn edge(words: Tier, output: Output) -> Result<(), Failure> {
    run(words, output, |config| (&config.log, config.supervised), tidegate_edge::run).await
}

/// Runs the api.
///
/// # Errors
/// The configuration is wrong, or the api can't run.
pub async fn api(words: Tier, output: Output) -> Result<(), Failure> {
    run(words, output, |config| (&config.log, config.supervised), tidegate_api::run).await
}

/// Runs a worker.
///
/// # Errors
/// The configuration is wrong, or the worker can't run.
pub async fn worker(words: Tier, output: Output) -> Result<(), Failure> {
    run(words, output, |config| (&config.log, config.supervised), tidegate_worker::run).await
}

/// Runs the control.
///
/// # Errors
/// The configuration is wrong, or control can't run.
pub async fn control(words: Tier, output: Output) -> Result<(), Failure> {
    run(words, output, |config| (&config.log, config.supervised), tidegate_control::run).await
}

/// Loads, checks and runs; `process` tells how the process itself is to behave.
async fn run<C, F, E>(
    words: Tier,
    output: Output,
    process: impl FnOnce(&C) -> (&LogConfig, bool),
    tier: impl FnOnce(C, Shutdown) -> F,
) -> Result<(), Failure>
where
    C: Checked,
    F: Future<Output = Result<(), E>>,
    E: Into<anyhow::Error>,
{
    let config: C = config::load(&words.config).map_err(Failure::usage)?;
    if words.check_config {
        output.result("ok", &json!({ "ok": true }))?;
        return Ok(());
    }
    let (log, supervised) = process(&config);
    telemetry::init_logs(log);
    let stop = shutdown::on_signal(supervised)?;
    tier(config, stop).await.map_err(Failure::failed)
}
