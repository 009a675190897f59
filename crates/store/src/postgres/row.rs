//! Columns of job records as values.

use serde::de::DeserializeOwned;
use serde_json::Value;
use tidegate_core::clock::Timestamp;
use tidegate_core::job::{Arm, Job, Lane};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::postgres::fault::Fault;
use crate::postgres::pool::Session;
use crate::transform::message::Batch;
use crate::{JobState, StoreError};

/// What [`job`] reads, for `select` and `returning`. A canary's jobs go to stable once it was
/// revoked.
pub(super) const JOB: &str = "dp_job.id, kind, schema, lane, attempts, generation, tenant, product,
  dp_job.release,
  case when exists(select from dp_canary where dp_canary.release = dp_job.release)
    then 'stable' else arm end,
  cohort, traceparent, enqueued_at, deadline, body";

/// What [`batch`] reads, for `select` and `returning`.
pub(super) const BATCH: &str =
    "dp_batch.id, tenant, product, generation, release, cohort, traceparent";

/// Columns of [`BATCH`].
pub(super) const BATCH_WIDTH: usize = 7;

pub(super) fn at(row: &Row, column: usize) -> Result<Option<Timestamp>, Fault> {
    Ok(row.try_get::<_, Option<i64>>(column)?.map(Timestamp))
}

pub(super) fn count(row: &Row, column: usize) -> Result<u64, Fault> {
    Ok(row.try_get::<_, i64>(column)?.unsigned_abs())
}

/// Reads a number that is small by its nature.
pub(super) fn small(row: &Row, column: usize) -> Result<u32, Fault> {
    Ok(u32::try_from(row.try_get::<_, i64>(column)?).unwrap_or(u32::MAX))
}

fn cohort(row: &Row, column: usize) -> Result<Option<u16>, Fault> {
    let cohort: Option<i64> = row.try_get(column)?;
    Ok(cohort.and_then(|cohort| u16::try_from(cohort).ok()))
}

pub(super) fn json<T: DeserializeOwned>(row: &Row, column: usize) -> Result<Option<T>, Fault> {
    let text: Option<&str> = row.try_get(column)?;
    Ok(text.map(serde_json::from_str).transpose()?)
}

pub(super) fn lane(row: &Row, column: usize) -> Result<Lane, Fault> {
    let name: &str = row.try_get(column)?;
    name.parse().map_err(|_| unknown("lane", name))
}

pub(super) fn state(row: &Row, column: usize) -> Result<JobState, Fault> {
    let name: &str = row.try_get(column)?;
    JobState::parse(name).ok_or_else(|| unknown("state", name))
}

fn unknown(what: &'static str, name: &str) -> Fault {
    StoreError::Corrupt { what, reason: format!("'{name}' is not known to this build") }.into()
}

/// Reads a job as its message carries it.
pub(super) fn job(row: &Row) -> Result<Job, Fault> {
    let is_canary = row.try_get::<_, &str>(9)? == Arm::Canary.as_str();
    Ok(Job {
        id: row.try_get(0)?,
        kind: row.try_get(1)?,
        schema: u16::try_from(row.try_get::<_, i64>(2)?).unwrap_or(u16::MAX),
        lane: lane(row, 3)?,
        attempt: small(row, 4)?,
        generation: small(row, 5)?,
        tenant: row.try_get(6)?,
        product: row.try_get(7)?,
        release: row.try_get(8)?,
        arm: if is_canary { Arm::Canary } else { Arm::Stable },
        cohort: cohort(row, 10)?,
        traceparent: row.try_get(11)?,
        enqueued_at: Timestamp(row.try_get(12)?),
        deadline: at(row, 13)?,
        body: json(row, 14)?.unwrap_or(Value::Null),
    })
}

/// Reads what the job of a batch is made from.
pub(super) fn batch(row: &Row) -> Result<Batch, Fault> {
    Ok(Batch {
        id: row.try_get(0)?,
        tenant: row.try_get(1)?,
        product: row.try_get(2)?,
        generation: small(row, 3)?,
        release: row.try_get(4)?,
        cohort: cohort(row, 5)?,
        traceparent: row.try_get(6)?,
    })
}

/// Finds a job as its message carries it.
pub(super) async fn find_job(session: &Session<'_>, id: Uuid) -> Result<Option<Job>, Fault> {
    let text = format!("select {JOB} from dp_job where id = $1");
    session.query_opt(&text, &[&id]).await?.map(|row| job(&row)).transpose()
}
