//! The `tidegate-api` program.

use std::process::ExitCode;

use tidegate_api::Config;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    tidegate_ops::program(
        "tidegate-api",
        |config: &Config| (&config.log, config.supervised),
        tidegate_api::run,
    )
    .await
}
