//! The `tidegate` program: reads the words, runs the command, tells how it ended.

use std::process::ExitCode;

use clap::Parser as _;
use tidegate_cli::args::Cli;
use tidegate_cli::failure::Exit;
use tidegate_cli::output::Output;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(refusal) => {
            // Help and version are asked for, anything else is a wrong word.
            let exit = if refusal.use_stderr() { Exit::Usage } else { Exit::Done };
            // Nothing is left to do about a closed terminal.
            refusal.print().ok();
            return exit.into();
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
