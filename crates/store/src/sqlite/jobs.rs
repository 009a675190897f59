//! What a client sees of a batch, and what monitoring sees of all.

use rusqlite::{Connection, OptionalExtension as _, Row};
use tidegate_core::clock::Timestamp;
use tidegate_core::job::INGEST;
use tidegate_product::rows::RejectedRow;
use uuid::Uuid;

use crate::transform::space::Space;
use crate::{Backlog, Counts, JobState, JobStatus, StoreError};

/// Most reasons in a job's document; all of them are in the quarantine.
const MAX_REASONS: i64 = 100;

/// Returns the job of a tenant's batch.
pub(super) fn job(
    sql: &Connection,
    incarnation: &str,
    tenant: &str,
    id: Uuid,
) -> Result<Option<JobStatus>, StoreError> {
    let mut select = sql.prepare_cached(
        "select product, dataset, state, rows_sent, rows_new, rows_duplicate, rows_late,
           rows_rejected, received_at, finished_at, applied_seq, error
         from dp_batch where id = ?1 and tenant = ?2",
    )?;
    let found =
        select.query_row((id.as_bytes(), tenant), |row| status(row, incarnation, tenant, id));
    let Some(mut status) = found.optional()? else { return Ok(None) };
    status.rejected = reasons(sql, tenant, &status.product, id)?;
    Ok(Some(status))
}

fn status(row: &Row<'_>, incarnation: &str, tenant: &str, id: Uuid) -> rusqlite::Result<JobStatus> {
    let count =
        |column: usize| Ok::<u64, rusqlite::Error>(row.get::<_, i64>(column)?.unsigned_abs());
    let product: String = row.get(0)?;
    let state = match row.get_ref(2)?.as_str()? {
        "accepted" => JobState::Accepted,
        "running" => JobState::Running,
        "applied" => JobState::Applied,
        // The table's check allows no other.
        _ => JobState::Failed,
    };
    let space = Space { tenant, product: &product };
    let seq = row.get::<_, Option<i64>>(10)?.map(|seq| space.at(incarnation, seq));
    Ok(JobStatus {
        id,
        kind: INGEST.to_owned(),
        dataset: row.get(1)?,
        state,
        rows: count(3)?,
        counts: Counts {
            new: count(4)?,
            duplicate: count(5)?,
            late: count(6)?,
            rejected: count(7)?,
        },
        rejected: Vec::new(),
        received_at: Timestamp(row.get(8)?),
        finished_at: row.get::<_, Option<i64>>(9)?.map(Timestamp),
        seq,
        error: row.get(11)?,
        product,
    })
}

fn reasons(
    sql: &Connection,
    tenant: &str,
    product: &str,
    batch: Uuid,
) -> Result<Vec<RejectedRow>, StoreError> {
    let mut select = sql.prepare_cached(
        "select line, raw, errors from dp_quarantine
         where tenant = ?1 and product = ?2 and batch = ?3 order by line limit ?4",
    )?;
    let mut rows = select.query((tenant, product, batch.as_bytes(), MAX_REASONS))?;
    let mut rejected = Vec::new();
    while let Some(row) = rows.next()? {
        let errors = row.get_ref(2)?.as_str().map_err(rusqlite::Error::from)?;
        rejected.push(RejectedRow {
            line: row.get(0)?,
            raw: row.get(1)?,
            errors: serde_json::from_str(errors)?,
        });
    }
    Ok(rejected)
}

/// Counts what waits.
pub(super) fn backlog(sql: &Connection) -> Result<Backlog, StoreError> {
    let (batches, oldest): (i64, Option<i64>) = sql
        .prepare_cached(
            "select count(*), min(received_at) from dp_batch
             where state in ('accepted', 'running')",
        )?
        .query_row((), |row| Ok((row.get(0)?, row.get(1)?)))?;
    let outbox: i64 =
        sql.prepare_cached("select count(*) from dp_outbox")?.query_row((), |row| row.get(0))?;
    Ok(Backlog {
        batches: batches.unsigned_abs(),
        oldest: oldest.map(Timestamp),
        outbox: outbox.unsigned_abs(),
    })
}
