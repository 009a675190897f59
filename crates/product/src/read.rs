//! From a bound request to a query plan, and from its result to a body.

use crate::contract::GroupPart;
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
    /// Merge buckets into wider ones of this many microseconds.
    pub step_us: Option<i64>,
    /// Order of the result.
    pub order: Order,
    /// Most groups returned.
    pub limit: usize,
}

/// Order of the groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// By bucket, then by dimensions, ascending.
    Group,
    /// The largest of a measure first. Position in [`View::measures`](crate::contract::View).
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
    /// Most rows returned.
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
