//! The demo: generated rows through the edge, then every view checked against their own totals.

use crate::failure::Failure;
use crate::output::Output;

/// The words of `tidegate demo`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which demo product.
    pub product: String,
}

/// Runs the demo.
///
/// # Errors
/// A total differs, or the edge can't be reached.
pub async fn run(args: Args, _output: Output) -> Result<(), Failure> {
    Err(Failure::usage(anyhow::anyhow!("demo '{}' is not known", args.product)))
}
