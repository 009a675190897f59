//! Ends short jobs: effect and inbox in one transaction.

use rusqlite::{CachedStatement, Connection, OptionalExtension as _};
use tidegate_core::clock::Timestamp;
use tidegate_core::notice::Notice;
use uuid::Uuid;

use super::enqueue;
use crate::sqlite::outbox;
use crate::transform::job::Ready;
use crate::{Completed, Effect, Probe, ProbeTally, StoreError};

/// The statements that every job of a group needs.
struct Statements<'a> {
    inbox: CachedStatement<'a>,
    find: CachedStatement<'a>,
    mark: CachedStatement<'a>,
    acquit: CachedStatement<'a>,
}

/// Ends a group of jobs.
pub(super) fn complete(
    sql: &Connection,
    ready: &[Ready],
    now: Timestamp,
) -> Result<Vec<Completed>, StoreError> {
    let mut statements = Statements::prepare(sql)?;
    let mut completed = Vec::with_capacity(ready.len());
    let mut finished = Vec::new();
    for ready in ready {
        let Some(record) = statements.take(ready, now)? else {
            completed.push(Completed::Duplicate);
            continue;
        };
        if record.is_some() {
            finished.push(ready.job);
        }
        if let Some(effect) = &ready.effect {
            take_effect(sql, effect, now)?;
        }
        outbox::put_all(sql, &ready.notices)?;
        for prepared in &ready.follow_up {
            enqueue::put(sql, prepared, now)?;
        }
        completed.push(Completed::New);
    }
    if !finished.is_empty() {
        outbox::put_notice(sql, Notice::JobsFinished { jobs: finished })?;
    }
    Ok(completed)
}

// === impl Statements ===

impl<'a> Statements<'a> {
    fn prepare(sql: &'a Connection) -> Result<Self, StoreError> {
        Ok(Self {
            inbox: sql.prepare_cached(
                "insert into dp_inbox(job, generation, at) values(?1, ?2, ?3)
                 on conflict do nothing",
            )?,
            find: sql.prepare_cached(
                "select no, generation = ?2 and state in ('accepted', 'running')
                 from dp_job where id = ?1",
            )?,
            mark: sql.prepare_cached(
                "update dp_job set state = 'applied', result = ?2, error = null, finished_at = ?3,
                   attempts = max(attempts, ?4), run_at = null, lease_until = null
                 where no = ?1",
            )?,
            acquit: sql
                .prepare_cached("delete from dp_suspect where job = ?1 and generation = ?2")?,
        })
    }

    /// Marks that a job ended; `None` if it did before, else the number of its record if it has
    /// one. Jobs that edges put have none.
    fn take(&mut self, ready: &Ready, now: Timestamp) -> Result<Option<Option<i64>>, StoreError> {
        let id = ready.job.as_bytes();
        let generation = ready.generation;
        let record: Option<(i64, bool)> = self
            .find
            .query_row((id, generation), |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        // Cancelled, filed as a dead letter, or put once more as a later generation.
        if let Some((_, false)) = record {
            return Ok(None);
        }
        if self.inbox.execute((id, generation, now.0))? == 0 {
            return Ok(None);
        }
        let no = record.map(|(no, _)| no);
        if let Some(no) = no {
            self.mark.execute((no, &ready.result, now.0, ready.attempts))?;
        }
        self.acquit.execute((id, generation))?;
        Ok(Some(no))
    }
}

pub(in crate::sqlite) fn take_effect(
    sql: &Connection,
    effect: &Effect,
    now: Timestamp,
) -> Result<(), StoreError> {
    match effect {
        Effect::Probe(Probe { run, n }) => {
            sql.prepare_cached(
                "insert into dp_probe(run, n, times, at) values(?1, ?2, 1, ?3)
                 on conflict do update set times = times + 1",
            )?
            .execute((run.as_bytes(), n, now.0))?;
        }
    }
    Ok(())
}

/// Counts the jobs of a trial.
pub(super) fn tally(sql: &Connection, run: Uuid) -> Result<ProbeTally, StoreError> {
    let mut select = sql.prepare_cached(
        "select count(*), count(nullif(times, 0)), ifnull(sum(max(times - 1, 0)), 0)
         from dp_probe where run = ?1",
    )?;
    let count = |row: &rusqlite::Row<'_>, column| row.get::<_, i64>(column).map(i64::unsigned_abs);
    Ok(select.query_row((run.as_bytes(),), |row| {
        Ok(ProbeTally {
            expected: count(row, 0)?,
            done: count(row, 1)?,
            duplicated: count(row, 2)?,
        })
    })?)
}
