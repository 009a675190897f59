//! T1: a batch is held by the worker that raised its fence last.

use rusqlite::{Connection, OptionalExtension as _};
use tidegate_core::clock::Timestamp;
use tidegate_core::job::Job;
use tidegate_core::notice::Notice;
use uuid::Uuid;

use crate::sqlite::{contracts, dead_letter, outbox, row};
use crate::transform::compiled::Compiled;
use crate::transform::{message, payload};
use crate::{Claim, Hold, StoreError};

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
    unfinished: u32,
}

/// Raises the fence of a batch that is not finished.
pub(super) fn claim(
    sql: &Connection,
    batch: Uuid,
    now: Timestamp,
) -> Result<Option<Held>, StoreError> {
    let mut update = sql.prepare_cached(
        "update dp_batch
         set state = 'running', fence = fence + 1, attempts = attempts + 1,
           unfinished = unfinished + 1, touched_at = ?2
         where id = ?1 and state in ('accepted', 'running')
         returning no, tenant, product, dataset, contract, fence, attempts, unfinished",
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
            unfinished: row.get(7)?,
        })
    });
    Ok(held.optional()?)
}

/// Gives a claim back: it ended, and the next one finds the batch waiting unless there is one.
pub(super) fn release(sql: &Connection, hold: Hold) -> Result<(), StoreError> {
    sql.prepare_cached(
        "update dp_batch set unfinished = max(unfinished - 1, 0),
           state = case fence when ?2 then 'accepted' else state end
         where id = ?1 and state = 'running'",
    )?
    .execute((hold.batch.as_bytes(), hold.fence))?;
    Ok(())
}

/// Files a claimed batch as a dead letter; `false` if the claim was overtaken.
pub(super) fn quarantine(
    sql: &Connection,
    hold: Hold,
    reason: &str,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let held: Option<(i64, u32)> = sql
        .prepare_cached(
            "select no, unfinished from dp_batch
             where id = ?1 and fence = ?2 and state = 'running'",
        )?
        .query_row((hold.batch.as_bytes(), hold.fence), |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((no, unfinished)) = held else { return Ok(false) };
    let job = Job { attempt: unfinished, ..message::again(row::batch(sql, no)?, now) };
    dead_letter::file_own(sql, job, reason, Vec::new(), now)?;
    outbox::put_notice(sql, Notice::JobsFinished { jobs: vec![hold.batch] })?;
    Ok(true)
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
        unfinished: held.unfinished,
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
