//! The `tidegate-worker` program.

use std::process::ExitCode;

use tidegate_worker::Config;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    tidegate_ops::program(
        "tidegate-worker",
        |config: &Config| (&config.log, config.supervised),
        tidegate_worker::run,
    )
    .await
}
