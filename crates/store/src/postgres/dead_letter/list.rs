//! Which letters fit a filter, and how they are shown.

use tidegate_core::clock::Timestamp;
use tokio_postgres::Row;

use crate::postgres::fault::Fault;
use crate::postgres::pool::{Param, Session};
use crate::postgres::row;
use crate::transform::redact;
use crate::{DeadFilter, DeadLetter, DeadState, MAX_LETTERS};

/// Returns the conditions of a filter; their values are those of [`query`].
///
/// The state stands in the text: only then the index over open letters is used.
fn conditions(filter: &DeadFilter) -> String {
    format!(
        "state = '{}' and no > $1
         and ($2::text is null or product = $2) and ($3::text is null or tenant = $3)
         and ($4::text is null or kind = $4) and ($5::text is null or code = $5)
         and ($6::bigint is null or died_at < $6) and ($7::bigint is null or died_at >= $7)
         and ($8::bigint[] is null or no = any($8))",
        filter.state.as_str()
    )
}

/// Runs a query about letters that fit; the ninth parameter is the limit.
async fn query(
    session: &Session<'_>,
    filter: &DeadFilter,
    text: &str,
    limit: i64,
) -> Result<Vec<Row>, Fault> {
    let params: [Param<'_>; 9] = [
        &filter.after.unwrap_or(0),
        &filter.product,
        &filter.tenant,
        &filter.kind,
        &filter.code,
        &filter.older_than.map(|at| at.0),
        &filter.newer_than.map(|at| at.0),
        &(!filter.numbers.is_empty()).then_some(&filter.numbers),
        &limit,
    ];
    session.query(text, &params).await
}

/// Reads columns of the letters that fit a filter.
pub(super) async fn select(
    session: &Session<'_>,
    filter: &DeadFilter,
    columns: &str,
) -> Result<Vec<Row>, Fault> {
    let conditions = conditions(filter);
    let text =
        format!("select {columns} from dp_dead where {conditions} order by no limit $9::bigint");
    query(session, filter, &text, filter.limit.min(MAX_LETTERS) as i64).await
}

/// Returns the numbers of letters.
pub(super) async fn numbers(session: &Session<'_>, filter: &DeadFilter) -> Result<Vec<i64>, Fault> {
    let rows = select(session, filter, "no").await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// Counts letters.
pub(super) async fn count(session: &Session<'_>, filter: &DeadFilter) -> Result<u64, Fault> {
    let conditions = conditions(filter);
    // A limit on the one row of a count does nothing.
    let text = format!("select count(*) from dp_dead where {conditions} limit $9::bigint");
    match query(session, filter, &text, 1).await?.first() {
        Some(found) => row::count(found, 0),
        None => Ok(0),
    }
}

/// Lists letters as people see them.
pub(super) async fn list(
    session: &Session<'_>,
    filter: &DeadFilter,
) -> Result<Vec<DeadLetter>, Fault> {
    let columns = "no, job, generation, kind, lane, tenant, product, release, reason, code,
      error_chain, attempts, headers, raw, died_at, decided_at, decided_by,
      (select body from dp_job_body where dp_job_body.job = dp_dead.job)";
    let rows = select(session, filter, columns).await?;
    rows.iter().map(|found| letter(filter.state, found)).collect()
}

fn letter(state: DeadState, found: &Row) -> Result<DeadLetter, Fault> {
    let lane: Option<&str> = found.try_get(4)?;
    Ok(DeadLetter {
        no: found.try_get(0)?,
        job: found.try_get(1)?,
        generation: row::small(found, 2)?,
        kind: found.try_get(3)?,
        lane: lane.and_then(|lane| lane.parse().ok()),
        tenant: found.try_get(5)?,
        product: found.try_get(6)?,
        release: found.try_get(7)?,
        reason: found.try_get(8)?,
        code: found.try_get(9)?,
        error_chain: row::json(found, 10)?.unwrap_or_default(),
        attempts: row::small(found, 11)?,
        headers: redact::shown(row::json(found, 12)?.unwrap_or_default()),
        payload: redact::payload(found.try_get(13)?, found.try_get(17)?),
        died_at: Timestamp(found.try_get(14)?),
        state,
        decided_at: row::at(found, 15)?,
        decided_by: found.try_get(16)?,
    })
}
