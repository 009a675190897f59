//! The tidegate binary: every tier as a subcommand, up, demo.
//!
//! Modules stand in the order in which a command meets them: words, outcome, output, then one
//! module for each command.

pub mod args;
pub mod failure;
pub mod output;

pub mod settings;
mod target;

pub mod client;
pub mod reach;

pub mod demo;
pub mod dlq;
pub mod jobs;
pub mod probe;
pub mod product;
pub mod setup;
pub mod tiers;
pub mod token;
pub mod up;

use crate::args::{Cli, Command};
use crate::failure::Failure;
use crate::output::Output;

/// Runs the command that the words ask for.
///
/// # Errors
/// The command failed, was refused or could not be verified; the failure says which.
pub async fn run(cli: Cli, output: Output) -> Result<(), Failure> {
    match cli.command {
        Command::Up(args) => up::run(args, output).await,
        Command::Setup(args) => setup::run(args, output).await,
        Command::Demo(args) => demo::run(args, output).await,
        Command::Product(command) => product::run(command, output).await,
        Command::Token(command) => token::run(command, output).await,
        Command::Dlq(command) => dlq::run(command, output).await,
        Command::Jobs(command) => jobs::run(command, output).await,
        Command::Probe(args) => probe::run(args, output).await,
        Command::Edge(words) => tiers::edge(words, output).await,
        Command::Api(words) => tiers::api(words, output).await,
        Command::Worker(words) => tiers::worker(words, output).await,
        Command::Control(words) => tiers::control(words, output).await,
        Command::Version => output.version(),
    }
}
