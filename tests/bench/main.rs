//! The benchmarks of docs/PERFORMANCE.md: the real binary, started as a user starts it.
//!
//! Every figure "per core" is requests or rows divided by the CPU seconds (user and system) that
//! the servers' processes spent meanwhile: on a small machine the load generator takes a good part
//! of the wall time, and that part is not theirs.

mod words;

mod machine;
mod processes;
mod stack;

mod closed_loop;
mod connection;
mod writer;

mod edge_hits;
mod freshness;
mod ingest;
mod reads;
mod refresh;
mod start;

mod table;

use std::io::Write as _;
use std::process::ExitCode;

use table::Table;
use words::{Part, Words};

#[tokio::main]
async fn main() -> ExitCode {
    let words = match Words::parse(std::env::args().skip(1)) {
        Ok(words) => words,
        Err(problem) => {
            say(&format!("bench: {problem}"));
            return ExitCode::from(64);
        }
    };
    let mut table = Table::new(machine::describe());
    for part in Part::ALL.into_iter().filter(|part| words.wants(*part)) {
        say(&format!("{}…", part.name()));
        let measured = match part {
            Part::Ingest => ingest::measure(&words, &mut table).await,
            Part::Freshness => freshness::measure(&words, &mut table).await,
            Part::Reads => reads::measure(&words, &mut table).await,
            Part::Edge => edge_hits::measure(&words, &mut table).await,
            Part::Refresh => refresh::measure(&words, &mut table).await,
            Part::Start => start::measure(&words, &mut table).await,
        };
        if let Err(error) = measured {
            say(&format!("bench: {}: {error:#}", part.name()));
            return ExitCode::FAILURE;
        }
    }
    let text = if words.json { table.json() } else { table.text() };
    let written = writeln!(std::io::stdout().lock(), "{text}");
    if written.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Tells a person what goes on; standard output belongs to the table.
fn say(line: &str) {
    // Nothing is left to do when standard error itself is closed.
    writeln!(std::io::stderr().lock(), "{line}").ok();
}
