//! Runs a statement and takes its result with the versions of the same snapshot.

use rusqlite::Connection;
use tidegate_product::read::Table;

use crate::sqlite::bind::{bind_values, value};
use crate::sqlite::versions::versions;
use crate::transform::plan::Query;
use crate::transform::space::Space;
use crate::{ReadAnswer, StoreError};

/// Reads what a query finds; the number of rows is bounded by the query's limit.
pub(super) fn read(
    sql: &Connection,
    incarnation: &str,
    space: Space<'_>,
    tags: &[String],
    query: &Query,
) -> Result<ReadAnswer, StoreError> {
    let versions = versions(sql, incarnation, space, tags)?;
    let mut select = sql.prepare_cached(&query.text)?;
    bind_values(&mut select, 1, &query.values)?;
    let mut rows = select.raw_query();
    let mut values = Vec::new();
    while let Some(row) = rows.next()? {
        for column in 0..query.width {
            values.push(value(row, column)?);
        }
    }
    Ok(ReadAnswer { table: Table { width: query.width, values }, versions })
}
