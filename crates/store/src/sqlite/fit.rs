//! Makes the tables fit a new contract, or says why they can't.

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension as _};
use tidegate_product::contract::{Contract, Dataset, View};

use crate::StoreError;
use crate::sqlite::tables::{create_dataset, create_index, create_view, sql_type};
use crate::transform::effects::storage_order;
use crate::transform::names::{dataset_table, path_name, quoted, view_table};
use crate::transform::shape::{Shape, kind_name};

/// A table as registered.
struct Known {
    shape: String,
    live: bool,
}

/// Creates and extends tables.
pub(super) fn fit(sql: &Connection, contract: &Contract, version: i64) -> Result<(), StoreError> {
    for dataset in &contract.datasets {
        fit_dataset(sql, &contract.name, dataset, version)?;
    }
    let mut live = BTreeSet::new();
    for view in &contract.views {
        fit_view(sql, contract, view, version)?;
        live.insert(view_table(&contract.name, view));
    }
    retire(sql, &contract.name, &live)
}

fn fit_dataset(
    sql: &Connection,
    product: &str,
    dataset: &Dataset,
    version: i64,
) -> Result<(), StoreError> {
    let table = dataset_table(product, dataset);
    let wanted = Shape::of(dataset);
    let Some(known) = known(sql, product, &table)? else {
        sql.execute_batch(&create_dataset(product, dataset))?;
        return remember(sql, product, &table, &serde_json::to_string(&wanted)?, version);
    };
    let mut shape: Shape = serde_json::from_str(&known.shape)?;
    if let Some(reason) = shape.differs(&wanted, &dataset.name) {
        if !is_empty(sql, product, dataset)? {
            return Err(StoreError::Incompatible(reason));
        }
        sql.execute_batch(&format!("drop table {}", quoted(&table)))?;
        sql.execute_batch(&create_dataset(product, dataset))?;
        return remember(sql, product, &table, &serde_json::to_string(&wanted)?, version);
    }
    let added = dataset.columns.iter().filter(|column| !shape.columns.contains_key(&column.name));
    for column in added.collect::<Vec<_>>() {
        if !column.nullable && !is_empty(sql, product, dataset)? {
            return Err(StoreError::Incompatible(format!(
                "column '{}' of dataset '{}' is new and the rows stored so far have no value for \
                 it; declare it nullable",
                column.name, dataset.name
            )));
        }
        let (name, kind) = (quoted(&column.name), sql_type(column.kind));
        sql.execute_batch(&format!("alter table {} add column {name} {kind}", quoted(&table)))?;
        shape.columns.insert(column.name.clone(), kind_name(column.kind));
    }
    sql.prepare_cached("update dp_table set shape = ?2, live = 1 where name = ?1")?
        .execute((&table, serde_json::to_string(&shape)?))?;
    Ok(())
}

fn fit_view(
    sql: &Connection,
    contract: &Contract,
    view: &View,
    version: i64,
) -> Result<(), StoreError> {
    let table = view_table(&contract.name, view);
    let dataset = contract.dataset_of(view);
    let primary = path_name(&storage_order(view));
    match known(sql, &contract.name, &table)? {
        // Maintained by every batch so far.
        Some(Known { live: true, .. }) => {}
        known => {
            if !is_empty(sql, &contract.name, dataset)? {
                return Err(StoreError::Incompatible(format!(
                    "view '{}' is new or changed, and dataset '{}' has rows that it would miss; \
                     views can be added or changed only before the first row",
                    view.name, dataset.name
                )));
            }
            if known.is_some() {
                sql.execute_batch(&format!("drop table {}", quoted(&table)))?;
            }
            sql.execute_batch(&create_view(contract, view))?;
            remember(sql, &contract.name, &table, &primary, version)?;
            // Rows that were checked by an older contract would not reach this view.
            sql.prepare_cached("update dp_table set since = ?2 where name = ?1")?
                .execute((dataset_table(&contract.name, dataset), version))?;
        }
    }
    for path in view.access_paths.iter().filter(|path| path_name(path) != primary) {
        sql.execute_batch(&create_index(contract, view, path))?;
    }
    Ok(())
}

fn known(sql: &Connection, product: &str, table: &str) -> Result<Option<Known>, StoreError> {
    let row: Option<(String, String, bool)> = sql
        .prepare_cached("select product, shape, live from dp_table where name = ?1")?
        .query_row((table,), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    match row {
        None => Ok(None),
        Some((owner, shape, live)) if owner == product => Ok(Some(Known { shape, live })),
        Some((owner, ..)) => Err(StoreError::Incompatible(format!(
            "table {table} belongs to product '{owner}'; choose another name"
        ))),
    }
}

fn remember(
    sql: &Connection,
    product: &str,
    table: &str,
    shape: &str,
    version: i64,
) -> Result<(), StoreError> {
    sql.prepare_cached(
        "insert into dp_table(name, product, shape, since, live) values(?1, ?2, ?3, ?4, 1)
         on conflict do update set shape = excluded.shape, since = excluded.since, live = 1",
    )?
    .execute((table, product, shape, version))?;
    Ok(())
}

/// Notes which views are no longer maintained: rows from now on pass them by.
fn retire(sql: &Connection, product: &str, live: &BTreeSet<String>) -> Result<(), StoreError> {
    let mut select = sql.prepare_cached(
        "select name from dp_table where product = ?1 and live = 1 and substr(name, 1, 2) = 'v_'",
    )?;
    let names = select.query_map((product,), |row| row.get::<_, String>(0))?;
    let gone = names.filter(|name| name.as_ref().map_or(true, |name| !live.contains(name)));
    for name in gone.collect::<Result<Vec<_>, _>>()? {
        sql.prepare_cached("update dp_table set live = 0 where name = ?1")?.execute((name,))?;
    }
    Ok(())
}

/// Returns whether the dataset has no rows, and none on their way.
fn is_empty(sql: &Connection, product: &str, dataset: &Dataset) -> Result<bool, StoreError> {
    let table = quoted(&dataset_table(product, dataset));
    Ok(sql
        .prepare(&format!(
            "select not exists(select 1 from {table})
               and not exists(select 1 from dp_batch where product = ?1 and dataset = ?2
                              and state in ('accepted', 'running'))"
        ))?
        .query_row((product, &dataset.name), |row| row.get(0))?)
}
