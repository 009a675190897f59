//! What is known about a batch's rows before the database has seen them.

use std::cmp::Ordering;

use tidegate_product::contract::Dataset;
use tidegate_product::rows::{Cell, Rows};

/// Rows in the order in which they are written, with the hash of each.
///
/// The order is that of keys: rows land on neighbouring pages, and engines that lock rows lock
/// them in one order. Equal keys keep the order of the request: the first one counts.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// Positions of rows, with the hash of the row's content.
    pub(crate) rows: Vec<(u32, i64)>,
}

/// Orders and hashes rows; the costly part of applying that needs no database.
pub(crate) fn prepare(dataset: &Dataset, rows: &Rows) -> Prepared {
    let mut prepared: Vec<(u32, i64)> = (0..rows.len())
        .filter_map(|row| Some((u32::try_from(row).ok()?, rows.hash(dataset, row))))
        .collect();
    prepared.sort_by(|(left, _), (right, _)| {
        compare_keys(dataset, (rows, *left as usize), (rows, *right as usize))
    });
    Prepared { rows: prepared }
}

/// Compares the keys of two rows of one dataset, each a position in its batch.
pub(crate) fn compare_keys(
    dataset: &Dataset,
    (left_rows, left): (&Rows, usize),
    (right_rows, right): (&Rows, usize),
) -> Ordering {
    let keys = left_rows.key(dataset, left).zip(right_rows.key(dataset, right));
    let mut differences = keys.map(|(left, right)| compare(left, right));
    differences.find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
}

/// Compares cells of one column as the databases do: text by its bytes.
fn compare(left: Cell<'_>, right: Cell<'_>) -> Ordering {
    match (left, right) {
        (Cell::Text(left), Cell::Text(right)) => left.as_bytes().cmp(right.as_bytes()),
        (Cell::Int(left), Cell::Int(right)) => left.cmp(&right),
        (Cell::Float(left), Cell::Float(right)) => left.total_cmp(&right),
        // Cells of one column differ in kind only by being null.
        (left, right) => (left != Cell::Null).cmp(&(right != Cell::Null)),
    }
}
