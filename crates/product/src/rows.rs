//! Validated rows in columns: compact, cheap to fold, cheap to keep.

mod codec;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::contract::{ColumnKind, Dataset};

/// Part of every column's seed. Another number would make every stored row look changed.
const HASH_VERSION: u64 = 1;

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
    /// Returns no rows, ready to take those of a dataset.
    pub fn of(dataset: &Dataset) -> Self {
        let columns = dataset.columns.iter().map(|column| Cells::of(column.kind)).collect();
        Self { columns, len: 0 }
    }

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

    /// Returns the cells of one column.
    ///
    /// # Panics
    /// `column` is out of bounds.
    pub fn column(&self, column: usize) -> &Cells {
        &self.columns[column]
    }

    /// Returns the cells of a row's key, in the key's order.
    pub fn key<'a>(
        &'a self,
        dataset: &'a Dataset,
        row: usize,
    ) -> impl ExactSizeIterator<Item = Cell<'a>> + 'a {
        dataset.key.iter().map(move |column| self.cell(row, *column))
    }

    /// Returns a row's event time in microseconds.
    pub fn time(&self, dataset: &Dataset, row: usize) -> i64 {
        match self.cell(row, dataset.time) {
            Cell::Int(at) => at,
            // Never: an event time is a timestamp and not nullable.
            Cell::Null | Cell::Text(_) | Cell::Float(_) => 0,
        }
    }

    /// Returns a hash of a row's content, stable across releases: a row that is sent again has the
    /// hash it had.
    ///
    /// It is a sum over the cells that are not null, each hashed with its column's name, so that a
    /// nullable column which is added later, or a change of order, leaves it as it is.
    pub fn hash(&self, dataset: &Dataset, row: usize) -> i64 {
        let cells = dataset.columns.iter().zip(&self.columns);
        let sum = cells.fold(0u64, |sum, (column, cells)| {
            sum.wrapping_add(match cells.cell(row) {
                Cell::Null => 0,
                Cell::Text(text) => xxh3_64_with_seed(text.as_bytes(), column.seed),
                Cell::Int(value) => xxh3_64_with_seed(&value.to_le_bytes(), column.seed),
                Cell::Float(value) => {
                    xxh3_64_with_seed(&value.to_bits().to_le_bytes(), column.seed)
                }
            })
        });
        i64::from_ne_bytes(sum.to_ne_bytes())
    }

    /// Makes room for `rows` more rows.
    pub(crate) fn reserve(&mut self, rows: usize) {
        for cells in &mut self.columns {
            cells.reserve(rows);
        }
    }

    /// Adds a text cell to the row that is being built.
    pub(crate) fn push_text(&mut self, column: usize, cell: &str) {
        self.columns[column].push_text(cell);
    }

    /// Adds a number to the row that is being built.
    pub(crate) fn push_int(&mut self, column: usize, cell: i64) {
        self.columns[column].push_int(cell);
    }

    /// Adds a float to the row that is being built.
    pub(crate) fn push_float(&mut self, column: usize, cell: f64) {
        self.columns[column].push_float(cell);
    }

    /// Adds a null to the row that is being built.
    pub(crate) fn push_null(&mut self, column: usize) {
        self.columns[column].push_null();
    }

    /// Adds a row as it is stored, one cell for each column. A cell that is not of its column's
    /// kind, which none is, is taken for null.
    pub fn push_row<'a>(&mut self, cells: impl IntoIterator<Item = Cell<'a>>) {
        for (column, cell) in self.columns.iter_mut().zip(cells) {
            match (&column, cell) {
                (Cells::Text { .. }, Cell::Text(text)) => column.push_text(text),
                (Cells::Int { .. }, Cell::Int(value)) => column.push_int(value),
                (Cells::Float { .. }, Cell::Float(value)) => column.push_float(value),
                _ => column.push_null(),
            }
        }
        self.commit_row();
    }

    /// Takes back the cell of the row that is being built.
    pub(crate) fn pop(&mut self, column: usize) {
        self.columns[column].truncate(self.len);
    }

    /// Keeps the row that was built; every column must have its cell.
    pub(crate) fn commit_row(&mut self) {
        self.len += 1;
    }

    /// Drops the cells of the row that was being built.
    pub(crate) fn roll_back_row(&mut self) {
        for cells in &mut self.columns {
            cells.truncate(self.len);
        }
    }

    /// Drops marks of nulls where a rolled back row held the only one.
    pub(crate) fn normalise(&mut self) {
        for cells in &mut self.columns {
            cells.normalise();
        }
    }
}

