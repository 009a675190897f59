//! Makes the tables fit a new contract, or says why they can't.

use tidegate_product::contract::{Contract, Dataset, View};

use crate::StoreError;
use crate::postgres::fault::Fault;
use crate::postgres::pool::Session;
use crate::postgres::tables::{
    create_dataset, create_index, create_view, dataset_name, sql_type, view_name,
};
use crate::transform::effects::storage_order;
use crate::transform::names::{dataset_table, path_name, quoted, view_table};
use crate::transform::shape::{Shape, kind_name};

/// A table as registered.
struct Known {
    shape: String,
    live: bool,
}

/// Creates and extends tables.
pub(super) async fn fit(
    session: &Session<'_>,
    contract: &Contract,
    version: i64,
) -> Result<(), Fault> {
    for dataset in &contract.datasets {
        fit_dataset(session, &contract.name, dataset, version).await?;
    }
    let mut live = Vec::with_capacity(contract.views.len());
    for view in &contract.views {
        fit_view(session, contract, view, version).await?;
        live.push(view_table(&contract.name, view));
    }
    retire(session, &contract.name, &live).await
}

async fn fit_dataset(
    session: &Session<'_>,
    product: &str,
    dataset: &Dataset,
    version: i64,
) -> Result<(), Fault> {
    let table = dataset_table(product, dataset);
    let wanted = Shape::of(dataset);
    let Some(known) = known(session, product, &table).await? else {
        session.batch(&create_dataset(product, dataset)).await?;
        let shape = serde_json::to_string(&wanted)?;
        return remember(session, product, &table, &shape, version).await;
    };
    let mut shape: Shape = serde_json::from_str(&known.shape)?;
    let name = dataset_name(product, dataset);
    if let Some(reason) = shape.differs(&wanted, &dataset.name) {
        if !is_empty(session, product, dataset).await? {
            return Err(StoreError::Incompatible(reason).into());
        }
        session.batch(&format!("drop table {name}")).await?;
        session.batch(&create_dataset(product, dataset)).await?;
        let shape = serde_json::to_string(&wanted)?;
        return remember(session, product, &table, &shape, version).await;
    }
    let added = dataset.columns.iter().filter(|column| !shape.columns.contains_key(&column.name));
    for column in added.collect::<Vec<_>>() {
        if !column.nullable && !is_empty(session, product, dataset).await? {
            return Err(StoreError::Incompatible(format!(
                "column '{}' of dataset '{}' is new and the rows stored so far have no value for \
                 it; declare it nullable",
                column.name, dataset.name
            ))
            .into());
        }
        let (column_name, kind) = (quoted(&column.name), sql_type(column.kind));
        session.batch(&format!("alter table {name} add column {column_name} {kind}")).await?;
        shape.columns.insert(column.name.clone(), kind_name(column.kind));
    }
    let shape = serde_json::to_string(&shape)?;
    let update = "update dp_table set shape = $2, live = true where name = $1";
    session.execute(update, &[&table, &shape]).await?;
    Ok(())
}

async fn fit_view(
    session: &Session<'_>,
    contract: &Contract,
    view: &View,
    version: i64,
) -> Result<(), Fault> {
    let table = view_table(&contract.name, view);
    let dataset = contract.dataset_of(view);
    let primary = path_name(&storage_order(view));
    match known(session, &contract.name, &table).await? {
        // Maintained by every batch so far.
        Some(Known { live: true, .. }) => {}
        known => {
            if !is_empty(session, &contract.name, dataset).await? {
                return Err(StoreError::Incompatible(format!(
                    "view '{}' is new or changed, and dataset '{}' has rows that it would miss; \
                     views can be added or changed only before the first row",
                    view.name, dataset.name
                ))
                .into());
            }
            if known.is_some() {
                session.batch(&format!("drop table {}", view_name(contract, view))).await?;
            }
            session.batch(&create_view(contract, view)).await?;
            remember(session, &contract.name, &table, &primary, version).await?;
            // Rows that were checked by an older contract would not reach this view.
            let update = "update dp_table set since = $2 where name = $1";
            let dataset = dataset_table(&contract.name, dataset);
            session.execute(update, &[&dataset, &version]).await?;
        }
    }
    for path in view.access_paths.iter().filter(|path| path_name(path) != primary) {
        session.batch(&create_index(contract, view, path)).await?;
    }
    Ok(())
}

async fn known(session: &Session<'_>, product: &str, table: &str) -> Result<Option<Known>, Fault> {
    let select = "select product, shape, live from dp_table where name = $1";
    let Some(row) = session.query_opt(select, &[&table]).await? else { return Ok(None) };
    let owner: &str = row.try_get(0)?;
    if owner != product {
        return Err(StoreError::Incompatible(format!(
            "table {table} belongs to product '{owner}'; choose another name"
        ))
        .into());
    }
    Ok(Some(Known { shape: row.try_get(1)?, live: row.try_get(2)? }))
}

async fn remember(
    session: &Session<'_>,
    product: &str,
    table: &str,
    shape: &str,
    version: i64,
) -> Result<(), Fault> {
    session
        .execute(
            "insert into dp_table(name, product, shape, since, live) values($1, $2, $3, $4, true)
             on conflict(name)
             do update set shape = excluded.shape, since = excluded.since, live = true",
            &[&table, &product, &shape, &version],
        )
        .await?;
    Ok(())
}

/// Notes which views are no longer maintained: rows from now on pass them by.
async fn retire(session: &Session<'_>, product: &str, live: &[String]) -> Result<(), Fault> {
    session
        .execute(
            "update dp_table set live = false
             where product = $1 and live and substr(name, 1, 2) = 'v_' and name <> all($2)",
            &[&product, &live],
        )
        .await?;
    Ok(())
}

/// Returns whether the dataset has no rows, and none on their way.
async fn is_empty(session: &Session<'_>, product: &str, dataset: &Dataset) -> Result<bool, Fault> {
    let text = format!(
        "select not exists(select 1 from {})
           and not exists(select 1 from dp_batch where product = $1 and dataset = $2
                          and state in ('accepted', 'running'))",
        dataset_name(product, dataset)
    );
    Ok(session.query_one(&text, &[&product, &dataset.name]).await?.try_get(0)?)
}
