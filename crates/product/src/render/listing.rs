//! The listing of a view's groups, for checks and tools.

use super::value::{json_cell, json_exact_text, json_quantity, json_text};
use crate::contract::{ColumnKind, Contract, Stored, View};
use crate::fold::Value;
use crate::measure::{of_kind, quantity};
use crate::read::Table;

/// Writes one JSON object for each group, a line each.
///
/// It has the dimensions by name, `bucket`, `rows`, `stored` with every aggregate as it is kept
/// (decimals as text, digit by digit), and `measures` as readers see them.
pub fn groups_ndjson(contract: &Contract, view: &View, table: &Table) -> Vec<u8> {
    let mut out = Vec::with_capacity(table.rows().len() * 192);
    for row in table.rows() {
        group(&mut out, contract, view, row);
        out.extend_from_slice(b"}\n");
    }
    out
}

fn group(out: &mut Vec<u8>, contract: &Contract, view: &View, row: &[Value]) {
    let dataset = contract.dataset_of(view);
    let width = view.group_width();
    out.push(b'{');
    for (dim, column) in view.group_by.iter().enumerate() {
        let column = &dataset.columns[*column];
        json_text(out, &column.name);
        out.push(b':');
        json_cell(out, column.kind, &row[dim]);
        out.push(b',');
    }
    if view.bucket.is_some() {
        out.extend_from_slice(b"\"bucket\":");
        json_cell(out, ColumnKind::Timestamp, &row[view.group_by.len()]);
        out.push(b',');
    }
    out.extend_from_slice(b"\"rows\":");
    json_cell(out, ColumnKind::Int, &row[width]);
    out.extend_from_slice(b",\"stored\":{");
    for (position, aggregate) in view.stored.iter().enumerate() {
        if position > 0 {
            out.push(b',');
        }
        let column = &dataset.columns[aggregate.column()];
        json_text(out, &format!("{}_{}", aggregate.word(), column.name));
        out.push(b':');
        let value = &row[width + 1 + position];
        match (aggregate, column.kind) {
            (Stored::Count(_), _) => json_cell(out, ColumnKind::Int, value),
            (_, ColumnKind::Decimal { .. }) => json_exact_text(out, of_kind(column.kind, value)),
            (_, kind) => json_cell(out, kind, value),
        }
    }
    out.extend_from_slice(b"},\"measures\":{");
    for (position, measure) in view.measures.iter().enumerate() {
        if position > 0 {
            out.push(b',');
        }
        json_text(out, &measure.name);
        out.push(b':');
        json_quantity(out, quantity(view, dataset, measure, row));
    }
    out.push(b'}');
}
