//! Brings back what was forgotten, and forgets what is past its time. Both in bounded steps: a
//! write transaction must stay short.

use rusqlite::Connection;
use tidegate_core::clock::Timestamp;

use crate::StoreError;
use crate::sqlite::outbox;
use crate::transform::message::IngestJob;

/// Most jobs put by one sweep.
const MAX_JOBS: usize = 256;

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
        "select no, id, tenant, product, traceparent from dp_batch as batch
         where state in ('accepted', 'running') and touched_at < ?1
           and not exists(select 1 from dp_outbox where dp_outbox.batch = batch.id)
         order by touched_at limit ?2",
    )?;
    let mut rows = select.query((untouched_since.0, MAX_JOBS as i64))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let id: Vec<u8> = row.get(1)?;
        let names: (String, String) = (row.get(2)?, row.get(3)?);
        found.push((row.get::<_, i64>(0)?, super::uuid(&id)?, names, row.get(4)?));
    }
    drop(rows);
    let mut touch = sql.prepare_cached("update dp_batch set touched_at = ?2 where no = ?1")?;
    let put = found.len();
    for (no, batch, (tenant, product), traceparent) in found {
        let job = IngestJob { batch, tenant: &tenant, product: &product, traceparent };
        outbox::put_job(sql, job, now)?;
        touch.execute((no, now.0))?;
    }
    Ok(put)
}

/// Drops payloads that are past their replay time; returns how many.
pub(super) fn drop_payloads(sql: &Connection, now: Timestamp) -> Result<usize, StoreError> {
    let mut select = sql.prepare_cached(
        "select no from dp_batch where payload_until <= ?1 order by payload_until limit ?2",
    )?;
    let past = select.query_map((now.0, MAX_PAYLOADS as i64), |row| row.get::<_, i64>(0))?;
    let past = past.collect::<Result<Vec<_>, _>>()?;
    let mut delete = sql.prepare_cached("delete from dp_payload where batch = ?1")?;
    let mut forget =
        sql.prepare_cached("update dp_batch set payload_until = null where no = ?1")?;
    for no in &past {
        delete.execute((no,))?;
        forget.execute((no,))?;
    }
    Ok(past.len())
}
