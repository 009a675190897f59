//! Workers that are asked to end while they hold jobs: nothing that was finished comes again.

use std::path::Path;
use std::time::Duration;

use e2e::{Client, Tier, eventually, listening_ports, signal, unsettled};
use tidegate_core::shutdown::DRAIN;
use tokio::time::Instant;

use crate::table::{Goal, Table};
use crate::trial::Trial;

/// Workers that are asked to end.
const DRAINS: usize = 6;

/// Jobs that must go through after each.
const AFTER: u64 = 200;

/// Sends SIGTERM to one worker after the other, each with jobs in its hands.
pub(crate) async fn measure(table: &mut Table) {
    let trial = Trial::start().await;
    let (mut finished, mut longest) = (0, Duration::ZERO);
    for _ in 0..DRAINS {
        let (id, before, found) = at_work(&trial).await;
        finished += found;
        let asked = Instant::now();
        signal(id, "TERM").await;
        signal(id, "CONT").await;
        eventually("the worker ends", || async {
            (!Path::new(&format!("/proc/{id}")).exists()).then_some(())
        })
        .await;
        longest = longest.max(asked.elapsed());
        trial.stack.replaced(Tier::Worker, before, id).await;
        trial.load.flows(AFTER).await;
    }
    for id in trial.stack.processes(Tier::Worker).await {
        finished += found_finished(id).await;
    }
    table.figure("workers asked to end at work", Goal::AtLeast(1), DRAINS as u64);
    table.figure("finished jobs that were delivered again", Goal::Exactly(0), finished);
    let longest = u64::try_from(longest.as_millis()).unwrap_or(u64::MAX);
    let grace = u64::try_from(DRAIN.as_millis()).unwrap_or(u64::MAX);
    table.figure("longest drain, ms", Goal::AtMost(grace), longest);
    trial.end(table).await;
}

/// Returns a stopped worker that holds jobs, how many workers run, and what this one has found
/// finished so far: stopped, it can't be asked any more.
async fn at_work(trial: &Trial) -> (u32, usize, u64) {
    eventually("a worker holds jobs", || async {
        let ids = trial.stack.processes(Tier::Worker).await;
        let id = *ids.first()?;
        let found = found_finished(id).await;
        signal(id, "STOP").await;
        if unsettled(&trial.servers, id).await > 0 {
            return Some((id, ids.len(), found));
        }
        signal(id, "CONT").await;
        None
    })
    .await
}

/// Returns how many deliveries a worker has had of jobs that were finished before.
async fn found_finished(id: u32) -> u64 {
    let private = eventually("the worker listens", || async {
        let port = listening_ports(id).into_iter().next()?;
        Some(Client::new(&format!("http://127.0.0.1:{port}"), None))
    })
    .await;
    let metrics = private.get("/metrics").await.text();
    let finished = |line: &str| {
        let (name, value) = line.rsplit_once(' ')?;
        let counts = name.starts_with("tidegate_worker_jobs_total{")
            && name.contains("outcome=\"finished\"");
        counts.then(|| value.parse::<u64>().ok())?
    };
    metrics.lines().filter_map(finished).sum()
}
