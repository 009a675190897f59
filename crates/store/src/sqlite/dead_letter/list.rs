//! Which letters fit a filter, and how they are shown.

use rusqlite::types::Value as Parameter;
use rusqlite::{Connection, Row, params_from_iter};
use tidegate_core::clock::Timestamp;
use uuid::Uuid;

use crate::sqlite::row;
use crate::transform::redact;
use crate::{DeadFilter, DeadLetter, DeadState, MAX_LETTERS, StoreError};

/// Returns the conditions of a filter; their values are those of [`parameters`].
///
/// The state stands in the text: only then the index over open letters is used.
fn conditions(filter: &DeadFilter) -> String {
    format!(
        "state = '{}' and no > ?1
         and (?2 is null or product = ?2) and (?3 is null or tenant = ?3)
         and (?4 is null or kind = ?4) and (?5 is null or code = ?5)
         and (?6 is null or died_at < ?6) and (?7 is null or died_at >= ?7)
         and (?8 is null or no in (select value from json_each(?8)))",
        filter.state.as_str()
    )
}

/// Returns what [`conditions`] name, and the limit as the ninth.
fn parameters(filter: &DeadFilter, limit: i64) -> [Parameter; 9] {
    let numbers = (!filter.numbers.is_empty()).then(|| format!("{:?}", filter.numbers));
    [
        filter.after.unwrap_or(0).into(),
        filter.product.clone().into(),
        filter.tenant.clone().into(),
        filter.kind.clone().into(),
        filter.code.clone().into(),
        filter.older_than.map(|at| at.0).into(),
        filter.newer_than.map(|at| at.0).into(),
        numbers.into(),
        limit.into(),
    ]
}

/// Reads the letters that fit a filter, each with `read`.
pub(super) fn select<T>(
    sql: &Connection,
    filter: &DeadFilter,
    columns: &str,
    mut read: impl FnMut(&Row<'_>) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    let conditions = conditions(filter);
    let mut select = sql.prepare_cached(&format!(
        "select {columns} from dp_dead where {conditions} order by no limit ?9"
    ))?;
    let limit = filter.limit.min(MAX_LETTERS) as i64;
    let mut rows = select.query(params_from_iter(parameters(filter, limit)))?;
    let mut letters = Vec::new();
    while let Some(row) = rows.next()? {
        letters.push(read(row)?);
    }
    Ok(letters)
}

/// Returns the numbers of letters.
pub(super) fn numbers(sql: &Connection, filter: &DeadFilter) -> Result<Vec<i64>, StoreError> {
    select(sql, filter, "no", |row| Ok(row.get(0)?))
}

/// Counts letters.
pub(super) fn count(sql: &Connection, filter: &DeadFilter) -> Result<u64, StoreError> {
    let conditions = conditions(filter);
    // A limit on the one row of a count does nothing.
    let text = format!("select count(*) from dp_dead where {conditions} limit ?9");
    let mut select = sql.prepare_cached(&text)?;
    let count: i64 = select.query_row(params_from_iter(parameters(filter, 1)), |row| row.get(0))?;
    Ok(count.unsigned_abs())
}

/// Lists letters as people see them.
pub(super) fn list(sql: &Connection, filter: &DeadFilter) -> Result<Vec<DeadLetter>, StoreError> {
    let columns = "no, job, generation, kind, lane, tenant, product, release, reason, code,
      error_chain, attempts, headers, raw, died_at, decided_at, decided_by";
    select(sql, filter, columns, |row| letter(sql, filter.state, row))
}

fn letter(sql: &Connection, state: DeadState, found: &Row<'_>) -> Result<DeadLetter, StoreError> {
    let job = found.get::<_, Option<[u8; 16]>>(1)?.map(Uuid::from_bytes);
    let raw = found.get_ref(13)?.as_blob().map_err(rusqlite::Error::from)?;
    let kept = job.map(|job| row::kept_body(sql, job)).transpose()?.flatten();
    let lane = found.get_ref(4)?.as_str_or_null().map_err(rusqlite::Error::from)?;
    Ok(DeadLetter {
        no: found.get(0)?,
        job,
        generation: found.get(2)?,
        kind: found.get(3)?,
        lane: lane.and_then(|lane| lane.parse().ok()),
        tenant: found.get(5)?,
        product: found.get(6)?,
        release: found.get(7)?,
        reason: found.get(8)?,
        code: found.get(9)?,
        error_chain: row::json(found, 10)?.unwrap_or_default(),
        attempts: found.get(11)?,
        headers: redact::shown(row::json(found, 12)?.unwrap_or_default()),
        payload: redact::payload(raw, kept.as_deref()),
        died_at: Timestamp(found.get(14)?),
        state,
        decided_at: row::at(found, 15)?,
        decided_by: found.get(16)?,
    })
}
