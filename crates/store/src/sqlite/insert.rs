//! Base rows: which of a batch's rows are new.

use std::fmt::Write as _;

use rusqlite::{CachedStatement, Connection, OptionalExtension as _};
use tidegate_product::contract::{Contract, Dataset};
use tidegate_product::validate::line_of;

use crate::StoreError;
use crate::sqlite::bind::CellParam;
use crate::transform::names::{dataset_table, key_columns, quoted};
use crate::transform::outcome::{Outcome, key_conflict};
use crate::transform::work::Work;

/// Parameters that are the same for all rows of a batch: tenant and batch.
const FIXED: usize = 2;

/// Inserts a batch's rows in the order of their keys; the database says which are new.
pub(super) fn insert_rows(sql: &Connection, work: &Work) -> Result<Outcome, StoreError> {
    let contract = &work.claim.contract.contract;
    let (dataset, rows) = (work.dataset(), &work.claim.rows);
    let mut insert = insert_statement(sql, contract, dataset)?;
    insert.raw_bind_parameter(1, work.claim.tenant.as_str())?;
    insert.raw_bind_parameter(2, work.claim.id.as_bytes())?;
    let mut stored = stored_hash_statement(sql, contract, dataset)?;
    let mut outcome = Outcome { new: Vec::with_capacity(rows.len()), ..Outcome::default() };
    for &(position, hash) in &work.prepared.rows {
        let row = position as usize;
        for column in 0..dataset.columns.len() {
            insert.raw_bind_parameter(FIXED + 1 + column, CellParam(rows.cell(row, column)))?;
        }
        insert.raw_bind_parameter(FIXED + 1 + dataset.columns.len(), hash)?;
        // One row was changed, or the key was taken.
        if insert.raw_execute()? == 1 {
            outcome.new.push(position);
        } else if stored_hash(&mut stored, work, row)? == Some(hash) {
            outcome.duplicate += 1;
        } else {
            let line = line_of(&work.claim.lines, row);
            outcome.conflicts.push(key_conflict(dataset, rows, row, line));
        }
    }
    settle_time(sql, work, &mut outcome)?;
    Ok(outcome)
}

fn insert_statement<'a>(
    sql: &'a Connection,
    contract: &Contract,
    dataset: &Dataset,
) -> Result<CachedStatement<'a>, StoreError> {
    let mut text =
        format!("insert into {}(_tenant, _batch", quoted(&dataset_table(&contract.name, dataset)));
    for column in &dataset.columns {
        text.push_str(", ");
        text.push_str(&quoted(&column.name));
    }
    text.push_str(", _hash) values(?1");
    for parameter in 2..=dataset.columns.len() + FIXED + 1 {
        // Writing to a string does not fail.
        write!(text, ", ?{parameter}").ok();
    }
    text.push_str(") on conflict do nothing");
    Ok(sql.prepare_cached(&text)?)
}

fn stored_hash_statement<'a>(
    sql: &'a Connection,
    contract: &Contract,
    dataset: &Dataset,
) -> Result<CachedStatement<'a>, StoreError> {
    let mut text = format!(
        "select _hash from {} where _tenant = ?1",
        quoted(&dataset_table(&contract.name, dataset))
    );
    for (position, column) in key_columns(dataset).iter().enumerate() {
        write!(text, " and {column} = ?{}", position + 2).ok();
    }
    Ok(sql.prepare_cached(&text)?)
}

fn stored_hash(
    statement: &mut CachedStatement<'_>,
    work: &Work,
    row: usize,
) -> Result<Option<i64>, StoreError> {
    let dataset = work.dataset();
    statement.raw_bind_parameter(1, work.claim.tenant.as_str())?;
    for (position, cell) in work.claim.rows.key(dataset, row).enumerate() {
        statement.raw_bind_parameter(position + 2, CellParam(cell))?;
    }
    let mut found = statement.raw_query();
    Ok(found.next()?.map(|row| row.get(0)).transpose()?)
}

/// Moves the dataset's watermark and counts late rows against it.
fn settle_time(sql: &Connection, work: &Work, outcome: &mut Outcome) -> Result<(), StoreError> {
    let (space, dataset) = (work.space(), work.dataset());
    let before: Option<i64> = sql
        .prepare_cached(
            "select time from dp_watermark where tenant = ?1 and product = ?2 and dataset = ?3",
        )?
        .query_row((space.tenant, space.product, &dataset.name), |row| row.get(0))
        .optional()?;
    outcome.settle_time(dataset, &work.claim.rows, before);
    if let Some(watermark) = outcome.watermark
        && before != Some(watermark)
    {
        sql.prepare_cached(
            "insert into dp_watermark values(?1, ?2, ?3, ?4)
             on conflict do update set time = excluded.time",
        )?
        .execute((space.tenant, space.product, &dataset.name, watermark))?;
    }
    Ok(())
}
