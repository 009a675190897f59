//! Reads: what was found and the versions of the same snapshot, by one statement.
//!
//! One statement has one snapshot, and costs one round trip where a transaction costs three.

use tidegate_core::clock::Timestamp;
use tidegate_product::fold::Value;
use tidegate_product::read::Table;
use tokio_postgres::Row;

use crate::postgres::bind::{ValueParam, value};
use crate::postgres::fault::Fault;
use crate::postgres::pool::{Param, Session};
use crate::transform::plan::Query;
use crate::transform::space::Space;
use crate::{ReadAnswer, Versions};

/// Columns of the versions, which stand before those that were asked for, and a mark that a row is
/// one of them.
const VERSIONS: usize = 3;

/// Reads the sequence and the newest version among tags.
pub(super) async fn versions(
    session: &Session<'_>,
    incarnation: &str,
    space: Space<'_>,
    tags: &[String],
) -> Result<Versions, Fault> {
    let row = session
        .query_one(
            "select seq, applied_at, newest
         from (select max(version) as newest from dp_tag where tag = any($3)) as tags
         left join dp_seq on tenant = $1 and product = $2",
            &[&space.tenant, &space.product, &tags],
        )
        .await?;
    versions_of(&row, incarnation, space)
}

/// Reads what a query finds; the number of rows is bounded by the query's limit.
pub(super) async fn read(
    session: &Session<'_>,
    incarnation: &str,
    space: Space<'_>,
    tags: &[String],
    query: &Query,
) -> Result<ReadAnswer, Fault> {
    // The versions are one row, which each row that was found repeats: in the order in which they
    // were found, because there is nothing to join by.
    let (tenant, product, wanted) =
        (query.values.len() + 1, query.values.len() + 2, query.values.len() + 3);
    let text = format!(
        "select seq, applied_at, newest, found.*
         from (select max(version) as newest from dp_tag where tag = any(${wanted})) as tags
         left join dp_seq on tenant = ${tenant} and product = ${product}
         left join lateral (select true, row.* from ({}) as row) as found on true",
        query.text
    );
    let values: Vec<ValueParam<'_>> = query.values.iter().map(ValueParam).collect();
    let mut params: Vec<Param<'_>> = values.iter().map(|value| value as Param<'_>).collect();
    params.extend([&space.tenant as Param<'_>, &space.product, &tags]);
    let rows = session.query(&text, &params).await?;
    let Some(first) = rows.first() else {
        return Err(missing());
    };
    let versions = versions_of(first, incarnation, space)?;
    Ok(ReadAnswer { table: table(&rows, query.width)?, versions })
}

fn missing() -> Fault {
    let reason = "it has no versions".to_owned();
    crate::StoreError::Corrupt { what: "answer", reason }.into()
}

fn versions_of(row: &Row, incarnation: &str, space: Space<'_>) -> Result<Versions, Fault> {
    let newest: Option<i64> = row.try_get(2)?;
    Ok(Versions {
        seq: space.at(incarnation, row.try_get::<_, Option<i64>>(0)?.unwrap_or(0)),
        newest: newest.and_then(|newest| u64::try_from(newest).ok()).unwrap_or(0),
        applied_at: row.try_get::<_, Option<i64>>(1)?.map(Timestamp),
    })
}

fn table(rows: &[Row], width: usize) -> Result<Table, Fault> {
    let mut values: Vec<Value> = Vec::with_capacity(rows.len() * width);
    for row in rows {
        // The versions stand alone if nothing was found.
        if row.try_get::<_, Option<bool>>(VERSIONS)?.is_none() {
            break;
        }
        for column in 0..width {
            values.push(value(row, VERSIONS + 1 + column)?);
        }
    }
    Ok(Table { width, values })
}
