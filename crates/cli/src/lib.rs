//! The tidegate binary: every tier as a subcommand, up, demo.
//!
//! Modules stand in the order in which a command meets them: words, outcome, output, then one
//! module for each command.

pub mod args;
pub mod failure;
pub mod output;

pub mod demo;

use crate::args::{Cli, Command};
use crate::failure::Failure;
use crate::output::Output;

/// Runs the command that the words ask for.
///
/// # Errors
/// The command failed, was refused or could not be verified; the failure says which.
pub async fn run(cli: Cli, output: Output) -> Result<(), Failure> {
    match cli.command {
        Command::Demo(args) => demo::run(args, output).await,
        Command::Version => output.version(),
    }
}
