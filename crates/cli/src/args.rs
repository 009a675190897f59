//! The words of the command line.

use clap::{Parser, Subcommand};

use crate::demo;

/// Data products from rows to cached answers, on three tiers and in one binary.
#[derive(Debug, Parser)]
#[command(name = "tidegate", version, max_term_width = 100)]
pub struct Cli {
    /// Write JSON, one object a line, for programs to read.
    #[arg(long, global = true)]
    pub json: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Stream generated rows through the edge, then check every view against their totals.
    Demo(demo::Args),
    /// Print the version.
    Version,
}
