//! Ends jobs early.

use rusqlite::Connection;
use tidegate_core::clock::Timestamp;
use tidegate_core::notice::Notice;
use uuid::Uuid;

use crate::sqlite::{dead_letter, outbox, row};
use crate::{Cancel, JobState, StoreError};

/// Ends a job of the tenant, or asks its worker to.
pub(super) fn cancel(
    sql: &Connection,
    tenant: &str,
    id: Uuid,
    now: Timestamp,
) -> Result<Cancel, StoreError> {
    let mut select =
        sql.prepare_cached("select no, state from dp_job where id = ?1 and tenant = ?2")?;
    let mut rows = select.query((id.as_bytes(), tenant))?;
    let Some(found) = rows.next()? else { return batch(sql, tenant, id) };
    let (no, state): (i64, _) = (found.get(0)?, row::state(found, 1)?);
    drop(rows);
    match state {
        JobState::Accepted => end(sql, (no, id), now)?,
        JobState::Dead => {
            end(sql, (no, id), now)?;
            dead_letter::discard_job(sql, id, tenant, now)?;
        }
        JobState::Running => {
            sql.prepare_cached("update dp_job set cancel = 1 where no = ?1")?.execute((no,))?;
            outbox::put_notice(sql, Notice::JobsCancelled { jobs: vec![id] })?;
            return Ok(Cancel::Requested);
        }
        JobState::Applied | JobState::Failed | JobState::Cancelled => return Ok(Cancel::TooLate),
    }
    Ok(Cancel::Done)
}

/// Rows that were accepted are applied, whatever anyone wants.
fn batch(sql: &Connection, tenant: &str, id: Uuid) -> Result<Cancel, StoreError> {
    let exists: bool = sql
        .prepare_cached("select exists(select 1 from dp_batch where id = ?1 and tenant = ?2)")?
        .query_row((id.as_bytes(), tenant), |row| row.get(0))?;
    Ok(if exists { Cancel::TooLate } else { Cancel::Unknown })
}

/// Ends a job that does not run, given by number and id.
pub(in crate::sqlite) fn end(
    sql: &Connection,
    (no, id): (i64, Uuid),
    now: Timestamp,
) -> Result<(), StoreError> {
    sql.prepare_cached(
        "update dp_job set state = 'cancelled', run_at = null, lease_until = null, worker = null,
           finished_at = ?2
         where no = ?1",
    )?
    .execute((no, now.0))?;
    outbox::put_notice(sql, Notice::JobsFinished { jobs: vec![id] })
}
