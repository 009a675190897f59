//! Contracts as rows.

use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tidegate_core::clock::Timestamp;
use tidegate_product::contract::Contract;

use crate::StoredContract;
use crate::postgres::fault::Fault;
use crate::postgres::fit;
use crate::postgres::pool::{Pool, Session};
use crate::transform::compiled::{self, Compiled};

/// The longest that taking a contract may take: its tables wait for the batches that use them.
const LIMIT: Duration = Duration::from_secs(60);

/// Returns the newest contract of every product.
pub(super) async fn newest(
    session: &Session<'_>,
    compiled: &Compiled,
) -> Result<Vec<Arc<StoredContract>>, Fault> {
    let rows = session
        .query(
            "select product, max(version) from dp_contract group by product order by product",
            &[],
        )
        .await?;
    let mut newest = Vec::with_capacity(rows.len());
    for row in rows {
        newest.push(get(session, compiled, row.try_get(0)?, row.try_get(1)?).await?);
    }
    Ok(newest)
}

/// Returns one contract.
pub(super) async fn get(
    session: &Session<'_>,
    compiled: &Compiled,
    product: &str,
    version: i64,
) -> Result<Arc<StoredContract>, Fault> {
    if let Some(known) = compiled.known(product, version) {
        return Ok(known);
    }
    let row = session
        .query_opt(
            "select source, hash from dp_contract where product = $1 and version = $2",
            &[&product, &version],
        )
        .await?
        .ok_or_else(|| compiled::absent(product, version))?;
    Ok(compiled.compile(product, version, row.try_get(0)?, row.try_get(1)?)?)
}

/// Registers a contract unless it is the newest already; returns its number.
pub(super) async fn register(
    pool: &Pool,
    contract: &Contract,
    now: Timestamp,
) -> Result<i64, Fault> {
    let session = pool.begin(LIMIT).await?;
    // Waits for the batches that are being accepted by the contract before, and lets none in: they
    // would miss what this one brings.
    session.batch(&lock(&contract.name, Sharing::Alone)).await?;
    let newest = session
        .query_opt(
            "select version, hash from dp_contract where product = $1
             order by version desc limit 1",
            &[&contract.name],
        )
        .await?;
    let version = match newest {
        Some(row) if row.try_get::<_, &str>(1)? == contract.hash => return Ok(row.try_get(0)?),
        Some(row) => row.try_get::<_, i64>(0)? + 1,
        None => 1,
    };
    fit::fit(&session, contract, version).await?;
    session
        .execute(
            "insert into dp_contract values($1, $2, $3, $4, $5)",
            &[&contract.name, &version, &contract.hash, &contract.source, &now.0],
        )
        .await?;
    session.commit().await?;
    Ok(version)
}

/// With whom a product's contract is locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sharing {
    /// Those that rely on it.
    Readers,
    /// Nobody: it changes.
    Alone,
}

/// Returns the statement that locks a product's contract until the transaction ends.
pub(super) fn lock(product: &str, sharing: Sharing) -> String {
    let function = match sharing {
        Sharing::Readers => "pg_advisory_xact_lock_shared",
        Sharing::Alone => "pg_advisory_xact_lock",
    };
    format!("select {function}({})", lock_key("contract", product))
}

/// Returns the statement that locks something that has no row until the transaction ends.
pub(super) fn lock_named(what: &str, name: &str) -> String {
    format!("select pg_advisory_xact_lock({})", lock_key(what, name))
}

fn lock_key(what: &str, name: &str) -> i64 {
    let digest = Sha256::digest(format!("tidegate {what} {name}"));
    digest.first_chunk().map_or(0, |bytes| i64::from_be_bytes(*bytes))
}
