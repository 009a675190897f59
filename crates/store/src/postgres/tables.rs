//! Definitions of the tables that a contract brings.

use std::fmt::Write as _;

use tidegate_product::contract::{ColumnKind, Contract, Dataset, GroupPart, Stored, View};

use crate::transform::effects::storage_order;
use crate::transform::names::{
    dataset_table, fitted, key_columns, part_column, parts, path_columns, path_name, quoted,
    stored_column, view_table,
};

/// Returns the quoted name of a dataset's table.
pub(super) fn dataset_name(product: &str, dataset: &Dataset) -> String {
    quoted(&fitted(&dataset_table(product, dataset)))
}

/// Returns the quoted name of a view's table.
pub(super) fn view_name(contract: &Contract, view: &View) -> String {
    quoted(&fitted(&view_table(&contract.name, view)))
}

/// Returns the type of a column's cells, without the order of texts.
pub(super) fn cell_type(kind: ColumnKind) -> &'static str {
    match kind {
        ColumnKind::String | ColumnKind::Enum | ColumnKind::Uuid => "text",
        ColumnKind::Int | ColumnKind::Decimal { .. } | ColumnKind::Timestamp | ColumnKind::Bool => {
            "bigint"
        }
        ColumnKind::Float => "double precision",
    }
}

/// Returns the type of a column.
pub(super) fn sql_type(kind: ColumnKind) -> &'static str {
    match cell_type(kind) {
        "text" => "text collate \"C\"",
        other => other,
    }
}

/// Returns the type of a stored aggregate's values.
pub(super) fn stored_type(dataset: &Dataset, stored: Stored) -> &'static str {
    match stored {
        Stored::Count(_) => "bigint",
        Stored::Sum(column) | Stored::Min(column) | Stored::Max(column) => {
            cell_type(dataset.columns[column].kind)
        }
    }
}

/// Returns the type of a part of a group's name.
pub(super) fn part_kind(dataset: &Dataset, view: &View, part: GroupPart) -> ColumnKind {
    match part {
        GroupPart::Dim(dim) => dataset.columns[view.group_by[dim]].kind,
        GroupPart::Bucket => ColumnKind::Timestamp,
    }
}

/// Returns the statements that create a dataset's table.
pub(super) fn create_dataset(product: &str, dataset: &Dataset) -> String {
    let table = dataset_name(product, dataset);
    let mut ddl = format!("create table {table}(_tenant text collate \"C\" not null");
    for (position, column) in dataset.columns.iter().enumerate() {
        // Only what identifies a row is required here: whether another column may be null is
        // checked before, and a later contract may change it.
        let required = dataset.key.contains(&position) || position == dataset.time;
        let null = if required { " not null" } else { "" };
        push(&mut ddl, format_args!(", {} {}{null}", quoted(&column.name), sql_type(column.kind)));
    }
    let key = key_columns(dataset).join(", ");
    let time = quoted(&dataset.columns[dataset.time].name);
    let index = quoted(&fitted(&format!("{}_by_time", dataset_table(product, dataset))));
    push(
        &mut ddl,
        format_args!(
            ", _hash bigint not null, _batch uuid not null, primary key(_tenant, {key}));
             create index {index} on {table}(_tenant, {time}, {key});"
        ),
    );
    ddl
}

/// Returns the statement that creates a view's table.
///
/// Room is left on its pages: a group that changes stays on its page, and no index hears of it.
pub(super) fn create_view(contract: &Contract, view: &View) -> String {
    let dataset = contract.dataset_of(view);
    let mut ddl =
        format!("create table {}(_tenant text collate \"C\" not null", view_name(contract, view));
    for part in parts(view) {
        let kind = sql_type(part_kind(dataset, view, part));
        push(&mut ddl, format_args!(", {} {kind} not null", part_column(contract, view, part)));
    }
    ddl.push_str(", _rows bigint not null");
    for &stored in &view.stored {
        let column = stored_column(contract, view, stored);
        let kind = stored_type(dataset, stored);
        // Integers that leave their range are refused anyway; floats become infinite.
        let check = match (stored, kind) {
            (Stored::Sum(_), "double precision") => {
                format!(" check(abs({column}) < 'infinity')")
            }
            _ => String::new(),
        };
        push(&mut ddl, format_args!(", {column} {kind}{check}"));
    }
    let key = path_columns(contract, view, &storage_order(view));
    push(&mut ddl, format_args!(", primary key({key})) with (fillfactor = 80)"));
    ddl
}

/// Returns the statement that creates the index of an access path, unless it exists.
pub(super) fn create_index(contract: &Contract, view: &View, path: &[GroupPart]) -> String {
    let index = format!("{}_by_{}", view_table(&contract.name, view), path_name(path));
    format!(
        "create index if not exists {} on {}({})",
        quoted(&fitted(&index)),
        view_name(contract, view),
        path_columns(contract, view, path)
    )
}

fn push(text: &mut String, part: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    text.write_fmt(part).ok();
}
