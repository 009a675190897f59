//! What people decide about letters.

use rusqlite::{Connection, OptionalExtension as _};
use tidegate_core::clock::Timestamp;
use tidegate_core::job::Job;
use uuid::Uuid;

use super::list;
use crate::sqlite::outbox;
use crate::transform::letter::Redo;
use crate::transform::retention::REGRET;
use crate::{DeadFilter, StoreError};

/// Returns the numbers of the letters that fit, and what to put for those that are jobs.
pub(super) fn redos(
    sql: &Connection,
    filter: &DeadFilter,
) -> Result<(Vec<i64>, Vec<Redo>), StoreError> {
    let letters = list::select(sql, filter, "no, raw, job is not null", |row| {
        let no = row.get(0)?;
        let raw = row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?;
        let job = if row.get(2)? { serde_json::from_slice::<Job>(raw).ok() } else { None };
        Ok((no, job.map(|job| Redo::of(no, job)).transpose()?))
    })?;
    let (numbers, redos): (Vec<_>, Vec<_>) = letters.into_iter().unzip();
    Ok((numbers, redos.into_iter().flatten().collect()))
}

/// Puts the job of an open letter once more; returns whether that can be done.
pub(super) fn requeue(
    sql: &Connection,
    redo: &Redo,
    by: &str,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let open: bool = sql
        .prepare_cached("select exists(select 1 from dp_dead where no = ?1 and state = 'open')")?
        .query_row((redo.no,), |row| row.get(0))?;
    if !open || !revive(sql, redo, now)? {
        return Ok(false);
    }
    settle(sql, redo.no, "requeued", by, now)?;
    outbox::put_all(sql, [&redo.line])?;
    Ok(true)
}

/// Lets the job wait again; `false` if it is not dead, or its rows are gone.
fn revive(sql: &Connection, redo: &Redo, now: Timestamp) -> Result<bool, StoreError> {
    let next = redo.generation.saturating_add(1);
    let parameters = (redo.job.as_bytes(), redo.generation, next, now.0);
    let revived = if redo.is_batch {
        sql.prepare_cached(
            "update dp_batch set state = 'accepted', generation = ?3, unfinished = 0, error = null,
               finished_at = null, touched_at = ?4
             where id = ?1 and generation = ?2 and state = 'dead'
               and exists(select 1 from dp_payload where batch = dp_batch.no)",
        )?
        .execute(parameters)?
    } else {
        sql.prepare_cached(
            "update dp_job set state = 'accepted', generation = ?3, attempts = 0, crashes = 0,
               cancel = 0, error = null, finished_at = null, deadline = null, arm = 'stable',
               touched_at = ?4
             where id = ?1 and generation = ?2 and state = 'dead'",
        )?
        .execute(parameters)?
    };
    if revived == 1 || redo.is_batch {
        return Ok(revived == 1);
    }
    // Without a record, as an edge puts them, it is nothing but its message.
    let known: bool = sql
        .prepare_cached("select exists(select 1 from dp_job where id = ?1)")?
        .query_row((redo.job.as_bytes(),), |row| row.get(0))?;
    Ok(!known)
}

/// Gives an open letter up; `false` if it is not open.
pub(super) fn discard(
    sql: &Connection,
    no: i64,
    by: &str,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let letter: Option<(Option<[u8; 16]>, u32)> = sql
        .prepare_cached("select job, generation from dp_dead where no = ?1 and state = 'open'")?
        .query_row((no,), |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((job, generation)) = letter else { return Ok(false) };
    settle(sql, no, "discarded", by, now)?;
    let Some(job) = job else { return Ok(true) };
    sql.prepare_cached(
        "update dp_job set state = 'failed', finished_at = ?3
         where id = ?1 and generation = ?2 and state = 'dead'",
    )?
    .execute((job, generation, now.0))?;
    sql.prepare_cached(
        "update dp_batch set state = 'failed', finished_at = ?3, payload_until = ?4
         where id = ?1 and generation = ?2 and state = 'dead'",
    )?
    .execute((job, generation, now.0, now.after(REGRET).0))?;
    Ok(true)
}

/// Gives up the open letters of a job that was ended otherwise.
pub(in crate::sqlite) fn discard_job(
    sql: &Connection,
    job: Uuid,
    by: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    sql.prepare_cached(
        "update dp_dead set state = 'discarded', decided_at = ?3, decided_by = ?2
         where job = ?1 and state = 'open'",
    )?
    .execute((job.as_bytes(), by, now.0))?;
    Ok(())
}

fn settle(
    sql: &Connection,
    no: i64,
    state: &str,
    by: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    sql.prepare_cached(
        "update dp_dead set state = ?2, decided_at = ?4, decided_by = ?3 where no = ?1",
    )?
    .execute((no, state, by, now.0))?;
    Ok(())
}
