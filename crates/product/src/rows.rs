//! Validated rows in columns: compact, cheap to fold, cheap to keep.

use serde::{Deserialize, Serialize};

/// Rows of one dataset, column by column.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rows {
    columns: Vec<Cells>,
    len: usize,
}

/// The cells of one column.
#[derive(Clone, Debug, PartialEq)]
pub enum Cells {
    /// Text: all cells end to end, and where each ends.
    Text {
        /// The text of all cells.
        text: String,
        /// End of each cell in `text`.
        ends: Vec<u32>,
        /// Which cells are null; empty if none is.
        nulls: Vec<bool>,
    },
    /// Integers, scaled decimals, microseconds, booleans.
    Int {
        /// One value a row, 0 where null.
        values: Vec<i64>,
        /// Which cells are null; empty if none is.
        nulls: Vec<bool>,
    },
    /// Floats.
    Float {
        /// One value a row, 0 where null.
        values: Vec<f64>,
        /// Which cells are null; empty if none is.
        nulls: Vec<bool>,
    },
}

/// One cell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cell<'a> {
    /// Absent.
    Null,
    /// Of a string, enum or UUID column.
    Text(&'a str),
    /// Of an integer, decimal, timestamp or boolean column.
    Int(i64),
    /// Of a float column.
    Float(f64),
}

/// A row that did not pass, with its reasons.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RejectedRow {
    /// Line or position in the request, from 1.
    pub line: u32,
    /// The row as it was sent, cut at 4 KiB.
    pub raw: String,
    /// Why.
    pub errors: Vec<RowError>,
}

/// One reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowError {
    /// JSON pointer to the field, empty for the row.
    pub pointer: String,
    /// Stable word such as `wrong_type`.
    pub code: String,
    /// What is wrong and what would be right.
    pub message: String,
}

// === impl Rows ===

impl Rows {
    /// Returns the number of rows.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns one cell.
    ///
    /// # Panics
    /// `row` or `column` is out of bounds.
    pub fn cell(&self, row: usize, column: usize) -> Cell<'_> {
        self.columns[column].cell(row)
    }
}

// === impl Cells ===

impl Cells {
    fn cell(&self, row: usize) -> Cell<'_> {
        let is_null = |nulls: &[bool]| nulls.get(row).copied().unwrap_or(false);
        match self {
            Self::Text { text, ends, nulls } => {
                let start = row.checked_sub(1).map_or(0, |before| ends[before]) as usize;
                let cell = text.get(start..ends[row] as usize);
                if is_null(nulls) { Cell::Null } else { cell.map_or(Cell::Null, Cell::Text) }
            }
            Self::Int { values, nulls } => {
                if is_null(nulls) {
                    Cell::Null
                } else {
                    Cell::Int(values[row])
                }
            }
            Self::Float { values, nulls } => {
                if is_null(nulls) {
                    Cell::Null
                } else {
                    Cell::Float(values[row])
                }
            }
        }
    }
}
