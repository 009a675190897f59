//! T1: a batch is held by the worker that raised its fence last.

use std::sync::Arc;

use tidegate_core::clock::Timestamp;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::postgres::WRITE;
use crate::postgres::contracts;
use crate::postgres::fault::Fault;
use crate::postgres::pool::{Pool, Session};
use crate::transform::compiled::Compiled;
use crate::transform::payload;
use crate::{Claim, StoreError, StoredContract};

/// Raises the fences of batches that are not finished, locked in the order of their ids, and
/// returns what they hold.
const CLAIM: &str = "
with waiting as (
  select id from dp_batch where id = any($1) and state in ('accepted', 'running')
  order by id for update
), held as (
  update dp_batch
  set state = 'running', fence = fence + 1, attempts = attempts + 1, touched_at = $2
  from waiting where dp_batch.id = waiting.id
  returning dp_batch.id, tenant, product, dataset, contract, fence, attempts
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

async fn held(session: &Session<'_>, compiled: &Compiled, row: &Row) -> Result<Held, Fault> {
    let (product, name): (&str, &str) = (row.try_get(2)?, row.try_get(3)?);
    let contract = contracts::get(session, compiled, product, row.try_get(4)?).await?;
    let Some((dataset, _)) = contract.contract.dataset(name) else {
        return Err(StoreError::Corrupt {
            what: "batch",
            reason: format!("its contract has no dataset '{name}'"),
        }
        .into());
    };
    Ok(Held {
        id: row.try_get(0)?,
        tenant: row.try_get(1)?,
        contract,
        dataset,
        fence: row.try_get(5)?,
        attempts: row.try_get(6)?,
        packed: row.try_get(7)?,
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
