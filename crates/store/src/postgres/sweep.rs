//! Brings back what was forgotten, and forgets what is past its time. Both in bounded steps.

use tidegate_core::clock::Timestamp;
use uuid::Uuid;

use crate::postgres::WRITE;
use crate::postgres::fault::Fault;
use crate::postgres::outbox::origin;
use crate::postgres::pool::{Pool, Session};
use crate::transform::message::{self, IngestJob};

/// Most jobs put by one sweep.
const MAX_JOBS: i64 = 256;

/// Most payloads dropped by one sweep.
const MAX_PAYLOADS: i64 = 32;

/// Puts an outbox line for batches that nobody has touched since `untouched_since`.
///
/// A batch whose line is still pending needs none: the relay is behind, not the batch.
pub(super) async fn requeue(
    pool: &Pool,
    untouched_since: Timestamp,
    now: Timestamp,
) -> Result<usize, Fault> {
    let session = pool.begin(WRITE).await?;
    // Several workers sweep: what one has found, another passes over.
    let rows = session
        .query(
            "with found as (
               select id from dp_batch as batch
               where state in ('accepted', 'running') and touched_at < $1
                 and not exists(select from dp_outbox where dp_outbox.batch = batch.id)
               order by touched_at limit $3 for update skip locked
             )
             update dp_batch set touched_at = $2 from found where dp_batch.id = found.id
             returning dp_batch.id, tenant, product, traceparent",
            &[&untouched_since.0, &now.0, &MAX_JOBS],
        )
        .await?;
    let mut batches: Vec<Uuid> = Vec::with_capacity(rows.len());
    let mut bodies: Vec<String> = Vec::with_capacity(rows.len());
    for row in &rows {
        let batch = row.try_get(0)?;
        let (tenant, product) = (row.try_get(1)?, row.try_get(2)?);
        let job = IngestJob { batch, tenant, product, traceparent: row.try_get(3)? };
        bodies.push(serde_json::to_string(&message::ingest(job, now))?);
        batches.push(batch);
    }
    if !batches.is_empty() {
        put_jobs(&session, &batches, &bodies).await?;
    }
    session.commit().await?;
    Ok(batches.len())
}

async fn put_jobs(session: &Session<'_>, batches: &[Uuid], bodies: &[String]) -> Result<(), Fault> {
    session
        .execute(
            "insert into dp_outbox(kind, batch, body, origin)
             select 'job', *, $3 from unnest($1::uuid[], $2::text[])",
            &[&batches, &bodies, &origin()],
        )
        .await?;
    Ok(())
}

/// Drops payloads that are past their replay time; returns how many.
pub(super) async fn drop_payloads(session: &Session<'_>, now: Timestamp) -> Result<usize, Fault> {
    let dropped = session
        .execute(
            "with past as (
           select id from dp_batch where payload_until <= $1
           order by payload_until limit $2 for update skip locked
         ), gone as (
           delete from dp_payload using past where batch = past.id
         )
         update dp_batch set payload_until = null from past where dp_batch.id = past.id",
            &[&now.0, &MAX_PAYLOADS],
        )
        .await?;
    Ok(usize::try_from(dropped).unwrap_or(usize::MAX))
}
