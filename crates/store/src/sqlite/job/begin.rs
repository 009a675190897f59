//! Lends a long job to one worker at a time.

use rusqlite::{Connection, OptionalExtension as _};
use tidegate_core::clock::Timestamp;
use uuid::Uuid;

use crate::sqlite::job::cancel;
use crate::sqlite::row;
use crate::transform::lease::{Decision, Record, decide};
use crate::{Begun, JobRun, Renewal, StoreError};

/// Who asks for which job.
pub(super) struct Asked {
    pub(super) job: Uuid,
    pub(super) generation: u32,
    pub(super) worker: String,
    /// End of the lease.
    pub(super) until: Timestamp,
    /// Most jobs of the kind that run at once.
    pub(super) limit: Option<u32>,
}

/// An answer whose texts are not read yet.
pub(super) enum Answer {
    Taken(Taken),
    Other(Begun),
}

/// A job that was taken.
pub(super) struct Taken {
    run: JobRun,
    progress: Option<String>,
    body: Option<String>,
}

/// Takes a job, or says why not.
pub(super) fn begin(sql: &Connection, asked: &Asked, now: Timestamp) -> Result<Answer, StoreError> {
    let Some((no, kind, record)) = find(sql, asked.job)? else {
        return Ok(Answer::Other(Begun::Finished));
    };
    match decide(&record, asked.generation, now) {
        Decision::Leave(begun) => Ok(Answer::Other(begun)),
        Decision::Cancel => {
            cancel::end(sql, (no, asked.job), now)?;
            Ok(Answer::Other(Begun::Cancelled))
        }
        Decision::GiveUp { crashes } => {
            sql.prepare_cached(
                "update dp_job set state = 'accepted', crashes = ?2, lease_until = null
                 where no = ?1",
            )?
            .execute((no, crashes))?;
            Ok(Answer::Other(Begun::Crashed { crashes }))
        }
        Decision::Take { crashes } => {
            if let Some(limit) = asked.limit
                && running(sql, &kind, now)? >= i64::from(limit)
            {
                // Its message is at hand: the sweep must not take it for lost.
                sql.prepare_cached("update dp_job set touched_at = ?2 where no = ?1")?
                    .execute((no, now.0))?;
                return Ok(Answer::Other(Begun::Busy));
            }
            Ok(Answer::Taken(take(sql, no, asked, crashes, now)?))
        }
    }
}

fn find(sql: &Connection, job: Uuid) -> Result<Option<(i64, String, Record)>, StoreError> {
    let mut select = sql.prepare_cached(
        "select no, kind, state, generation, crashes, cancel, lease_until, run_at
         from dp_job where id = ?1",
    )?;
    let mut rows = select.query((job.as_bytes(),))?;
    let Some(found) = rows.next()? else { return Ok(None) };
    let record = Record {
        state: row::state(found, 2)?,
        generation: found.get(3)?,
        crashes: found.get(4)?,
        cancel: found.get(5)?,
        lease_until: row::at(found, 6)?,
        run_at: row::at(found, 7)?,
    };
    Ok(Some((found.get(0)?, found.get(1)?, record)))
}

/// Counts the runs of a kind whose lease is good.
fn running(sql: &Connection, kind: &str, now: Timestamp) -> Result<i64, StoreError> {
    Ok(sql
        .prepare_cached(
            "select count(*) from dp_job
             where state = 'running' and lease_until > ?2 and kind = ?1",
        )?
        .query_row((kind, now.0), |row| row.get(0))?)
}

fn take(
    sql: &Connection,
    no: i64,
    asked: &Asked,
    crashes: u32,
    now: Timestamp,
) -> Result<Taken, StoreError> {
    let mut update = sql.prepare_cached(
        "update dp_job set state = 'running', fence = fence + 1, attempts = attempts + 1,
           crashes = ?2, worker = ?3, lease_until = ?4, touched_at = ?5, run_at = null
         where no = ?1 returning fence, attempts, progress",
    )?;
    let taken = (no, crashes, &asked.worker, asked.until.0, now.0);
    let (run, progress) = update.query_row(taken, |row| {
        let run = JobRun {
            job: asked.job,
            generation: asked.generation,
            fence: row.get(0)?,
            attempts: row.get(1)?,
            crashes,
            progress: None,
            body: serde_json::Value::Null,
        };
        Ok((run, row.get(2)?))
    })?;
    Ok(Taken { run, progress, body: row::body(sql, no)? })
}

// === impl Answer ===

impl Answer {
    /// Reads the texts.
    pub(super) fn into_begun(self) -> Result<Begun, StoreError> {
        let Taken { run, progress, body } = match self {
            Self::Other(begun) => return Ok(begun),
            Self::Taken(taken) => taken,
        };
        let progress = progress.as_deref().map(serde_json::from_str).transpose()?;
        let body = body.as_deref().map(serde_json::from_str).transpose()?.unwrap_or_default();
        Ok(Begun::Run(JobRun { progress, body, ..run }))
    }
}

/// Keeps a job for longer, given by id and fence.
pub(super) fn renew(
    sql: &Connection,
    (job, fence): (Uuid, i64),
    progress: &str,
    until: Timestamp,
) -> Result<Renewal, StoreError> {
    let cancel: Option<bool> = sql
        .prepare_cached(
            "update dp_job set lease_until = ?3, progress = ?4
             where id = ?1 and fence = ?2 and state = 'running' returning cancel",
        )?
        .query_row((job.as_bytes(), fence, until.0, progress), |row| row.get(0))
        .optional()?;
    Ok(match cancel {
        None => Renewal::Lost,
        Some(true) => Renewal::CancelRequested,
        Some(false) => Renewal::Held,
    })
}
