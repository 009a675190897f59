//! Versions of a snapshot: what a response's validator is made from.

use rusqlite::{Connection, OptionalExtension as _};
use tidegate_core::clock::Timestamp;

use crate::transform::space::Space;
use crate::{StoreError, Versions};

/// Reads the sequence and the newest version among tags in the snapshot of `sql`.
pub(super) fn versions(
    sql: &Connection,
    incarnation: &str,
    space: Space<'_>,
    tags: &[String],
) -> Result<Versions, StoreError> {
    let known: Option<(i64, i64)> = sql
        .prepare_cached("select seq, applied_at from dp_seq where tenant = ?1 and product = ?2")?
        .query_row((space.tenant, space.product), |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let mut newest = 0;
    let mut select = sql.prepare_cached("select version from dp_tag where tag = ?1")?;
    for tag in tags {
        let version: Option<i64> = select.query_row((tag,), |row| row.get(0)).optional()?;
        newest = newest.max(version.unwrap_or(0));
    }
    Ok(Versions {
        seq: space.at(incarnation, known.map_or(0, |(seq, _)| seq)),
        newest: u64::try_from(newest).unwrap_or(0),
        applied_at: known.map(|(_, applied_at)| Timestamp(applied_at)),
    })
}
