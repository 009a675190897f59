//! The `tidegate` program with fail points, for fault tests only.
//!
//! `tidegate-faults --fail-at POINT WORDS…` does what `tidegate WORDS…` does, until it comes to
//! POINT: there it aborts, as if it had been killed.

use std::process::ExitCode;

use clap::Parser as _;
use tidegate_cli::args::Cli;
use tidegate_cli::failure::Exit;
use tidegate_cli::output::Output;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    let mut words: Vec<_> = std::env::args_os().collect();
    if words.get(1).is_some_and(|word| word == "--fail-at") && words.len() > 2 {
        let point = words.drain(1..3).next_back().unwrap_or_default();
        let aborted = fail::cfg_callback(point.to_string_lossy(), || std::process::abort());
        aborted.expect("a callback must be settable: it has no syntax");
    }
    let cli = match Cli::try_parse_from(words) {
        Ok(cli) => cli,
        Err(refusal) => {
            refusal.print().ok();
            return Exit::Usage.into();
        }
    };
    let output = Output::new(cli.json);
    match tidegate_cli::run(cli, output).await {
        Ok(()) => Exit::Done.into(),
        Err(failure) => {
            output.failure(&failure);
            failure.exit.into()
        }
    }
}
