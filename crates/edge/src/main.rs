//! The `tidegate-edge` program.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use tidegate_core::config::EXIT_USAGE;
use tidegate_core::{config, shutdown, telemetry};
use tidegate_edge::Config;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (path, check_only) = match words[..] {
        ["--config", path] => (path, false),
        ["--config", path, "--check-config"] | ["--check-config", "--config", path] => (path, true),
        _ => return refuse(&"usage: tidegate-edge --config FILE [--check-config]"),
    };
    let config: Config = match config::load(Path::new(path)) {
        Ok(config) => config,
        Err(problems) => return refuse(&problems),
    };
    if check_only {
        return ExitCode::SUCCESS;
    }
    telemetry::init_logs(&config.log);
    let ended = match shutdown::on_signal(config.supervised) {
        Ok(stop) => tidegate_edge::run(config, stop).await.map_err(anyhow::Error::from),
        Err(error) => Err(error.into()),
    };
    let Err(error) = ended else { return ExitCode::SUCCESS };
    tracing::error!(error = format!("{error:#}"), "Edge could not run.");
    ExitCode::FAILURE
}

fn refuse(problems: &dyn std::fmt::Display) -> ExitCode {
    // Nothing is left to do when standard error itself is closed.
    writeln!(std::io::stderr(), "{problems}").ok();
    ExitCode::from(EXIT_USAGE)
}
