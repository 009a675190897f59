//! Files letters.

use rusqlite::{Connection, OptionalExtension as _, params};
use tidegate_core::clock::Timestamp;
use tidegate_core::job::Job;
use tidegate_core::notice::Notice;

use crate::sqlite::{outbox, row};
use crate::transform::letter::{Letter, Named};
use crate::{JobState, NewDeadLetter, StoreError};

/// Files letters and tells those who wait for their jobs; returns how many are new.
pub(super) fn file_all(
    sql: &Connection,
    letters: &[Letter],
    now: Timestamp,
) -> Result<usize, StoreError> {
    let mut filed = 0;
    let mut jobs = Vec::new();
    for letter in letters {
        if file(sql, letter, now)? {
            filed += 1;
            jobs.extend(letter.job.as_ref().map(|job| job.id));
        }
    }
    if !jobs.is_empty() {
        outbox::put_notice(sql, Notice::JobsFinished { jobs })?;
    }
    Ok(filed)
}

/// Files a letter; `false` if it is filed already, or its job has ended otherwise.
pub(in crate::sqlite) fn file(
    sql: &Connection,
    letter: &Letter,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let Some(job) = &letter.job else { return insert(sql, letter, now) };
    sql.prepare_cached("delete from dp_suspect where job = ?1 and generation = ?2")?
        .execute((job.id.as_bytes(), job.generation))?;
    let dies = match find(sql, job)? {
        Record::Job { state, generation } => {
            generation == job.generation && kill_job(sql, job, state, &letter.reason, now)?
        }
        Record::Batch { state, generation } => {
            generation == job.generation && kill_batch(sql, job, state, &letter.reason, now)?
        }
        // Its mark keeps later deliveries of this generation from running.
        Record::None => mark(sql, job, now)? || is_filed(sql, letter)?,
    };
    Ok(dies && insert(sql, letter, now)?)
}

/// Files the letter of a job that died in the hands of a worker, without its message.
pub(in crate::sqlite) fn file_own(
    sql: &Connection,
    job: Job,
    reason: &str,
    error_chain: Vec<String>,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let letter = NewDeadLetter {
        lane: Some(job.lane),
        attempts: job.attempt,
        job: Some(job),
        raw: Vec::new(),
        reason: reason.to_owned(),
        headers: serde_json::Value::Null,
        error_chain,
        died_at: now,
    };
    file(sql, &Letter::of(letter)?, now)
}

/// What the store knows of a letter's job.
enum Record {
    Job { state: JobState, generation: u32 },
    Batch { state: JobState, generation: u32 },
    None,
}

fn find(sql: &Connection, job: &Named) -> Result<Record, StoreError> {
    let look = |statement: &str| {
        let mut select = sql.prepare_cached(statement)?;
        let mut rows = select.query((job.id.as_bytes(),))?;
        let Some(found) = rows.next()? else { return Ok(None) };
        Ok::<_, StoreError>(Some((row::state(found, 0)?, found.get::<_, u32>(1)?)))
    };
    if let Some((state, generation)) = look("select state, generation from dp_job where id = ?1")? {
        return Ok(Record::Job { state, generation });
    }
    let batch = look("select state, generation from dp_batch where id = ?1")?;
    Ok(batch.map_or(Record::None, |(state, generation)| Record::Batch { state, generation }))
}

/// Ends a job that has not ended; returns whether it is dead now.
fn kill_job(
    sql: &Connection,
    job: &Named,
    state: JobState,
    reason: &str,
    now: Timestamp,
) -> Result<bool, StoreError> {
    if !state.is_final() {
        // The fence: a run that goes on must not end it once more.
        sql.prepare_cached(
            "update dp_job set state = 'dead', fence = fence + 1, error = ?2, finished_at = ?3,
               run_at = null, lease_until = null, worker = null
             where id = ?1",
        )?
        .execute((job.id.as_bytes(), reason, now.0))?;
    }
    Ok(!state.is_final() || state == JobState::Dead)
}

/// As [`kill_job`]. The payload is kept as long as the batch is dead.
fn kill_batch(
    sql: &Connection,
    job: &Named,
    state: JobState,
    reason: &str,
    now: Timestamp,
) -> Result<bool, StoreError> {
    if !state.is_final() {
        sql.prepare_cached(
            "update dp_batch set state = 'dead', fence = fence + 1, error = ?2, finished_at = ?3
             where id = ?1",
        )?
        .execute((job.id.as_bytes(), reason, now.0))?;
    }
    Ok(!state.is_final() || state == JobState::Dead)
}

/// Marks a job without a record as ended; `false` if it was.
fn mark(sql: &Connection, job: &Named, now: Timestamp) -> Result<bool, StoreError> {
    let marked = sql
        .prepare_cached(
            "insert into dp_inbox(job, generation, at) values(?1, ?2, ?3) on conflict do nothing",
        )?
        .execute((job.id.as_bytes(), job.generation, now.0))?;
    Ok(marked == 1)
}

fn is_filed(sql: &Connection, letter: &Letter) -> Result<bool, StoreError> {
    Ok(sql
        .prepare_cached("select 1 from dp_dead where key = ?1")?
        .query_row((&letter.key,), |_| Ok(()))
        .optional()?
        .is_some())
}

/// A message that can't be read has no generation: the same one that dies after its letter was
/// discarded opens the letter again.
fn insert(sql: &Connection, letter: &Letter, now: Timestamp) -> Result<bool, StoreError> {
    let mut insert = sql.prepare_cached(
        "insert into dp_dead(key, job, generation, kind, lane, tenant, product, release, reason,
           code, error_chain, attempts, headers, raw, died_at, filed_at)
         values(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)
         on conflict(key) do update set state = 'open', decided_at = null, decided_by = null,
           died_at = excluded.died_at, reason = excluded.reason, code = excluded.code
         where dp_dead.job is null and dp_dead.state = 'discarded'",
    )?;
    let job = letter.job.as_ref();
    let inserted = insert.execute(params![
        letter.key,
        job.map(|job| job.id.into_bytes()),
        job.map_or(0, |job| job.generation),
        job.map(|job| &job.kind),
        letter.lane,
        job.map(|job| &job.tenant),
        job.map(|job| &job.product),
        job.and_then(|job| job.release.as_ref()),
        letter.reason,
        letter.code,
        letter.error_chain,
        letter.attempts,
        letter.headers,
        letter.raw,
        letter.died_at.0,
        now.0,
    ])?;
    Ok(inserted == 1)
}
