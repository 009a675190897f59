//! T1: a batch is held by the worker that raised its fence last.

use rusqlite::{Connection, OptionalExtension as _};
use tidegate_core::clock::Timestamp;
use uuid::Uuid;

use crate::sqlite::contracts;
use crate::transform::compiled::Compiled;
use crate::transform::payload;
use crate::{Claim, StoreError};

/// A batch that was claimed, before its rows are loaded.
pub(super) struct Held {
    id: Uuid,
    no: i64,
    tenant: String,
    product: String,
    dataset: String,
    contract: i64,
    fence: i64,
    attempts: i64,
}

/// Raises the fence of a batch that is not finished.
pub(super) fn claim(
    sql: &Connection,
    batch: Uuid,
    now: Timestamp,
) -> Result<Option<Held>, StoreError> {
    let mut update = sql.prepare_cached(
        "update dp_batch
         set state = 'running', fence = fence + 1, attempts = attempts + 1, touched_at = ?2
         where id = ?1 and state in ('accepted', 'running')
         returning no, tenant, product, dataset, contract, fence, attempts",
    )?;
    let held = update.query_row((batch.as_bytes(), now.0), |row| {
        Ok(Held {
            id: batch,
            no: row.get(0)?,
            tenant: row.get(1)?,
            product: row.get(2)?,
            dataset: row.get(3)?,
            contract: row.get(4)?,
            fence: row.get(5)?,
            attempts: row.get(6)?,
        })
    });
    Ok(held.optional()?)
}

/// Loads the rows of a claimed batch; none if it was overtaken, applied and forgotten since.
pub(super) fn load(
    sql: &Connection,
    compiled: &Compiled,
    held: Held,
) -> Result<Option<Claim>, StoreError> {
    let packed: Option<Vec<u8>> = sql
        .prepare_cached("select body from dp_payload where batch = ?1")?
        .query_row((held.no,), |row| row.get(0))
        .optional()?;
    let Some(packed) = packed else { return Ok(None) };
    let contract = contracts::get(sql, compiled, &held.product, held.contract)?;
    let Some((position, dataset)) = contract.contract.dataset(&held.dataset) else {
        return Err(StoreError::Corrupt {
            what: "batch",
            reason: format!("its contract has no dataset '{}'", held.dataset),
        });
    };
    let (rows, lines) = payload::unpack(dataset, &packed)?;
    Ok(Some(Claim {
        id: held.id,
        tenant: held.tenant,
        contract: contract.clone(),
        dataset: position,
        fence: held.fence,
        attempts: held.attempts,
        rows,
        lines,
    }))
}

/// Loads all that can be loaded. A batch that can't stays claimed, and the sweep brings it again:
/// its rows were accepted, and a build that reads them may come.
pub(super) fn load_all(
    sql: &Connection,
    compiled: &Compiled,
    held: Vec<Held>,
) -> Result<Vec<Claim>, StoreError> {
    let mut claims = Vec::with_capacity(held.len());
    for held in held {
        let id = held.id;
        match load(sql, compiled, held) {
            Ok(claim) => claims.extend(claim),
            Err(error @ StoreError::Corrupt { .. }) => {
                tracing::error!(batch.id = %id, error = %error, "Batch could not be loaded.");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(claims)
}
