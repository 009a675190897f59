//! Contracts as rows.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _};
use tidegate_core::clock::Timestamp;
use tidegate_product::contract::Contract;

use crate::sqlite::fit;
use crate::transform::compiled::{self, Compiled};
use crate::{StoreError, StoredContract};

/// Returns the newest contract of every product.
pub(super) fn newest(
    sql: &Connection,
    compiled: &Compiled,
) -> Result<Vec<Arc<StoredContract>>, StoreError> {
    let mut select = sql.prepare_cached(
        "select product, max(version) from dp_contract group by product order by product",
    )?;
    let mut rows = select.query(())?;
    let mut newest = Vec::new();
    while let Some(row) = rows.next()? {
        let product = row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?;
        newest.push(get(sql, compiled, product, row.get(1)?)?);
    }
    Ok(newest)
}

/// Returns one contract.
pub(super) fn get(
    sql: &Connection,
    compiled: &Compiled,
    product: &str,
    version: i64,
) -> Result<Arc<StoredContract>, StoreError> {
    if let Some(known) = compiled.known(product, version) {
        return Ok(known);
    }
    let (source, hash): (String, String) = sql
        .prepare_cached("select source, hash from dp_contract where product = ?1 and version = ?2")?
        .query_row((product, version), |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?
        .ok_or_else(|| compiled::absent(product, version))?;
    compiled.compile(product, version, &source, &hash)
}

/// Registers a contract unless it is the newest already; returns its number.
pub(super) fn register(
    sql: &Connection,
    contract: &Contract,
    now: Timestamp,
) -> Result<i64, StoreError> {
    let newest: Option<(i64, String)> = sql
        .prepare_cached(
            "select version, hash from dp_contract where product = ?1
             order by version desc limit 1",
        )?
        .query_row((&contract.name,), |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let version = match newest {
        Some((version, hash)) if hash == contract.hash => return Ok(version),
        Some((version, _)) => version + 1,
        None => 1,
    };
    fit::fit(sql, contract, version)?;
    sql.prepare_cached("insert into dp_contract values(?1, ?2, ?3, ?4, ?5)")?.execute((
        &contract.name,
        version,
        &contract.hash,
        &contract.source,
        now.0,
    ))?;
    Ok(version)
}
