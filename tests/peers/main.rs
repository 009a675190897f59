//! Our queue beside Celery and `BullMQ`: the same machine, the same broker, in turns within one run.
//!
//! Everyone keeps a job until it has run and publishes with confirmation. Theirs do nothing; ours
//! commit the mark that they ran, which makes an effect happen once, to PostgreSQL.

mod words;

mod ours;
mod theirs;

mod table;

use std::io::Write as _;
use std::process::ExitCode;

use table::{Goal, Table};
use theirs::Peer;
use words::Words;

/// What one turn measured.
#[derive(Clone, Copy, Debug, serde::Deserialize)]
pub(crate) struct Speed {
    /// Jobs published and confirmed a second.
    pub(crate) enqueue: f64,
    /// Jobs run a second, from the first to the last.
    pub(crate) process: f64,
}

/// Enqueueing, against Celery's best on a quorum queue.
const ENQUEUE_GOAL: f64 = 10.0;

/// Running jobs, against Celery's best configuration.
const CELERY_GOAL: f64 = 3.0;

/// Running jobs, against `BullMQ` that writes each change to disk.
const BULLMQ_GOAL: f64 = 2.0;

#[tokio::main]
async fn main() -> ExitCode {
    let words = match Words::parse(std::env::args().skip(1)) {
        Ok(words) => words,
        Err(problem) => {
            say(&format!("peers: {problem}"));
            return ExitCode::from(64);
        }
    };
    match measure(&words).await {
        Ok(table) if writeln!(std::io::stdout().lock(), "{}", table.text()).is_ok() => {
            ExitCode::SUCCESS
        }
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            say(&format!("peers: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// In turns, so that what else the machine does meets all of them alike.
async fn measure(words: &Words) -> anyhow::Result<Table> {
    let mut table = Table::default();
    for round in 1..=words.rounds {
        say(&format!("round {round} of {}", words.rounds));
        for peer in Peer::ALL {
            table.add(peer.name(), peer.measure(words).await?);
            table.add(ours::NAME, ours::measure(words).await?);
        }
    }
    let quorum = Peer::ALL.iter().filter(|peer| peer.is_quorum()).map(|peer| peer.name());
    let celery = Peer::ALL.iter().filter(|peer| peer.is_celery()).map(|peer| peer.name());
    let quorum = quorum.map(|name| table.median(name, |speed| speed.enqueue)).fold(0.0, f64::max);
    let celery = celery.map(|name| table.median(name, |speed| speed.process)).fold(0.0, f64::max);
    let bullmq = table.median(Peer::BullMq.name(), |speed| speed.process);
    let enqueue = table.median(ours::NAME, |speed| speed.enqueue);
    let process = table.median(ours::NAME, |speed| speed.process);
    table.compare(Goal {
        what: "enqueue ÷ Celery's best on quorum queues",
        at_least: ENQUEUE_GOAL,
        is: enqueue / quorum,
    });
    table.compare(Goal {
        what: "process ÷ Celery's best",
        at_least: CELERY_GOAL,
        is: process / celery,
    });
    table.compare(Goal {
        what: "process ÷ BullMQ, AOF always",
        at_least: BULLMQ_GOAL,
        is: process / bullmq,
    });
    Ok(table)
}

/// Tells a person what goes on; standard output belongs to the table.
fn say(line: &str) {
    // Nothing is left to do when standard error itself is closed.
    writeln!(std::io::stderr().lock(), "{line}").ok();
}
