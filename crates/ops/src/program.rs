//! The program around a tier: words, configuration, signals, exit status.

use std::fmt::Display;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use tidegate_core::config::{self, Checked, EXIT_USAGE};
use tidegate_core::shutdown::{self, Shutdown};
use tidegate_core::telemetry::{self, LogConfig};

use crate::health::{self, Health};

/// Exit status for a process that can't be asked.
const EXIT_UNREACHABLE: u8 = 2;

/// Runs `tier` as the program `name`, until it ends or is told to.
///
/// The words are `--config FILE [--check-config]`, or `--health HOST:PORT` to ask one that runs.
/// Wrong words or a wrong configuration end with exit status 64 and every problem on standard error;
/// a tier that can't run, or is not ready, ends with 1, one that can't be asked with 2.
/// `process` tells how the process itself is to behave: its logs, and whether it has a supervisor.
pub async fn program<C, F, E>(
    name: &str,
    process: impl FnOnce(&C) -> (&LogConfig, bool),
    tier: impl FnOnce(C, Shutdown) -> F,
) -> ExitCode
where
    C: Checked,
    F: Future<Output = Result<(), E>>,
    E: std::error::Error + Send + Sync + 'static,
{
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (path, check_only) = match words[..] {
        ["--config", path] => (path, false),
        ["--config", path, "--check-config"] | ["--check-config", "--config", path] => (path, true),
        ["--health", address] => return health(address).await,
        _ => {
            return refuse(&format_args!(
                "usage: {name} --config FILE [--check-config]\n       {name} --health HOST:PORT"
            ));
        }
    };
    let config: C = match config::load(Path::new(path)) {
        Ok(config) => config,
        Err(problems) => return refuse(&problems),
    };
    if check_only {
        return ExitCode::SUCCESS;
    }
    let (log, supervised) = process(&config);
    telemetry::init_logs(log);
    let ended = match shutdown::on_signal(supervised) {
        Ok(stop) => tier(config, stop).await.map_err(anyhow::Error::from),
        Err(error) => Err(error.into()),
    };
    let Err(error) = ended else { return ExitCode::SUCCESS };
    tracing::error!(program.name = name, error = format!("{error:#}"), "Program could not run.");
    ExitCode::FAILURE
}

async fn health(address: &str) -> ExitCode {
    match health::ask(address).await {
        Ok(Health::Ready) => ExitCode::SUCCESS,
        Ok(Health::Unready(answer)) => tell(&answer, ExitCode::FAILURE),
        Err(error) => tell(&error, ExitCode::from(EXIT_UNREACHABLE)),
    }
}

fn refuse(problems: &dyn Display) -> ExitCode {
    tell(problems, ExitCode::from(EXIT_USAGE))
}

fn tell(what: &dyn Display, exit: ExitCode) -> ExitCode {
    // Nothing is left to do when standard error itself is closed.
    writeln!(std::io::stderr(), "{what}").ok();
    exit
}
