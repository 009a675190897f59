//! T1: a batch is held by the worker that raised its fence last.

use std::sync::Arc;

use tidegate_core::clock::Timestamp;
use tidegate_core::job::Job;
use tidegate_core::notice::Notice;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::postgres::WRITE;
use crate::postgres::fault::Fault;
use crate::postgres::pool::{Pool, Session};
use crate::postgres::{contracts, dead_letter, outbox, row};
use crate::transform::compiled::Compiled;
use crate::transform::{message, payload};
use crate::{Claim, Hold, StoreError, StoredContract};

/// Raises the fences of batches that are not finished, locked in the order of their ids, and
/// returns what they hold.
const CLAIM: &str = "
with waiting as (
  select id from dp_batch where id = any($1) and state in ('accepted', 'running')
  order by id for update
), held as (
  update dp_batch
  set state = 'running', fence = fence + 1, attempts = attempts + 1,
    unfinished = unfinished + 1, touched_at = $2
  from waiting where dp_batch.id = waiting.id
  returning dp_batch.id, tenant, product, dataset, contract, fence, attempts, unfinished
)
select held.*, body from held join dp_payload on batch = id order by id";

/// A batch that was claimed, before its rows are unpacked.
pub(super) struct Held {
    id: Uuid,
    tenant: String,
    contract: Arc<StoredContract>,
    dataset: usize,
    fence: i64,
    attempts: i64,
    unfinished: u32,
    packed: Vec<u8>,
}

/// Claims batches.
pub(super) async fn claim(
    pool: &Pool,
    compiled: &Compiled,
    batches: &[Uuid],
    now: Timestamp,
) -> Result<Vec<Held>, Fault> {
    let session = pool.begin(WRITE).await?;
    let rows = session.query(CLAIM, &[&batches, &now.0]).await?;
    let mut claimed = Vec::with_capacity(rows.len());
    for row in rows {
        match held(&session, compiled, &row).await {
            Ok(held) => claimed.push(held),
            Err(Fault::Store(error @ StoreError::Corrupt { .. })) => {
                skipped(row.try_get(0)?, &error)
            }
            Err(fault) => return Err(fault),
        }
    }
    session.commit().await?;
    Ok(claimed)
}

async fn held(session: &Session<'_>, compiled: &Compiled, found: &Row) -> Result<Held, Fault> {
    let (product, name): (&str, &str) = (found.try_get(2)?, found.try_get(3)?);
    let contract = contracts::get(session, compiled, product, found.try_get(4)?).await?;
    let Some((dataset, _)) = contract.contract.dataset(name) else {
        return Err(StoreError::Corrupt {
            what: "batch",
            reason: format!("its contract has no dataset '{name}'"),
        }
        .into());
    };
    Ok(Held {
        id: found.try_get(0)?,
        tenant: found.try_get(1)?,
        contract,
        dataset,
        fence: found.try_get(5)?,
        attempts: found.try_get(6)?,
        unfinished: row::small(found, 7)?,
        packed: found.try_get(8)?,
    })
}

/// Unpacks the rows of all batches that can be read.
pub(super) fn unpack(claimed: Vec<Held>) -> Vec<Claim> {
    let claim = |held: Held| {
        let dataset = &held.contract.contract.datasets[held.dataset];
        match payload::unpack(dataset, &held.packed) {
            Ok((rows, lines)) => Some(Claim {
                id: held.id,
                tenant: held.tenant,
                contract: held.contract,
                dataset: held.dataset,
                fence: held.fence,
                attempts: held.attempts,
                unfinished: held.unfinished,
                rows,
                lines,
            }),
            Err(error) => {
                skipped(held.id, &error);
                None
            }
        }
    };
    claimed.into_iter().filter_map(claim).collect()
}

/// Reports a batch that can't be loaded. It stays claimed, and the sweep brings it again: its rows
/// were accepted, and a build that reads them may come.
fn skipped(batch: Uuid, error: &StoreError) {
    tracing::error!(batch.id = %batch, error = %error, "Batch could not be loaded.");
}

/// Gives claims back: they ended, and the next one finds the batch waiting unless there is one.
pub(super) async fn release(session: &Session<'_>, holds: &[Hold]) -> Result<(), Fault> {
    let batches: Vec<Uuid> = holds.iter().map(|hold| hold.batch).collect();
    let fences: Vec<i64> = holds.iter().map(|hold| hold.fence).collect();
    session
        .execute(
            "with held as (
               select dp_batch.id, hold.fence
               from unnest($1::uuid[], $2::bigint[]) as hold(id, fence)
               join dp_batch on dp_batch.id = hold.id where state = 'running'
               order by dp_batch.id for update of dp_batch
             )
             update dp_batch set unfinished = greatest(unfinished - 1, 0),
               state = case dp_batch.fence when held.fence then 'accepted' else state end
             from held where dp_batch.id = held.id",
            &[&batches, &fences],
        )
        .await?;
    Ok(())
}

/// Files a claimed batch as a dead letter; `false` if the claim was overtaken.
pub(super) async fn quarantine(
    pool: &Pool,
    hold: Hold,
    reason: &str,
    now: Timestamp,
) -> Result<bool, Fault> {
    let session = pool.begin(WRITE).await?;
    let held = session
        .query_opt(
            &format!(
                "select {}, unfinished from dp_batch
                 where id = $1 and fence = $2 and state = 'running' for update",
                row::BATCH
            ),
            &[&hold.batch, &hold.fence],
        )
        .await?;
    let Some(found) = held else { return Ok(false) };
    let attempt = row::small(&found, row::BATCH_WIDTH)?;
    let job = Job { attempt, ..message::again(row::batch(&found)?, now) };
    dead_letter::file_own(&session, job, reason, Vec::new(), now).await?;
    let jobs = vec![hold.batch];
    outbox::put_notice(&session, Notice::JobsFinished { jobs }).await?;
    session.commit().await?;
    Ok(true)
}
