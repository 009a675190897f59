//! The `tidegate-edge` program.

use std::process::ExitCode;

use tidegate_edge::Config;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    tidegate_ops::program(
        "tidegate-edge",
        |config: &Config| (&config.log, config.supervised),
        tidegate_edge::run,
    )
    .await
}
