//! T0: batch, quarantined rows, job and outbox line in one transaction.

use tidegate_core::clock::Timestamp;
use tidegate_product::rows::RejectedRow;
use uuid::Uuid;

use crate::postgres::WRITE;
use crate::postgres::bind::storable;
use crate::postgres::contracts::{Sharing, lock};
use crate::postgres::fault::Fault;
use crate::postgres::outbox::origin;
use crate::postgres::pool::{Pool, Session};
use crate::transform::message::{self, Line};
use crate::transform::names::dataset_table;
use crate::transform::payload;
use crate::transform::space::Space;
use crate::{Accepted, NewBatch, StoreError};

/// Writes all of it, or says which part was in the way. Rows that were checked by a contract from
/// before the dataset's tables were made anew are refused: views that the contract does not know
/// would miss them.
const ACCEPT: &str = "
with fits as (
  select from dp_table where name = $1 and since <= $2
), batch as (
  insert into dp_batch(id, tenant, product, dataset, contract, idem_key, fingerprint, traceparent,
    state, rows_sent, rows_rejected, received_at, touched_at, release, cohort)
  select $3, $4, $5, $6, $2, $7, $8, $9, 'accepted', $10, $11, $12, $12, $19, $20 from fits
  on conflict do nothing returning id
), payload as (
  insert into dp_payload(batch, body) select id, $13 from batch
), line as (
  insert into dp_outbox(kind, batch, body, origin) select 'job', id, $14, $15 from batch
), rejected as (
  insert into dp_quarantine(tenant, product, batch, line, raw, errors)
  select $4, $5, id, line, raw, errors
  from batch, unnest($16::bigint[], $17::text[], $18::text[]) as row(line, raw, errors)
)
select exists(select from fits), exists(select from batch)";

/// What can be made of a batch before the transaction.
pub(super) struct Packed {
    payload: Vec<u8>,
    job: Line,
    rejected: Quarantine,
}

// === impl Packed ===

impl Packed {
    pub(super) fn of(batch: &NewBatch, now: Timestamp) -> Result<Self, StoreError> {
        Ok(Self {
            payload: payload::pack(&batch.rows, &batch.lines)?,
            job: Line::job(message::first(batch, now))?,
            rejected: Quarantine::of(&batch.rejected)?,
        })
    }
}

/// Writes a batch whose rows are packed already, or finds the one that its key names.
pub(super) async fn accept(
    pool: &Pool,
    batch: &NewBatch,
    packed: &Packed,
    now: Timestamp,
) -> Result<Accepted, Fault> {
    let contract = &batch.contract.contract;
    let dataset = &contract.datasets[batch.dataset];
    let rejected = batch.rejected.len() as i64;
    let session = pool.begin(WRITE).await?;
    // The contract must not change between the look at it and the commit.
    session.batch(&lock(&contract.name, Sharing::Readers)).await?;
    let row = session
        .query_one(
            ACCEPT,
            &[
                &dataset_table(&contract.name, dataset),
                &batch.contract.version,
                &batch.id,
                &batch.tenant,
                &contract.name,
                &dataset.name,
                &batch.idempotency_key,
                &batch.fingerprint.as_slice(),
                &batch.traceparent,
                &(batch.rows.len() as i64 + rejected),
                &rejected,
                &now.0,
                &packed.payload,
                &packed.job.body,
                &origin(),
                &packed.rejected.lines,
                &packed.rejected.raws,
                &packed.rejected.errors,
                &batch.release,
                &batch.cohort.map(i64::from),
            ],
        )
        .await?;
    if !row.try_get::<_, bool>(0)? {
        return Err(StoreError::Incompatible(
            "the contract changed while the rows were checked; send them again".to_owned(),
        )
        .into());
    }
    if row.try_get(1)? {
        session.commit().await?;
        return Ok(Accepted::New);
    }
    known(&session, batch).await
}

/// Finds the batch that was accepted before with the same key, or by the same call: its answer may
/// have been lost.
async fn known(session: &Session<'_>, batch: &NewBatch) -> Result<Accepted, Fault> {
    let contract = &batch.contract.contract;
    let row = session
        .query_one(
            "select id, fingerprint from dp_batch
         where id = $5 or tenant = $1 and product = $2 and dataset = $3 and idem_key = $4
         order by id = $5 desc limit 1",
            &[
                &batch.tenant,
                &contract.name,
                &contract.datasets[batch.dataset].name,
                &batch.idempotency_key,
                &batch.id,
            ],
        )
        .await?;
    Ok(match row.try_get(0)? {
        id if id == batch.id => Accepted::New,
        id if row.try_get::<_, &[u8]>(1)? == batch.fingerprint => Accepted::Replayed(id),
        _ => Accepted::KeyReused,
    })
}

/// Rejected rows as columns.
pub(super) struct Quarantine {
    lines: Vec<i64>,
    raws: Vec<String>,
    errors: Vec<String>,
}

// === impl Quarantine ===

impl Quarantine {
    pub(super) fn of(rejected: &[RejectedRow]) -> Result<Self, StoreError> {
        let errors = rejected.iter().map(|row| serde_json::to_string(&row.errors));
        Ok(Self {
            lines: rejected.iter().map(|row| i64::from(row.line)).collect(),
            raws: rejected.iter().map(|row| storable(&row.raw).into_owned()).collect(),
            errors: errors.collect::<Result<_, _>>()?,
        })
    }

    /// Keeps the rows. Lines of a batch differ: what is there already is the same row, told again.
    pub(super) async fn put(
        &self,
        session: &Session<'_>,
        space: Space<'_>,
        batch: Uuid,
    ) -> Result<(), Fault> {
        session
            .execute(
                "insert into dp_quarantine(tenant, product, batch, line, raw, errors)
                 select $1, $2, $3, * from unnest($4::bigint[], $5::text[], $6::text[])
                 on conflict do nothing",
                &[&space.tenant, &space.product, &batch, &self.lines, &self.raws, &self.errors],
            )
            .await?;
        Ok(())
    }
}
