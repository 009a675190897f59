//! T0: batch, quarantined rows, job and outbox line in one transaction.

use rusqlite::{Connection, OptionalExtension as _};
use tidegate_core::clock::Timestamp;
use tidegate_product::rows::RejectedRow;
use uuid::Uuid;

use crate::sqlite::outbox;
use crate::transform::message::{self, Line};
use crate::transform::names::dataset_table;
use crate::transform::payload;
use crate::{Accepted, NewBatch, StoreError};

/// What can be made of a batch before the transaction.
pub(super) struct Packed {
    payload: Vec<u8>,
    job: Line,
}

// === impl Packed ===

impl Packed {
    pub(super) fn of(batch: &NewBatch, now: Timestamp) -> Result<Self, StoreError> {
        Ok(Self {
            payload: payload::pack(&batch.rows, &batch.lines)?,
            job: Line::job(message::first(batch, now))?,
        })
    }
}

/// Writes a batch whose rows are packed already, or finds the one that its key names.
pub(super) fn accept(
    sql: &Connection,
    batch: &NewBatch,
    packed: &Packed,
    now: Timestamp,
) -> Result<Accepted, StoreError> {
    refuse_outdated(sql, batch)?;
    let Some(no) = insert_batch(sql, batch, now)? else { return replayed(sql, batch) };
    sql.prepare_cached("insert into dp_payload(batch, body) values(?1, ?2)")?
        .execute((no, &packed.payload))?;
    let product = &batch.contract.contract.name;
    quarantine(sql, (&batch.tenant, product, batch.id), &batch.rejected)?;
    outbox::put_all(sql, [&packed.job])?;
    Ok(Accepted::New)
}

/// Keeps rejected rows of a batch, given by tenant, product and id.
pub(super) fn quarantine(
    sql: &Connection,
    (tenant, product, batch): (&str, &str, Uuid),
    rejected: &[RejectedRow],
) -> Result<(), StoreError> {
    // Lines of a batch differ: what is there already is the same row, told again.
    let mut insert = sql.prepare_cached(
        "insert into dp_quarantine(tenant, product, batch, line, raw, errors)
         values(?1, ?2, ?3, ?4, ?5, ?6) on conflict do nothing",
    )?;
    for row in rejected {
        let errors = serde_json::to_string(&row.errors)?;
        insert.execute((tenant, product, batch.as_bytes(), row.line, &row.raw, errors))?;
    }
    Ok(())
}

/// Refuses rows that were checked by a contract from before the dataset's tables were made anew:
/// views that the contract does not know would miss them.
fn refuse_outdated(sql: &Connection, batch: &NewBatch) -> Result<(), StoreError> {
    let contract = &batch.contract.contract;
    let table = dataset_table(&contract.name, &contract.datasets[batch.dataset]);
    let since: Option<i64> = sql
        .prepare_cached("select since from dp_table where name = ?1")?
        .query_row((table,), |row| row.get(0))
        .optional()?;
    match since {
        Some(since) if since <= batch.contract.version => Ok(()),
        _ => Err(StoreError::Incompatible(
            "the contract changed while the rows were checked; send them again".to_owned(),
        )),
    }
}

/// Returns the batch's number, or none if its idempotency key was used before.
fn insert_batch(
    sql: &Connection,
    batch: &NewBatch,
    now: Timestamp,
) -> Result<Option<i64>, StoreError> {
    let contract = &batch.contract.contract;
    let rejected = batch.rejected.len() as i64;
    let inserted = sql
        .prepare_cached(
            "insert into dp_batch(id, tenant, product, dataset, contract, idem_key, fingerprint,
               traceparent, state, rows_sent, rows_rejected, received_at, touched_at, release,
               cohort)
             values(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 'accepted', ?9, ?10, ?11, ?11, ?12, ?13)
             on conflict(tenant, product, dataset, idem_key) do nothing",
        )?
        .execute((
            batch.id.as_bytes(),
            &batch.tenant,
            &contract.name,
            &contract.datasets[batch.dataset].name,
            batch.contract.version,
            &batch.idempotency_key,
            batch.fingerprint,
            &batch.traceparent,
            batch.rows.len() as i64 + rejected,
            rejected,
            now.0,
            &batch.release,
            batch.cohort,
        ))?;
    Ok((inserted == 1).then(|| sql.last_insert_rowid()))
}

fn replayed(sql: &Connection, batch: &NewBatch) -> Result<Accepted, StoreError> {
    let contract = &batch.contract.contract;
    let (id, fingerprint): (Vec<u8>, Vec<u8>) = sql
        .prepare_cached(
            "select id, fingerprint from dp_batch
             where tenant = ?1 and product = ?2 and dataset = ?3 and idem_key = ?4",
        )?
        .query_row(
            (
                &batch.tenant,
                &contract.name,
                &contract.datasets[batch.dataset].name,
                &batch.idempotency_key,
            ),
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
    if fingerprint != batch.fingerprint {
        return Ok(Accepted::KeyReused);
    }
    Ok(Accepted::Replayed(super::uuid(&id)?))
}
