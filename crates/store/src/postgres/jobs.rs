//! What a client sees of a batch, and what monitoring sees of all.

use tidegate_core::clock::Timestamp;
use tidegate_core::job::INGEST;
use tidegate_product::rows::RejectedRow;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::postgres::fault::Fault;
use crate::postgres::pool::Session;
use crate::transform::space::Space;
use crate::{Backlog, Counts, JobState, JobStatus};

/// Most reasons in a job's document; all of them are in the quarantine.
const MAX_REASONS: i64 = 100;

/// Returns the job of a tenant's batch.
pub(super) async fn job(
    session: &Session<'_>,
    incarnation: &str,
    tenant: &str,
    id: Uuid,
) -> Result<Option<JobStatus>, Fault> {
    let select = "select product, dataset, state, rows_sent, rows_new, rows_duplicate, rows_late,
           rows_rejected, received_at, finished_at, applied_seq, error
         from dp_batch where id = $1 and tenant = $2";
    let Some(row) = session.query_opt(select, &[&id, &tenant]).await? else { return Ok(None) };
    let mut status = status(&row, incarnation, tenant, id)?;
    if status.counts.rejected > 0 {
        status.rejected = reasons(session, tenant, &status.product, id).await?;
    }
    Ok(Some(status))
}

fn status(row: &Row, incarnation: &str, tenant: &str, id: Uuid) -> Result<JobStatus, Fault> {
    let count = |column: usize| row.try_get::<_, i64>(column).map(i64::unsigned_abs);
    let product: String = row.try_get(0)?;
    let state = match row.try_get(2)? {
        "accepted" => JobState::Accepted,
        "running" => JobState::Running,
        "applied" => JobState::Applied,
        // The table's check allows no other.
        _ => JobState::Failed,
    };
    let space = Space { tenant, product: &product };
    let seq = row.try_get::<_, Option<i64>>(10)?.map(|seq| space.at(incarnation, seq));
    Ok(JobStatus {
        id,
        kind: INGEST.to_owned(),
        dataset: row.try_get(1)?,
        state,
        rows: count(3)?,
        counts: Counts {
            new: count(4)?,
            duplicate: count(5)?,
            late: count(6)?,
            rejected: count(7)?,
        },
        rejected: Vec::new(),
        received_at: Timestamp(row.try_get(8)?),
        finished_at: row.try_get::<_, Option<i64>>(9)?.map(Timestamp),
        seq,
        error: row.try_get(11)?,
        product,
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
    let rejected = |row: &Row| {
        Ok(RejectedRow {
            line: u32::try_from(row.try_get::<_, i64>(0)?).unwrap_or(0),
            raw: row.try_get(1)?,
            errors: serde_json::from_str(row.try_get(2)?)?,
        })
    };
    rows.iter().map(rejected).collect()
}

/// Counts what waits.
pub(super) async fn backlog(session: &Session<'_>) -> Result<Backlog, Fault> {
    let row = session
        .query_one(
            "select count(*), min(received_at), (select count(*) from dp_outbox)
             from dp_batch where state in ('accepted', 'running')",
            &[],
        )
        .await?;
    Ok(Backlog {
        batches: row.try_get::<_, i64>(0)?.unsigned_abs(),
        oldest: row.try_get::<_, Option<i64>>(1)?.map(Timestamp),
        outbox: row.try_get::<_, i64>(2)?.unsigned_abs(),
    })
}
