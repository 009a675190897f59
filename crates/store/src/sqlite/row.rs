//! Columns of job records as values.

use rusqlite::{Connection, OptionalExtension as _, Row};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tidegate_core::clock::Timestamp;
use tidegate_core::job::{Arm, Job, Lane};
use uuid::Uuid;

use crate::transform::message::Batch;
use crate::{JobState, StoreError};

/// What [`job`] reads, for `select`. A canary's jobs go to stable once it was revoked.
const JOB: &str = "id, kind, schema, lane, attempts, generation, tenant, product, release,
  case when exists(select 1 from dp_canary where dp_canary.release = dp_job.release)
    then 'stable' else arm end,
  cohort, traceparent, enqueued_at, deadline, body";

pub(super) fn text<'a>(row: &'a Row<'_>, column: usize) -> Result<&'a str, StoreError> {
    Ok(row.get_ref(column)?.as_str().map_err(rusqlite::Error::from)?)
}

pub(super) fn id(row: &Row<'_>, column: usize) -> Result<Uuid, StoreError> {
    super::uuid(row.get_ref(column)?.as_blob().map_err(rusqlite::Error::from)?)
}

pub(super) fn at(row: &Row<'_>, column: usize) -> Result<Option<Timestamp>, StoreError> {
    Ok(row.get::<_, Option<i64>>(column)?.map(Timestamp))
}

pub(super) fn count(row: &Row<'_>, column: usize) -> Result<u64, StoreError> {
    Ok(row.get::<_, i64>(column)?.unsigned_abs())
}

pub(super) fn json<T: DeserializeOwned>(
    row: &Row<'_>,
    column: usize,
) -> Result<Option<T>, StoreError> {
    let text = row.get_ref(column)?.as_str_or_null().map_err(rusqlite::Error::from)?;
    Ok(text.map(serde_json::from_str).transpose()?)
}

pub(super) fn lane(row: &Row<'_>, column: usize) -> Result<Lane, StoreError> {
    let name = text(row, column)?;
    name.parse().map_err(|_| unknown("lane", name))
}

pub(super) fn state(row: &Row<'_>, column: usize) -> Result<JobState, StoreError> {
    let name = text(row, column)?;
    JobState::parse(name).ok_or_else(|| unknown("state", name))
}

fn unknown(what: &'static str, name: &str) -> StoreError {
    StoreError::Corrupt { what, reason: format!("'{name}' is not known to this build") }
}

/// Reads a job as its message carries it.
pub(super) fn job(sql: &Connection, no: i64) -> Result<Option<Job>, StoreError> {
    let mut select = sql.prepare_cached(&format!("select {JOB} from dp_job where no = ?1"))?;
    let mut rows = select.query((no,))?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let arm = if text(row, 9)? == Arm::Canary.as_str() { Arm::Canary } else { Arm::Stable };
    Ok(Some(Job {
        id: id(row, 0)?,
        kind: row.get(1)?,
        schema: row.get(2)?,
        lane: lane(row, 3)?,
        attempt: row.get(4)?,
        generation: row.get(5)?,
        tenant: row.get(6)?,
        product: row.get(7)?,
        release: row.get(8)?,
        arm,
        cohort: row.get(10)?,
        traceparent: row.get(11)?,
        enqueued_at: Timestamp(row.get(12)?),
        deadline: at(row, 13)?,
        body: json(row, 14)?.unwrap_or(Value::Null),
    }))
}

/// Reads what the job of a batch is made from.
pub(super) fn batch(sql: &Connection, no: i64) -> Result<Batch, StoreError> {
    let mut select = sql.prepare_cached(
        "select id, tenant, product, generation, release, cohort, traceparent
         from dp_batch where no = ?1",
    )?;
    let mut rows = select.query((no,))?;
    let found = rows.next()?.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
    Ok(Batch {
        id: id(found, 0)?,
        tenant: found.get(1)?,
        product: found.get(2)?,
        generation: found.get(3)?,
        release: found.get(4)?,
        cohort: found.get(5)?,
        traceparent: found.get(6)?,
    })
}

/// Reads the body of a job if its message does not carry it.
pub(super) fn kept_body(sql: &Connection, job: Uuid) -> Result<Option<String>, StoreError> {
    Ok(sql
        .prepare_cached(
            "select kept.body from dp_job_body as kept join dp_job on dp_job.no = kept.job
             where dp_job.id = ?1",
        )?
        .query_row((job.as_bytes(),), |row| row.get(0))
        .optional()?)
}

/// Reads the body of a job, wherever it is kept.
pub(super) fn body(sql: &Connection, no: i64) -> Result<Option<String>, StoreError> {
    let body: Option<Option<String>> = sql
        .prepare_cached(
            "select coalesce(body, (select body from dp_job_body where job = no))
             from dp_job where no = ?1",
        )?
        .query_row((no,), |row| row.get(0))
        .optional()?;
    Ok(body.flatten())
}
