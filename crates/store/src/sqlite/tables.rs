//! Definitions of the tables that a contract brings.

use std::fmt::Write as _;

use tidegate_product::contract::{ColumnKind, Contract, Dataset, GroupPart, Stored, View};

use crate::transform::effects::storage_order;
use crate::transform::names::{
    dataset_table, key_columns, part_column, parts, path_columns, path_name, quoted, stored_column,
    view_table,
};

/// Returns the type of a column's cells.
pub(super) fn sql_type(kind: ColumnKind) -> &'static str {
    match kind {
        ColumnKind::String | ColumnKind::Enum | ColumnKind::Uuid => "text",
        ColumnKind::Int | ColumnKind::Decimal { .. } | ColumnKind::Timestamp | ColumnKind::Bool => {
            "integer"
        }
        ColumnKind::Float => "real",
    }
}

/// Returns the statements that create a dataset's table.
///
/// Without rowid the row lives in the tree of its key: against a rowid table with a unique index
/// the same insert costs the same, a duplicate one search instead of two, the file a fifth less.
pub(super) fn create_dataset(product: &str, dataset: &Dataset) -> String {
    let name = dataset_table(product, dataset);
    let table = quoted(&name);
    let mut ddl = format!("create table {table}(_tenant text not null");
    for (position, column) in dataset.columns.iter().enumerate() {
        // Only what identifies a row is required here: whether another column may be null is
        // checked before, and a later contract may change it.
        let required = dataset.key.contains(&position) || position == dataset.time;
        let null = if required { " not null" } else { "" };
        push(&mut ddl, format_args!(", {} {}{null}", quoted(&column.name), sql_type(column.kind)));
    }
    let key = key_columns(dataset).join(", ");
    let time = quoted(&dataset.columns[dataset.time].name);
    let index = quoted(&format!("{name}_by_time"));
    push(
        &mut ddl,
        format_args!(
            ", _hash integer not null, _batch blob not null, primary key(_tenant, {key}))
             strict, without rowid;
             create index {index} on {table}(_tenant, {time}, {key});"
        ),
    );
    ddl
}

/// Returns the statement that creates a view's table.
pub(super) fn create_view(contract: &Contract, view: &View) -> String {
    let dataset = &contract.datasets[view.dataset];
    let mut ddl =
        format!("create table {}(_tenant text not null", quoted(&view_table(&contract.name, view)));
    for part in parts(view) {
        let kind = match part {
            GroupPart::Dim(dim) => sql_type(dataset.columns[view.group_by[dim]].kind),
            GroupPart::Bucket => "integer",
        };
        push(&mut ddl, format_args!(", {} {kind} not null", part_column(contract, view, part)));
    }
    ddl.push_str(", _rows integer not null");
    for &stored in &view.stored {
        let column = stored_column(contract, view, stored);
        push(&mut ddl, format_args!(", {column} {}", stored_type(dataset, stored, &column)));
    }
    let key = path_columns(contract, view, &storage_order(view));
    push(
        &mut ddl,
        format_args!(", _ver integer not null, primary key({key})) strict, without rowid"),
    );
    ddl
}

/// Returns the statement that creates the index of an access path, unless it exists.
pub(super) fn create_index(contract: &Contract, view: &View, path: &[GroupPart]) -> String {
    let table = view_table(&contract.name, view);
    format!(
        "create index if not exists {} on {}({})",
        quoted(&format!("{table}_by_{}", path_name(path))),
        quoted(&table),
        path_columns(contract, view, path)
    )
}

fn stored_type(dataset: &Dataset, stored: Stored, column: &str) -> String {
    match (stored, dataset.columns[stored.column()].kind) {
        (Stored::Count(_), _) => "integer not null".to_owned(),
        // Integer sums that overflow become floats, which the strict column refuses. Float sums
        // become infinite, which a column accepts.
        (Stored::Sum(_), ColumnKind::Float) => format!("real check(abs({column}) < 9e999)"),
        (_, kind) => sql_type(kind).to_owned(),
    }
}

fn push(text: &mut String, part: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    text.write_fmt(part).ok();
}
