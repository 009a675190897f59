//! Ends short jobs: effect and inbox in one transaction.

use std::collections::{BTreeMap, HashMap, HashSet};

use tidegate_core::clock::Timestamp;
use tidegate_core::notice::Notice;
use uuid::Uuid;

use super::enqueue;
use crate::postgres::fault::Fault;
use crate::postgres::pool::{Pool, Session};
use crate::postgres::{WRITE, outbox, row, worker};
use crate::transform::job::{Prepared, Ready};
use crate::{Completed, Effect, JobState, Probe, ProbeTally};

/// Names a job and the generation that was delivered.
type Key = (Uuid, u32);

/// Ends a group of jobs, each statement for all of them: a window of small jobs costs as many round
/// trips as one.
pub(super) async fn complete(
    pool: &Pool,
    ready: &[Ready],
    now: Timestamp,
) -> Result<Vec<Completed>, Fault> {
    let session = pool.begin(WRITE).await?;
    let records = records(&session, ready).await?;
    // Cancelled, filed as a dead letter, or put once more as a later generation.
    let over = |it: &Ready| {
        records
            .get(&it.job)
            .is_some_and(|(state, generation)| *generation != it.generation || state.is_final())
    };
    let mut new = mark(&session, ready.iter().filter(|it| !over(it)), now).await?;
    let mut completed = Vec::with_capacity(ready.len());
    let mut done: Vec<&Ready> = Vec::with_capacity(ready.len());
    for it in ready {
        // Given twice in one group, a job is new the first time.
        if new.remove(&(it.job, it.generation)) {
            done.push(it);
            completed.push(Completed::New);
        } else {
            completed.push(Completed::Duplicate);
        }
    }
    take_effects(&session, &done, now).await?;
    outbox::put_all(&session, done.iter().flat_map(|it| &it.notices)).await?;
    let follow_up: Vec<&Prepared> = done.iter().flat_map(|it| &it.follow_up).collect();
    enqueue::put(&session, &follow_up, now).await?;
    let recorded: Vec<&Ready> =
        done.iter().copied().filter(|it| records.contains_key(&it.job)).collect();
    finish(&session, &recorded, now).await?;
    let keys: Vec<Key> = done.iter().map(|it| (it.job, it.generation)).collect();
    worker::acquit(&session, &keys).await?;
    session.commit().await?;
    Ok(completed)
}

/// Locks the records of those that have one; jobs that edges put have none.
async fn records(
    session: &Session<'_>,
    ready: &[Ready],
) -> Result<HashMap<Uuid, (JobState, u32)>, Fault> {
    let ids: Vec<Uuid> = ready.iter().map(|it| it.job).collect();
    let select =
        "select id, state, generation from dp_job where id = any($1) order by id for update";
    let rows = session.query(select, &[&ids]).await?;
    let record = |found: &tokio_postgres::Row| {
        Ok((found.try_get(0)?, (row::state(found, 1)?, row::small(found, 2)?)))
    };
    rows.iter().map(record).collect()
}

/// Marks that jobs ended, in the order in which every worker does; returns those that had not.
async fn mark(
    session: &Session<'_>,
    ready: impl Iterator<Item = &Ready>,
    now: Timestamp,
) -> Result<HashSet<Key>, Fault> {
    let (ids, generations): (Vec<Uuid>, Vec<i64>) =
        ready.map(|it| (it.job, i64::from(it.generation))).unzip();
    let rows = session
        .query(
            "insert into dp_inbox(job, generation, at)
             select job, generation, $3
             from unnest($1::uuid[], $2::bigint[]) as ended(job, generation)
             order by job, generation
             on conflict do nothing returning job, generation",
            &[&ids, &generations, &now.0],
        )
        .await?;
    rows.iter().map(|found| Ok((found.try_get(0)?, row::small(found, 1)?))).collect()
}

async fn take_effects(session: &Session<'_>, done: &[&Ready], now: Timestamp) -> Result<(), Fault> {
    let mut trials: BTreeMap<(Uuid, u32), i64> = BTreeMap::new();
    for it in done {
        match it.effect {
            None => {}
            Some(Effect::Probe(Probe { run, n })) => *trials.entry((run, n)).or_default() += 1,
        }
    }
    if trials.is_empty() {
        return Ok(());
    }
    let runs: Vec<Uuid> = trials.keys().map(|(run, _)| *run).collect();
    let numbers: Vec<i64> = trials.keys().map(|(_, n)| i64::from(*n)).collect();
    let times: Vec<i64> = trials.into_values().collect();
    session
        .execute(
            "insert into dp_probe(run, n, times, at)
             select run, n, times, $4
             from unnest($1::uuid[], $2::bigint[], $3::bigint[]) as trial(run, n, times)
             order by run, n
             on conflict(run, n) do update set times = dp_probe.times + excluded.times",
            &[&runs, &numbers, &times, &now.0],
        )
        .await?;
    Ok(())
}

/// Writes results into records, and tells those who wait.
async fn finish(session: &Session<'_>, done: &[&Ready], now: Timestamp) -> Result<(), Fault> {
    if done.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = done.iter().map(|it| it.job).collect();
    let results: Vec<&Option<String>> = done.iter().map(|it| &it.result).collect();
    let attempts: Vec<i64> = done.iter().map(|it| i64::from(it.attempts)).collect();
    session
        .execute(
            "update dp_job set state = 'applied', result = ended.result, error = null,
               finished_at = $4, attempts = greatest(dp_job.attempts, ended.attempts),
               run_at = null, lease_until = null
             from unnest($1::uuid[], $2::text[], $3::bigint[]) as ended(id, result, attempts)
             where dp_job.id = ended.id",
            &[&ids, &results, &attempts, &now.0],
        )
        .await?;
    outbox::put_notice(session, Notice::JobsFinished { jobs: ids }).await
}

/// Counts the jobs of a trial.
pub(super) async fn tally(session: &Session<'_>, run: Uuid) -> Result<ProbeTally, Fault> {
    let found = session
        .query_one(
            "select count(*), count(nullif(times, 0)),
               coalesce(sum(greatest(times - 1, 0)), 0)::bigint
             from dp_probe where run = $1",
            &[&run],
        )
        .await?;
    Ok(ProbeTally {
        expected: row::count(&found, 0)?,
        done: row::count(&found, 1)?,
        duplicated: row::count(&found, 2)?,
    })
}
