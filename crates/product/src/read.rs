//! From a bound request to a query plan, and from what was found to an answer.

mod cursor;
mod finish;
mod plan;
mod tags;

use std::borrow::Cow;

pub(crate) use cursor::MAX_CURSOR_BYTES;
pub use cursor::{groups_after, groups_cursor};
pub use finish::{Answer, finish};
pub use plan::plan;
pub use tags::tags;

use tidegate_core::param::ParamValue;

use crate::contract::{ColumnKind, GroupPart};
use crate::fold::Value;

/// What to read from the store: everything is resolved and bounded.
#[derive(Clone, Debug, PartialEq)]
pub enum ReadPlan {
    /// Groups of a view.
    Groups(GroupsPlan),
    /// Rows of a dataset.
    Rows(RowsPlan),
}

/// Reads groups of one view.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupsPlan {
    /// Position of the view in the contract.
    pub view: usize,
    /// Group parts that must equal a value.
    pub equals: Vec<(GroupPart, Value)>,
    /// Bucket range in microseconds, start inclusive, end exclusive.
    pub range: Option<(i64, i64)>,
    /// Buckets are merged into wider ones of this many microseconds. [`finish()`] does it: a store
    /// returns the buckets as they are.
    pub step_us: Option<i64>,
    /// Order of the result. [`finish()`] orders too; a store that applies `limit` must order first.
    pub order: Order,
    /// Most groups the store returns. For [`Order::Group`] one more than can be answered with, so
    /// that an answer which would be too long is noticed.
    pub limit: usize,
}

/// Order of the groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// By bucket, then by dimensions, ascending.
    Group,
    /// The largest of a measure first, then as [`Order::Group`]; nulls last. Position in
    /// [`View::measures`](crate::contract::View).
    Top(usize),
}

/// Reads base rows of one dataset in time order.
#[derive(Clone, Debug, PartialEq)]
pub struct RowsPlan {
    /// Position of the dataset in the contract.
    pub dataset: usize,
    /// Columns that must equal a value.
    pub equals: Vec<(usize, Value)>,
    /// Event-time range in microseconds, start inclusive, end exclusive.
    pub range: Option<(i64, i64)>,
    /// Continue after this event time and key.
    pub after: Option<(i64, Vec<Value>)>,
    /// Most rows the store returns: one more than the page, to see whether another page follows.
    pub limit: usize,
}

/// What the store found: rows of values. For groups: dimensions, bucket, number of rows, stored
/// aggregates. For rows: the dataset's columns.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// Values of one result row.
    pub width: usize,
    /// All values, row after row.
    pub values: Vec<Value>,
}

// === impl Table ===

impl Table {
    /// Returns the rows.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[Value]> {
        self.values.chunks_exact(self.width.max(1))
    }
}

/// Returns a value of a column as the text it has in tags: as a parameter would be written.
pub(crate) fn dim_text(kind: ColumnKind, value: &Value) -> Cow<'_, str> {
    match value {
        Value::Null => Cow::Borrowed(""),
        Value::Text(text) => Cow::Borrowed(text),
        Value::Int(number) if kind == ColumnKind::Bool => {
            Cow::Borrowed(if *number == 0 { "false" } else { "true" })
        }
        Value::Int(number) => Cow::Owned(number.to_string()),
        Value::Float(number) => Cow::Owned(number.to_string()),
    }
}

/// Returns a parameter as a value of the column it is compared with: in the form in which
/// validation stores it.
fn column_value(kind: ColumnKind, param: &ParamValue) -> Value {
    match (kind, param) {
        (ColumnKind::Bool, ParamValue::Text(text)) => Value::Int(i64::from(text == "true")),
        (ColumnKind::Uuid, ParamValue::Text(text)) => Value::Text(text.to_ascii_lowercase()),
        (_, ParamValue::Text(text)) => Value::Text(text.clone()),
        (_, ParamValue::Int(number)) => Value::Int(*number),
        (_, ParamValue::Time(at)) => Value::Int(at.0),
    }
}

#[cfg(test)]
mod tests;
