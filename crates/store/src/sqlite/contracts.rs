//! Contracts as rows, and compiled.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension as _};
use tidegate_core::clock::Timestamp;
use tidegate_product::contract::Contract;

use crate::sqlite::fit;
use crate::{StoreError, StoredContract};

/// Contracts that this process has compiled: a few for each product, as each came from a person.
#[derive(Default)]
pub(super) struct Contracts {
    compiled: Mutex<HashMap<(String, i64), Arc<StoredContract>>>,
}

// === impl Contracts ===

impl Contracts {
    /// Returns the newest contract of every product.
    pub(super) fn newest(&self, sql: &Connection) -> Result<Vec<Arc<StoredContract>>, StoreError> {
        let mut select = sql.prepare_cached(
            "select product, max(version) from dp_contract group by product order by product",
        )?;
        let mut rows = select.query(())?;
        let mut newest = Vec::new();
        while let Some(row) = rows.next()? {
            let product = row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?;
            newest.push(self.get(sql, product, row.get(1)?)?);
        }
        Ok(newest)
    }

    /// Returns one contract.
    pub(super) fn get(
        &self,
        sql: &Connection,
        product: &str,
        version: i64,
    ) -> Result<Arc<StoredContract>, StoreError> {
        let name = (product.to_owned(), version);
        if let Some(known) = self.compiled.lock().get(&name) {
            return Ok(Arc::clone(known));
        }
        let contract = Arc::new(StoredContract { version, contract: load(sql, product, version)? });
        self.compiled.lock().insert(name, Arc::clone(&contract));
        Ok(contract)
    }
}

fn load(sql: &Connection, product: &str, version: i64) -> Result<Contract, StoreError> {
    let damaged = |reason: String| StoreError::Corrupt { what: "contract", reason };
    let (source, hash): (String, String) = sql
        .prepare_cached("select source, hash from dp_contract where product = ?1 and version = ?2")?
        .query_row((product, version), |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?
        .ok_or_else(|| damaged(format!("'{product}' has no version {version}")))?;
    let contract = tidegate_product::compile(product, &source).map_err(|problems| {
        let first = problems.first().map_or("", |problem| problem.message.as_str());
        damaged(format!("'{product}' version {version} does not compile: {first}"))
    })?;
    if contract.hash != hash {
        // Tables are named after hashes.
        return Err(damaged(format!(
            "'{product}' version {version} means {} to this build, and meant {hash} to the one \
             that took it",
            contract.hash
        )));
    }
    Ok(contract)
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
