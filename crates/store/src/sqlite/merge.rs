//! Groups of a view: each delta is merged into the group that is stored.

use std::fmt::Write as _;

use rusqlite::{Connection, ffi};
use tidegate_product::contract::{Contract, Stored, View};
use tidegate_product::error::Overflow;
use tidegate_product::fold::{self, Delta};

use crate::StoreError;
use crate::sqlite::bind::bind_values;
use crate::transform::effects::storage_order;
use crate::transform::names::{
    part_column, parts, path_columns, quoted, stored_column, view_table,
};

/// Why batches could not be applied.
#[derive(Debug)]
pub(super) enum Refused {
    /// A sum leaves the range of 64 bits: the batch is at fault.
    Overflow(Overflow),
    /// The database could not do it.
    Store(StoreError),
}

/// Merges deltas in the order given: that of the primary key.
pub(super) fn merge(
    sql: &Connection,
    contract: &Contract,
    view: &View,
    tenant: &str,
    deltas: &[Delta],
    seq: i64,
) -> Result<(), Refused> {
    let mut upsert = sql.prepare_cached(&merge_text(contract, view))?;
    upsert.raw_bind_parameter(1, tenant)?;
    upsert.raw_bind_parameter(2, seq)?;
    for delta in deltas {
        upsert.raw_bind_parameter(3, delta.rows)?;
        let next = bind_values(&mut upsert, 4, &delta.group)?;
        bind_values(&mut upsert, next, &delta.stored)?;
        upsert.raw_execute().map_err(|error| refused(view, delta, error))?;
    }
    Ok(())
}

/// Returns the statement that merges one delta.
fn merge_text(contract: &Contract, view: &View) -> String {
    let stored: Vec<(Stored, String)> =
        view.stored.iter().map(|&stored| (stored, stored_column(contract, view, stored))).collect();
    let mut text =
        format!("insert into {}(_tenant, _ver, _rows", quoted(&view_table(&contract.name, view)));
    let group = parts(view);
    let group = group.iter().map(|&part| part_column(contract, view, part));
    let columns = group.chain(stored.iter().map(|(_, column)| column.clone()));
    let mut width = 3;
    for column in columns {
        width += 1;
        text.push_str(", ");
        text.push_str(&column);
    }
    text.push_str(") values(?1");
    for parameter in 2..=width {
        // Writing to a string does not fail.
        write!(text, ", ?{parameter}").ok();
    }
    let key = path_columns(contract, view, &storage_order(view));
    write!(
        text,
        ") on conflict({key}) do update set _ver = excluded._ver, _rows = _rows + excluded._rows"
    )
    .ok();
    for (stored, column) in &stored {
        let new = format!("excluded.{column}");
        match stored {
            Stored::Count(_) | Stored::Sum(_) => write!(text, ", {column} = {column} + {new}"),
            // The smallest of a value and null is null: a group that had no value takes the new one.
            Stored::Min(_) => {
                write!(text, ", {column} = coalesce(min({column}, {new}), {column}, {new})")
            }
            Stored::Max(_) => {
                write!(text, ", {column} = coalesce(max({column}, {new}), {column}, {new})")
            }
        }
        .ok();
    }
    text
}

/// A sum of integers that overflows becomes a float, which a strict column refuses; one of floats
/// becomes infinite, which the column's check refuses.
fn refused(view: &View, delta: &Delta, error: rusqlite::Error) -> Refused {
    const OVERFLOWS: [i32; 2] = [ffi::SQLITE_CONSTRAINT_DATATYPE, ffi::SQLITE_CONSTRAINT_CHECK];
    match error.sqlite_error() {
        Some(found) if OVERFLOWS.contains(&found.extended_code) => {
            Refused::Overflow(fold::overflow(view, &delta.group))
        }
        _ => error.into(),
    }
}

// === impl Refused ===

impl From<Overflow> for Refused {
    fn from(overflow: Overflow) -> Self {
        Self::Overflow(overflow)
    }
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<rusqlite::Error> for Refused {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}
