//! Aggregates of a group while rows are folded.

use super::Value;
use crate::contract::{Dataset, Stored};
use crate::rows::{Cells, Rows};

/// What one aggregate has come to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Number {
    /// The smallest or largest of nothing.
    None,
    /// Integer, scaled decimal or microseconds.
    Int(i64),
    /// Float.
    Float(f64),
}

/// How each row adds to one aggregate, with the column's cells at hand.
pub(super) struct Step<'a> {
    stored: Stored,
    cells: &'a Cells,
    nullable: bool,
}

// === impl Number ===

impl Number {
    pub(super) fn of(value: &Value) -> Self {
        match value {
            Value::Int(number) => Self::Int(*number),
            Value::Float(number) => Self::Float(*number),
            Value::Null | Value::Text(_) => Self::None,
        }
    }

    pub(super) fn into_value(self) -> Value {
        match self {
            Self::None => Value::Null,
            Self::Int(number) => Value::Int(number),
            Self::Float(number) => Value::Float(number),
        }
    }

    /// Merges two results of the same aggregate; `None` is an overflow.
    pub(super) fn merge(self, stored: Stored, other: Self) -> Option<Self> {
        let (a, b) = match (self, other) {
            (Self::None, other) => return Some(other),
            (this, Self::None) => return Some(this),
            both => both,
        };
        Some(match (stored, a, b) {
            (Stored::Count(_) | Stored::Sum(_), Self::Int(a), Self::Int(b)) => {
                Self::Int(a.checked_add(b)?)
            }
            (Stored::Min(_), Self::Int(a), Self::Int(b)) => Self::Int(a.min(b)),
            (Stored::Max(_), Self::Int(a), Self::Int(b)) => Self::Int(a.max(b)),
            (Stored::Count(_) | Stored::Sum(_), a, b) => Self::Float(a.float() + b.float()),
            (Stored::Min(_), a, b) => Self::Float(a.float().min(b.float())),
            (Stored::Max(_), a, b) => Self::Float(a.float().max(b.float())),
        })
    }

    #[expect(clippy::cast_precision_loss, reason = "floats are inexact by declaration")]
    fn float(self) -> f64 {
        match self {
            Self::None => 0.0,
            Self::Int(number) => number as f64,
            Self::Float(number) => number,
        }
    }
}

// === impl Step ===

impl<'a> Step<'a> {
    pub(super) fn new(stored: Stored, dataset: &Dataset, rows: &'a Rows) -> Self {
        let column = stored.column();
        Self { stored, cells: rows.column(column), nullable: dataset.columns[column].nullable }
    }

    /// Returns the aggregate of no rows.
    pub(super) fn nothing(&self) -> Number {
        match (self.stored, self.cells) {
            (Stored::Min(_) | Stored::Max(_), _) => Number::None,
            (Stored::Sum(_), Cells::Float { .. }) => Number::Float(0.0),
            (Stored::Count(_) | Stored::Sum(_), _) => Number::Int(0),
        }
    }

    /// Adds one row; `None` is an overflow.
    pub(super) fn add(&self, row: usize, number: &mut Number) -> Option<()> {
        if self.nullable && self.cells.nulls().get(row).copied().unwrap_or(false) {
            return Some(());
        }
        let cell = match (self.stored, self.cells) {
            (Stored::Count(_), _) => Number::Int(1),
            (_, Cells::Int { values, .. }) => Number::Int(values[row]),
            (_, Cells::Float { values, .. }) => Number::Float(values[row]),
            // Never: only numbers are summed and compared.
            (_, Cells::Text { .. }) => Number::None,
        };
        *number = number.merge(self.stored, cell)?;
        Some(())
    }
}
