//! Brings back what was forgotten, and forgets what is past its time. Both in bounded steps, and
//! each step for what no other sweep is at.

pub(super) mod jobs;
pub(super) mod prune;

use tidegate_core::clock::Timestamp;

use crate::postgres::fault::Fault;
use crate::postgres::pool::{Pool, Session};
use crate::postgres::{WRITE, outbox, row};
use crate::transform::message::{self, Line};

/// Most jobs of one sort put by one sweep.
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
    let text = format!(
        "with found as (
           select id from dp_batch as batch
           where state in ('accepted', 'running') and touched_at < $1
             and not exists(select from dp_outbox where dp_outbox.batch = batch.id)
           order by touched_at limit $3 for update skip locked
         )
         update dp_batch set touched_at = $2 from found where dp_batch.id = found.id
         returning {}",
        row::BATCH
    );
    let rows = session.query(&text, &[&untouched_since.0, &now.0, &MAX_JOBS]).await?;
    let mut lines = Vec::with_capacity(rows.len());
    for found in &rows {
        lines.push(Line::job(message::again(row::batch(found)?, now))?);
    }
    outbox::put_all(&session, &lines).await?;
    session.commit().await?;
    Ok(lines.len())
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