// === impl Cells ===

impl Cells {
    fn of(kind: ColumnKind) -> Self {
        match kind {
            ColumnKind::String | ColumnKind::Enum | ColumnKind::Uuid => {
                Self::Text { text: String::new(), ends: Vec::new(), nulls: Vec::new() }
            }
            ColumnKind::Int
            | ColumnKind::Decimal { .. }
            | ColumnKind::Timestamp
            | ColumnKind::Bool => Self::Int { values: Vec::new(), nulls: Vec::new() },
            ColumnKind::Float => Self::Float { values: Vec::new(), nulls: Vec::new() },
        }
    }

    /// Returns one cell.
    pub(crate) fn cell(&self, row: usize) -> Cell<'_> {
        if self.nulls().get(row).copied().unwrap_or(false) {
            return Cell::Null;
        }
        match self {
            Self::Text { text, ends, .. } => {
                let start = row.checked_sub(1).map_or(0, |before| ends[before]) as usize;
                text.get(start..ends[row] as usize).map_or(Cell::Null, Cell::Text)
            }
            Self::Int { values, .. } => Cell::Int(values[row]),
            Self::Float { values, .. } => Cell::Float(values[row]),
        }
    }

    /// Returns which cells are null; empty if none is.
    pub fn nulls(&self) -> &[bool] {
        match self {
            Self::Text { nulls, .. } | Self::Int { nulls, .. } | Self::Float { nulls, .. } => nulls,
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Text { ends, .. } => ends.len(),
            Self::Int { values, .. } => values.len(),
            Self::Float { values, .. } => values.len(),
        }
    }

    fn reserve(&mut self, rows: usize) {
        match self {
            Self::Text { text, ends, .. } => {
                ends.reserve(rows);
                text.reserve(rows.saturating_mul(8));
            }
            Self::Int { values, .. } => values.reserve(rows),
            Self::Float { values, .. } => values.reserve(rows),
        }
    }

    fn push_text(&mut self, cell: &str) {
        let Self::Text { text, ends, nulls } = self else {
            unreachable!("only text cells must be pushed to a text column")
        };
        text.push_str(cell);
        ends.push(u32::try_from(text.len()).expect("a batch must be smaller than 4 GiB"));
        mark(nulls, false);
    }

    fn push_int(&mut self, cell: i64) {
        let Self::Int { values, nulls } = self else {
            unreachable!("only integer cells must be pushed to an integer column")
        };
        values.push(cell);
        mark(nulls, false);
    }

    fn push_float(&mut self, cell: f64) {
        let Self::Float { values, nulls } = self else {
            unreachable!("only float cells must be pushed to a float column")
        };
        values.push(cell);
        mark(nulls, false);
    }

    fn push_null(&mut self) {
        let before = self.len();
        let nulls = match self {
            Self::Text { text, ends, nulls } => {
                ends.push(u32::try_from(text.len()).expect("a batch must be smaller than 4 GiB"));
                nulls
            }
            Self::Int { values, nulls } => {
                values.push(0);
                nulls
            }
            Self::Float { values, nulls } => {
                values.push(0.0);
                nulls
            }
        };
        if nulls.is_empty() {
            nulls.resize(before, false);
        }
        nulls.push(true);
    }

    fn truncate(&mut self, rows: usize) {
        let nulls = match self {
            Self::Text { text, ends, nulls } => {
                ends.truncate(rows);
                text.truncate(ends.last().map_or(0, |end| *end as usize));
                nulls
            }
            Self::Int { values, nulls } => {
                values.truncate(rows);
                nulls
            }
            Self::Float { values, nulls } => {
                values.truncate(rows);
                nulls
            }
        };
        nulls.truncate(rows);
    }

    fn normalise(&mut self) {
        match self {
            Self::Text { nulls, .. } | Self::Int { nulls, .. } | Self::Float { nulls, .. } => {
                if !nulls.contains(&true) {
                    nulls.clear();
                }
            }
        }
    }
}

fn mark(nulls: &mut Vec<bool>, null: bool) {
    if !nulls.is_empty() {
        nulls.push(null);
    }
}

/// Returns the seed of a column's part in a row's hash.
pub(crate) fn column_seed(name: &str) -> u64 {
    xxh3_64(name.as_bytes()).wrapping_add(HASH_VERSION)
}

#[cfg(test)]
mod tests;
