//! Brings back what was forgotten, and forgets what is past its time. Both in bounded steps: a
//! write transaction must stay short.

pub(super) mod jobs;
pub(super) mod prune;

use rusqlite::Connection;
use tidegate_core::clock::Timestamp;

use crate::StoreError;
use crate::sqlite::{outbox, row};
use crate::transform::message;

/// Most jobs of one sort put by one sweep.
const MAX_JOBS: i64 = 256;

/// Most payloads dropped by one sweep: each may free hundreds of pages.
const MAX_PAYLOADS: usize = 32;

/// Puts an outbox line for batches that nobody has touched since `untouched_since`.
///
/// A batch whose line is still pending needs none: the relay is behind, not the batch.
pub(super) fn requeue(
    sql: &Connection,
    untouched_since: Timestamp,
    now: Timestamp,
) -> Result<usize, StoreError> {
    let mut select = sql.prepare_cached(
        "select no from dp_batch as batch
         where state in ('accepted', 'running') and touched_at < ?1
           and not exists(select 1 from dp_outbox where dp_outbox.batch = batch.id)
         order by touched_at limit ?2",
    )?;
    let found = numbers(&mut select, (untouched_since.0, MAX_JOBS))?;
    let mut touch = sql.prepare_cached("update dp_batch set touched_at = ?2 where no = ?1")?;
    for no in &found {
        outbox::put_job(sql, message::again(row::batch(sql, *no)?, now))?;
        touch.execute((no, now.0))?;
    }
    Ok(found.len())
}

/// Drops payloads that are past their replay time; returns how many.
pub(super) fn drop_payloads(sql: &Connection, now: Timestamp) -> Result<usize, StoreError> {
    let mut select = sql.prepare_cached(
        "select no from dp_batch where payload_until <= ?1 order by payload_until limit ?2",
    )?;
    let past = numbers(&mut select, (now.0, MAX_PAYLOADS as i64))?;
    let mut delete = sql.prepare_cached("delete from dp_payload where batch = ?1")?;
    let mut forget =
        sql.prepare_cached("update dp_batch set payload_until = null where no = ?1")?;
    for no in &past {
        delete.execute((no,))?;
        forget.execute((no,))?;
    }
    Ok(past.len())
}

fn numbers(
    select: &mut rusqlite::Statement<'_>,
    parameters: impl rusqlite::Params,
) -> Result<Vec<i64>, StoreError> {
    let found = select.query_map(parameters, |row| row.get(0))?;
    Ok(found.collect::<Result<_, _>>()?)
}
