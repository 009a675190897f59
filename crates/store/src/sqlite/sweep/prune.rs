//! Records past their time.

use std::time::Duration;

use rusqlite::Connection;
use tidegate_core::clock::Timestamp;

use super::numbers;
use crate::StoreError;
use crate::transform::retention::{
    BEATS, DECIDED, ENDED, INBOX, KEYS, QUARANTINED, SUSPECTS, TRIALS,
};

/// Most records of one sort deleted by one sweep.
const MAX_RECORDS: i64 = 1_000;

/// Most batches looked at by one sweep, and most of their quarantined rows deleted.
const MAX_BATCHES: i64 = 64;

/// What is deleted when: each statement takes the time and how many.
const STATEMENTS: [(Duration, &str); 8] = [
    (
        INBOX,
        "delete from dp_inbox where (job, generation) in (
           select job, generation from dp_inbox where at < ?1 order by at limit ?2)",
    ),
    (
        ENDED,
        "delete from dp_job where no in (
           select no from dp_job where state in ('applied', 'failed', 'cancelled')
             and finished_at < ?1 order by finished_at limit ?2)",
    ),
    (
        KEYS,
        "update dp_job set idem_key = null where no in (
           select no from dp_job where idem_key is not null and finished_at < ?1
           order by finished_at limit ?2)",
    ),
    (
        KEYS,
        "update dp_batch set idem_key = null where no in (
           select no from dp_batch where idem_key is not null and finished_at < ?1
           order by finished_at limit ?2)",
    ),
    (
        DECIDED,
        "delete from dp_dead where no in (
           select no from dp_dead where decided_at < ?1 order by decided_at limit ?2)",
    ),
    (
        TRIALS,
        "delete from dp_probe where (run, n) in (
           select run, n from dp_probe where at < ?1 order by at limit ?2)",
    ),
    (
        SUSPECTS,
        "delete from dp_suspect where (job, generation) in (
           select job, generation from dp_suspect where at < ?1 order by at limit ?2)",
    ),
    (
        BEATS,
        "delete from dp_worker where id in (
           select id from dp_worker where seen_at < ?1 limit ?2)",
    ),
];

/// Deletes records of all sorts; returns how many.
pub(in crate::sqlite) fn prune(sql: &Connection, now: Timestamp) -> Result<usize, StoreError> {
    let mut pruned = 0;
    for (kept, statement) in STATEMENTS {
        pruned += sql.prepare_cached(statement)?.execute((now.before(kept).0, MAX_RECORDS))?;
    }
    Ok(pruned)
}

/// Deletes batches that ended, with their quarantined rows; returns how many records that were.
pub(in crate::sqlite) fn prune_batches(
    sql: &Connection,
    now: Timestamp,
) -> Result<usize, StoreError> {
    let mut select = sql.prepare_cached(
        "select no from dp_batch where (rows_rejected > 0) = ?1 and finished_at < ?2
           and finished_at is not null and payload_until is null and state <> 'dead'
         order by finished_at limit ?3",
    )?;
    let mut past = numbers(&mut select, (false, now.before(ENDED).0, MAX_BATCHES))?;
    past.append(&mut numbers(&mut select, (true, now.before(QUARANTINED).0, MAX_BATCHES))?);
    let mut rows = sql.prepare_cached(
        "delete from dp_quarantine where (tenant, product, batch, line) in (
           select row.tenant, row.product, row.batch, row.line
           from dp_batch join dp_quarantine as row
             on row.tenant = dp_batch.tenant and row.product = dp_batch.product
               and row.batch = dp_batch.id
           where dp_batch.no = ?1 limit ?2)",
    )?;
    let mut batch = sql.prepare_cached("delete from dp_batch where no = ?1")?;
    let mut pruned = 0;
    for no in past {
        let left = MAX_RECORDS.saturating_sub(i64::try_from(pruned).unwrap_or(MAX_RECORDS));
        let deleted = rows.execute((no, left))?;
        pruned += deleted;
        // What is left of it goes next time.
        if i64::try_from(deleted).is_ok_and(|deleted| deleted == left) {
            break;
        }
        pruned += batch.execute((no,))?;
    }
    Ok(pruned)
}
