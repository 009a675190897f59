//! What waits, for monitoring.

use rusqlite::Connection;
use tidegate_core::clock::Timestamp;
use tidegate_core::job::Lane;

use crate::sqlite::row;
use crate::{Backlog, LaneBacklog, StoreError};

/// Counts what waits.
pub(super) fn backlog(sql: &Connection) -> Result<Backlog, StoreError> {
    let (batches, oldest): (i64, Option<i64>) = sql
        .prepare_cached(
            "select count(*), min(received_at) from dp_batch
             where state in ('accepted', 'running')",
        )?
        .query_row((), |row| Ok((row.get(0)?, row.get(1)?)))?;
    let (batches, oldest) = (batches.unsigned_abs(), oldest.map(Timestamp));
    Ok(Backlog {
        batches,
        oldest,
        outbox: count(sql, "select count(*) from dp_outbox")?,
        lanes: lanes(sql, LaneBacklog { lane: Lane::Default, waiting: batches, oldest })?,
        dead: count(sql, "select count(*) from dp_dead where state = 'open'")?,
    })
}

fn count(sql: &Connection, statement: &str) -> Result<u64, StoreError> {
    let count: i64 = sql.prepare_cached(statement)?.query_row((), |row| row.get(0))?;
    Ok(count.unsigned_abs())
}

/// Counts jobs by lane, added to the batches.
fn lanes(sql: &Connection, batches: LaneBacklog) -> Result<Vec<LaneBacklog>, StoreError> {
    let mut lanes = if batches.waiting > 0 { vec![batches] } else { Vec::new() };
    let mut select = sql.prepare_cached(
        "select lane, count(*), min(enqueued_at) from dp_job
         where state in ('accepted', 'running') and run_at is null group by lane",
    )?;
    let mut rows = select.query(())?;
    while let Some(found) = rows.next()? {
        let lane = row::lane(found, 0)?;
        let (waiting, oldest) = (found.get::<_, i64>(1)?.unsigned_abs(), Timestamp(found.get(2)?));
        match lanes.iter_mut().find(|known| known.lane == lane) {
            Some(known) => {
                known.waiting += waiting;
                known.oldest = known.oldest.map_or(Some(oldest), |at| Some(at.min(oldest)));
            }
            None => lanes.push(LaneBacklog { lane, waiting, oldest: Some(oldest) }),
        }
    }
    lanes.sort_unstable_by_key(|lane| lane.lane);
    Ok(lanes)
}
