//! What became of a trial's jobs and rows, as the database has it once nothing moves any more.

use std::collections::HashMap;

use tokio::time::Instant;

use crate::{PATIENCE, Put, Servers};

/// What is not done yet: probes, batches, lines of the outbox.
const LEFT: &str = "select (select count(*) from dp_probe where times = 0)
    + (select count(*) from dp_batch where state in ('accepted', 'running'))
    + (select count(*) from dp_outbox)";

/// Each trial of probes: put, done, effects beyond the first.
const RUNS: &str = "select run, count(*), count(nullif(times, 0)), sum(greatest(times - 1, 0))
    from dp_probe group by run";

/// Counts of a trial; all but the first two must be zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Jobs that were accepted.
    pub accepted: u64,
    /// Jobs that had their effect, those among them whose request was cut off.
    pub done: u64,
    /// Jobs that were accepted or are in the database, and had no effect.
    pub lost: u64,
    /// Effects beyond the first of each job.
    pub duplicated: u64,
    /// Batches that are neither applied nor failed.
    pub batches: u64,
    /// Batches that failed.
    pub failed: u64,
    /// Messages that are not published.
    pub outbox: u64,
    /// Dead letters.
    pub dead: u64,
}

// === impl Tally ===

impl Tally {
    /// Waits until all is done, or nothing is done any more for [`PATIENCE`], and counts.
    pub async fn settled(servers: &Servers, puts: &[Put]) -> Self {
        let (mut left, mut since) = (u64::MAX, Instant::now());
        while left > 0 && since.elapsed() < PATIENCE {
            let now = servers.count(LEFT).await.unwrap_or(u64::MAX);
            if now != left {
                (left, since) = (now, Instant::now());
            }
            tokio::time::sleep(crate::LOOK * 5).await;
        }
        Self::now(servers, puts).await
    }

    /// Counts at once.
    pub async fn now(servers: &Servers, puts: &[Put]) -> Self {
        let count = async |sql: &str| servers.count(sql).await.unwrap_or(u64::MAX);
        let mut tally = Self {
            accepted: puts.iter().map(|put| put.jobs).sum(),
            batches: count("select count(*) from dp_batch where state in ('accepted', 'running')")
                .await,
            failed: count("select count(*) from dp_batch where state in ('failed', 'dead')").await,
            outbox: count("select count(*) from dp_outbox").await,
            dead: count("select count(*) from dp_dead").await,
            ..Self::default()
        };
        let text = servers.sql(RUNS).await;
        let mut runs: HashMap<&str, u64> = HashMap::new();
        for line in text.lines() {
            let cells: Vec<&str> = line.split('|').collect();
            let number = |index: usize| cells[index].parse().unwrap_or(u64::MAX);
            let (put, done, duplicated): (u64, u64, u64) = (number(1), number(2), number(3));
            tally.done += done;
            tally.lost += put.saturating_sub(done);
            tally.duplicated += duplicated;
            runs.insert(cells[0], put);
        }
        // What was accepted and never came to the database is lost too.
        for Put { run, jobs } in puts {
            tally.lost += jobs.saturating_sub(runs.get(run.as_str()).copied().unwrap_or(0));
        }
        tally
    }

    /// Returns whether nothing was lost, done twice, left over or given up.
    pub fn is_clean(&self) -> bool {
        let Self { accepted: _, done: _, lost, duplicated, batches, failed, outbox, dead } = *self;
        [lost, duplicated, batches, failed, outbox, dead] == [0; 6]
    }
}
