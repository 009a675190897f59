//! Jobs and batches as clients see them.

use rusqlite::{Connection, Row};
use serde_json::Value;
use tidegate_core::clock::Timestamp;
use tidegate_core::job::{INGEST, Lane};
use tidegate_product::rows::RejectedRow;
use uuid::Uuid;

use crate::sqlite::row;
use crate::transform::space::Space;
use crate::{Counts, JobFilter, JobStatus, MAX_LISTED, StoreError};

/// Most reasons in a job's document; all of them are in the quarantine.
const MAX_REASONS: i64 = 100;

/// Columns of a batch, for `select`.
const BATCH: &str = "id, product, dataset, state, rows_sent, rows_new, rows_duplicate, rows_late,
  rows_rejected, received_at, finished_at, applied_seq, error, attempts";

/// Columns of another job, for `select`.
const JOB: &str = "id, product, kind, state, lane, attempts, run_at, progress, result, enqueued_at,
  finished_at, error";

/// Returns a job of a tenant.
pub(super) fn job(
    sql: &Connection,
    incarnation: &str,
    tenant: &str,
    id: Uuid,
) -> Result<Option<JobStatus>, StoreError> {
    let one =
        |table, columns| format!("select {columns} from {table} where id = ?1 and tenant = ?2");
    let mut select = sql.prepare_cached(&one("dp_batch", BATCH))?;
    let mut rows = select.query((id.as_bytes(), tenant))?;
    if let Some(found) = rows.next()? {
        let mut status = batch(found, incarnation, tenant)?;
        status.rejected = reasons(sql, tenant, &status.product, id)?;
        return Ok(Some(status));
    }
    let mut select = sql.prepare_cached(&one("dp_job", JOB))?;
    let mut rows = select.query((id.as_bytes(), tenant))?;
    rows.next()?.map(other).transpose()
}

/// Lists jobs, newest first. Reasons of rejected rows are left out.
pub(super) fn list(
    sql: &Connection,
    incarnation: &str,
    filter: &JobFilter,
) -> Result<Vec<JobStatus>, StoreError> {
    let limit = filter.limit.min(MAX_LISTED);
    let mut listed = Vec::new();
    if filter.kind.as_deref().is_none_or(|kind| kind == INGEST) {
        let text = listing("dp_batch", BATCH, "?5 in ('', 'ingest')");
        let read = |row: &Row<'_>| batch(row, incarnation, &filter.tenant);
        listed.append(&mut page(sql, &text, filter, read)?);
    }
    if filter.kind.as_deref() != Some(INGEST) {
        let text = listing("dp_job", JOB, "?5 in ('', kind)");
        listed.append(&mut page(sql, &text, filter, other)?);
    }
    listed.sort_unstable_by_key(|job| std::cmp::Reverse(job.id));
    listed.truncate(limit);
    Ok(listed)
}

fn listing(table: &str, columns: &str, of_kind: &str) -> String {
    format!(
        "select {columns} from {table}
         where tenant = ?1 and product = ?2 and id < ?3 and ?4 in ('', state) and {of_kind}
         order by id desc limit ?6"
    )
}

fn page(
    sql: &Connection,
    text: &str,
    filter: &JobFilter,
    read: impl Fn(&Row<'_>) -> Result<JobStatus, StoreError>,
) -> Result<Vec<JobStatus>, StoreError> {
    let mut select = sql.prepare_cached(text)?;
    let mut rows = select.query((
        &filter.tenant,
        &filter.product,
        filter.before.unwrap_or(Uuid::max()).as_bytes(),
        filter.state.map_or("", |state| state.as_str()),
        filter.kind.as_deref().unwrap_or(""),
        filter.limit.min(MAX_LISTED) as i64,
    ))?;
    let mut listed = Vec::new();
    while let Some(row) = rows.next()? {
        listed.push(read(row)?);
    }
    Ok(listed)
}

fn batch(found: &Row<'_>, incarnation: &str, tenant: &str) -> Result<JobStatus, StoreError> {
    let product: String = found.get(1)?;
    let space = Space { tenant, product: &product };
    let seq = found.get::<_, Option<i64>>(11)?.map(|seq| space.at(incarnation, seq));
    Ok(JobStatus {
        id: row::id(found, 0)?,
        kind: INGEST.to_owned(),
        dataset: found.get(2)?,
        lane: Lane::Default,
        state: row::state(found, 3)?,
        attempts: found.get(13)?,
        run_at: None,
        progress: None,
        result: None,
        rows: row::count(found, 4)?,
        counts: Counts {
            new: row::count(found, 5)?,
            duplicate: row::count(found, 6)?,
            late: row::count(found, 7)?,
            rejected: row::count(found, 8)?,
        },
        rejected: Vec::new(),
        received_at: Timestamp(found.get(9)?),
        finished_at: row::at(found, 10)?,
        seq,
        error: found.get(12)?,
        product,
    })
}

fn other(found: &Row<'_>) -> Result<JobStatus, StoreError> {
    Ok(JobStatus {
        id: row::id(found, 0)?,
        product: found.get(1)?,
        kind: found.get(2)?,
        dataset: None,
        state: row::state(found, 3)?,
        lane: row::lane(found, 4)?,
        attempts: found.get(5)?,
        run_at: row::at(found, 6)?,
        progress: row::json(found, 7)?,
        result: row::json::<Value>(found, 8)?,
        rows: 0,
        counts: Counts::default(),
        rejected: Vec::new(),
        received_at: Timestamp(found.get(9)?),
        finished_at: row::at(found, 10)?,
        seq: None,
        error: found.get(11)?,
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
