//! Records past their time.

use std::time::Duration;

use tidegate_core::clock::Timestamp;
use uuid::Uuid;

use crate::postgres::WRITE;
use crate::postgres::fault::Fault;
use crate::postgres::pool::{Pool, Session};
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
           select job, generation from dp_inbox where at < $1 order by at limit $2
           for update skip locked)",
    ),
    (
        ENDED,
        "delete from dp_job where id in (
           select id from dp_job where state in ('applied', 'failed', 'cancelled')
             and finished_at < $1 order by finished_at limit $2 for update skip locked)",
    ),
    (
        KEYS,
        "update dp_job set idem_key = null where id in (
           select id from dp_job where idem_key is not null and finished_at < $1
           order by finished_at limit $2 for update skip locked)",
    ),
    (
        KEYS,
        "update dp_batch set idem_key = null where id in (
           select id from dp_batch where idem_key is not null and finished_at < $1
           order by finished_at limit $2 for update skip locked)",
    ),
    (
        DECIDED,
        "delete from dp_dead where no in (
           select no from dp_dead where decided_at < $1 order by decided_at limit $2
           for update skip locked)",
    ),
    (
        TRIALS,
        "delete from dp_probe where (run, n) in (
           select run, n from dp_probe where at < $1 order by at limit $2
           for update skip locked)",
    ),
    (
        SUSPECTS,
        "delete from dp_suspect where (job, generation) in (
           select job, generation from dp_suspect where at < $1 order by at limit $2
           for update skip locked)",
    ),
    (
        BEATS,
        "delete from dp_worker where id in (
           select id from dp_worker where seen_at < $1 limit $2 for update skip locked)",
    ),
];

/// Deletes records of all sorts; returns how many.
pub(in crate::postgres) async fn prune(
    session: &Session<'_>,
    now: Timestamp,
) -> Result<usize, Fault> {
    let mut pruned = 0;
    for (kept, statement) in STATEMENTS {
        let deleted = session.execute(statement, &[&now.before(kept).0, &MAX_RECORDS]).await?;
        pruned += usize::try_from(deleted).unwrap_or(usize::MAX);
    }
    Ok(pruned)
}

/// Deletes batches that ended, with their quarantined rows; returns how many records that were.
pub(in crate::postgres) async fn prune_batches(
    pool: &Pool,
    now: Timestamp,
) -> Result<usize, Fault> {
    let session = pool.begin(WRITE).await?;
    let mut past: Vec<Uuid> = Vec::new();
    for (has_rejected, kept) in [(false, ENDED), (true, QUARANTINED)] {
        let rows = session
            .query(
                "select id from dp_batch where (rows_rejected > 0) = $1 and finished_at < $2
                   and finished_at is not null and payload_until is null and state <> 'dead'
                 order by finished_at limit $3 for update skip locked",
                &[&has_rejected, &now.before(kept).0, &MAX_BATCHES],
            )
            .await?;
        for row in rows {
            past.push(row.try_get(0)?);
        }
    }
    let mut pruned = 0;
    for batch in past {
        let left = MAX_RECORDS.saturating_sub(i64::try_from(pruned).unwrap_or(MAX_RECORDS));
        let deleted = session
            .execute(
                "delete from dp_quarantine where (tenant, product, batch, line) in (
                   select row.tenant, row.product, row.batch, row.line
                   from dp_batch join dp_quarantine as row
                     on row.tenant = dp_batch.tenant and row.product = dp_batch.product
                       and row.batch = dp_batch.id
                   where dp_batch.id = $1 limit $2)",
                &[&batch, &left],
            )
            .await?;
        pruned += usize::try_from(deleted).unwrap_or(usize::MAX);
        // What is left of it goes next time.
        if i64::try_from(deleted).is_ok_and(|deleted| deleted == left) {
            break;
        }
        let gone = session.execute("delete from dp_batch where id = $1", &[&batch]).await?;
        pruned += usize::try_from(gone).unwrap_or(usize::MAX);
    }
    session.commit().await?;
    Ok(pruned)
}
