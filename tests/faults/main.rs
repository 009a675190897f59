//! The fault suite of docs/FAULTS.md: the stack on RabbitMQ and PostgreSQL, under load, while things
//! break. It ends in a table; its exit status is 1 if a figure misses its goal.
//!
//! The servers must be nobody else's: `make faults` starts some.

mod table;
mod words;

mod say;
mod trial;

mod kills;

mod broker;
mod connection;
mod network;

mod absent;
mod database;
mod drain;

mod controls;
mod naive;

mod points;

use std::process::ExitCode;

use say::say;
use table::{Goal, Table};
use words::{Part, Run, Words};

#[tokio::main]
async fn main() -> ExitCode {
    let words = match Words::parse(std::env::args().skip(1)) {
        Ok(Run::Suite(words)) => words,
        Ok(Run::Naive(naive)) => return naive::run(naive).await,
        Err(problem) => {
            say(&format!("faults: {problem}"));
            return ExitCode::from(64);
        }
    };
    let mut table = Table::default();
    for part in Part::ALL.into_iter().filter(|part| words.wants(*part)) {
        say(&format!("{}…", part.name()));
        let begun = tokio::time::Instant::now();
        table.part(part.name());
        // A condition that never comes true panics in the harness: the other parts go on.
        let ended = tokio::spawn(measure(part, words.clone(), table.clone())).await;
        match ended {
            Ok(measured) => table = measured,
            Err(error) => {
                say(&format!("  {error}"));
                table.figure("ended before it was measured", Goal::Exactly(0), 1);
            }
        }
        say(&format!("  took {} s", begun.elapsed().as_secs()));
    }
    say(&format!("\nseed {}\n\n{}", words.seed, table.text()));
    if table.is_met() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn measure(part: Part, words: Words, mut table: Table) -> Table {
    let table_mut = &mut table;
    match part {
        Part::Kills => kills::measure(&words, table_mut).await,
        Part::Points => points::measure(table_mut).await,
        Part::Controls => controls::measure(&words, table_mut).await,
        Part::Alarm => broker::alarm(table_mut).await,
        Part::Queues => broker::queues_deleted(table_mut).await,
        Part::Paused => broker::paused(table_mut).await,
        Part::Closed => connection::closed(table_mut).await,
        Part::Timeout => connection::consumer_timeout(table_mut).await,
        Part::Network => network::measure(table_mut).await,
        Part::Database => database::measure(table_mut).await,
        Part::Absent => absent::measure(table_mut).await,
        Part::Drain => drain::measure(table_mut).await,
    }
    table
}
