//! How often the judge is wrong: seeded trials of good and bad releases, some with bursts, outages
//! and leaks, each watched for half an hour and looked at every minute.
//!
//! `make calibrate`; ends in a table, and in exit status 1 if a bound is not shown. A share counts
//! as shown to be below its bound if the upper end of its Wilson interval (95 %) is.

mod draws;
mod grid;
mod table;
mod trial;

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};

use grid::Scenario;
use table::Row;

/// Trials of a scenario, unless the words say otherwise.
const TRIALS: u64 = 3_000;

fn main() -> ExitCode {
    let (trials, seed) = match words(std::env::args().skip(1)) {
        Ok(words) => words,
        Err(problem) => {
            say(&format!("calibrate: {problem}; calibrate [--trials N] [--seed N]"));
            return ExitCode::from(64);
        }
    };
    let scenarios = grid::all();
    say(&format!("{} scenarios, {trials} trials each, seed {seed}", scenarios.len()));
    let rows = run(&scenarios, trials, seed);
    let written = writeln!(std::io::stdout().lock(), "{}", table::text(&rows));
    let shown = rows.iter().all(Row::is_shown);
    if written.is_ok() && shown { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn words(mut words: impl Iterator<Item = String>) -> Result<(u64, u64), String> {
    let (mut trials, mut seed) = (TRIALS, 1);
    while let Some(word) = words.next() {
        let value = words.next().ok_or(format!("{word} needs a value"))?;
        let number = value.parse().map_err(|_| format!("'{value}' is no number"))?;
        match word.as_str() {
            "--trials" => trials = number,
            "--seed" => seed = number,
            _ => return Err(format!("'{word}' is not known")),
        }
    }
    if trials == 0 { Err("--trials must be at least 1".to_owned()) } else { Ok((trials, seed)) }
}

/// Runs all scenarios on all cores; each has a seed of its own, so that their order is no matter.
fn run(scenarios: &[Scenario], trials: u64, seed: u64) -> Vec<Row> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let next = AtomicUsize::new(0);
    let mut rows = std::thread::scope(|scope| {
        let work = || {
            let mut rows = Vec::new();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(scenario) = scenarios.get(index) else { return rows };
                let seed = seed.wrapping_mul(1_000_003).wrapping_add(index as u64);
                rows.push((index, trial::run(scenario, trials, seed)));
            }
        };
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        let done = workers.into_iter().map(|worker| worker.join().expect("a trial must not panic"));
        done.flatten().collect::<Vec<_>>()
    });
    rows.sort_by_key(|(index, _)| *index);
    rows.into_iter().map(|(_, row)| row).collect()
}

/// Tells a person what goes on; standard output belongs to the table.
fn say(line: &str) {
    // Nothing is left to do when standard error itself is closed.
    writeln!(std::io::stderr().lock(), "{line}").ok();
}
