//! Jobs and batches as clients see them.

use serde_json::Value;
use tidegate_core::clock::Timestamp;
use tidegate_core::job::{INGEST, Lane};
use tidegate_product::rows::RejectedRow;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::postgres::fault::Fault;
use crate::postgres::pool::Session;
use crate::postgres::row;
use crate::transform::space::Space;
use crate::{Counts, JobFilter, JobStatus, MAX_LISTED};

/// Most reasons in a job's document; all of them are in the quarantine.
const MAX_REASONS: i64 = 100;

/// Columns of a batch, for `select`.
const BATCH: &str = "id, product, dataset, state, rows_sent, rows_new, rows_duplicate, rows_late,
  rows_rejected, received_at, finished_at, applied_seq, error, attempts";

/// Columns of another job, for `select`.
const JOB: &str = "id, product, kind, state, lane, attempts, run_at, progress, result, enqueued_at,
  finished_at, error";

/// Returns a job of a tenant.
pub(super) async fn job(
    session: &Session<'_>,
    incarnation: &str,
    tenant: &str,
    id: Uuid,
) -> Result<Option<JobStatus>, Fault> {
    let one =
        |table, columns| format!("select {columns} from {table} where id = $1 and tenant = $2");
    if let Some(found) = session.query_opt(&one("dp_batch", BATCH), &[&id, &tenant]).await? {
        let mut status = batch(&found, incarnation, tenant)?;
        if status.counts.rejected > 0 {
            status.rejected = reasons(session, tenant, &status.product, id).await?;
        }
        return Ok(Some(status));
    }
    let found = session.query_opt(&one("dp_job", JOB), &[&id, &tenant]).await?;
    found.map(|found| other(&found)).transpose()
}

/// Lists jobs, newest first. Reasons of rejected rows are left out.
pub(super) async fn list(
    session: &Session<'_>,
    incarnation: &str,
    filter: &JobFilter,
) -> Result<Vec<JobStatus>, Fault> {
    let limit = filter.limit.min(MAX_LISTED);
    let mut listed = Vec::new();
    if filter.kind.as_deref().is_none_or(|kind| kind == INGEST) {
        let text = listing("dp_batch", BATCH, "$5 in ('', 'ingest')");
        for found in page(session, &text, filter).await? {
            listed.push(batch(&found, incarnation, &filter.tenant)?);
        }
    }
    if filter.kind.as_deref() != Some(INGEST) {
        let text = listing("dp_job", JOB, "$5 in ('', kind)");
        for found in page(session, &text, filter).await? {
            listed.push(other(&found)?);
        }
    }
    listed.sort_unstable_by_key(|job| std::cmp::Reverse(job.id));
    listed.truncate(limit);
    Ok(listed)
}

fn listing(table: &str, columns: &str, of_kind: &str) -> String {
    format!(
        "select {columns} from {table}
         where tenant = $1 and product = $2 and id < $3 and $4 in ('', state) and {of_kind}
         order by id desc limit $6"
    )
}

async fn page(session: &Session<'_>, text: &str, filter: &JobFilter) -> Result<Vec<Row>, Fault> {
    session
        .query(
            text,
            &[
                &filter.tenant,
                &filter.product,
                &filter.before.unwrap_or(Uuid::max()),
                &filter.state.map_or("", |state| state.as_str()),
                &filter.kind.as_deref().unwrap_or(""),
                &(filter.limit.min(MAX_LISTED) as i64),
            ],
        )
        .await
}

fn batch(found: &Row, incarnation: &str, tenant: &str) -> Result<JobStatus, Fault> {
    let product: String = found.try_get(1)?;
    let space = Space { tenant, product: &product };
    let seq = found.try_get::<_, Option<i64>>(11)?.map(|seq| space.at(incarnation, seq));
    Ok(JobStatus {
        id: found.try_get(0)?,
        kind: INGEST.to_owned(),
        dataset: found.try_get(2)?,
        lane: Lane::Default,
        state: row::state(found, 3)?,
        attempts: row::small(found, 13)?,
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
        received_at: Timestamp(found.try_get(9)?),
        finished_at: row::at(found, 10)?,
        seq,
        error: found.try_get(12)?,
        product,
    })
}

fn other(found: &Row) -> Result<JobStatus, Fault> {
    Ok(JobStatus {
        id: found.try_get(0)?,
        product: found.try_get(1)?,
        kind: found.try_get(2)?,
        dataset: None,
        state: row::state(found, 3)?,
        lane: row::lane(found, 4)?,
        attempts: row::small(found, 5)?,
        run_at: row::at(found, 6)?,
        progress: row::json(found, 7)?,
        result: row::json::<Value>(found, 8)?,
        rows: 0,
        counts: Counts::default(),
        rejected: Vec::new(),
        received_at: Timestamp(found.try_get(9)?),
        finished_at: row::at(found, 10)?,
        seq: None,
        error: found.try_get(11)?,
    })
}

async fn reasons(
    session: &Session<'_>,
    tenant: &str,
    product: &str,
    batch: Uuid,
) -> Result<Vec<RejectedRow>, Fault> {
    let select = "select line, raw, errors from dp_quarantine
         where tenant = $1 and product = $2 and batch = $3 order by line limit $4";
    let rows = session.query(select, &[&tenant, &product, &batch, &MAX_REASONS]).await?;
    let rejected = |found: &Row| {
        Ok(RejectedRow {
            line: row::small(found, 0)?,
            raw: found.try_get(1)?,
            errors: serde_json::from_str(found.try_get(2)?)?,
        })
    };
    rows.iter().map(rejected).collect()
}
