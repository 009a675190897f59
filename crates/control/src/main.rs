//! The `tidegate-control` program.

use std::process::ExitCode;

use tidegate_control::Config;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    tidegate_ops::program(
        "tidegate-control",
        |config: &Config| (&config.log, config.supervised),
        tidegate_control::run,
    )
    .await
}
