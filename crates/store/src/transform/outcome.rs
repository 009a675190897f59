//! What became of a batch's rows once the database has said which are new.

use tidegate_core::clock::Timestamp;
use tidegate_product::contract::{ColumnKind, Dataset};
use tidegate_product::rows::{Cell, RejectedRow, RowError, Rows};

use crate::Counts;

/// Most bytes of a quarantined row.
const MAX_RAW_BYTES: usize = 4_096;

/// How the rows of one batch ended.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// Rows that were not there before.
    pub(crate) new: Vec<u32>,
    /// Rows that were there with the same content.
    pub(crate) duplicate: u64,
    /// Rows that were there with another content.
    pub(crate) conflicts: Vec<RejectedRow>,
    /// New rows that came too long after newer ones.
    pub(crate) late: u64,
    /// Newest event time of the dataset, if this batch has brought any row.
    pub(crate) watermark: Option<i64>,
}

// === impl Outcome ===

impl Outcome {
    /// Moves the watermark and counts the rows that are late against it.
    pub(crate) fn settle_time(&mut self, dataset: &Dataset, rows: &Rows, before: Option<i64>) {
        let times = || self.new.iter().map(|&row| rows.time(dataset, row as usize));
        let Some(newest) = times().max() else { return };
        let watermark = before.map_or(newest, |before| before.max(newest));
        if let Some(late_after) = dataset.late_after {
            let oldest = Timestamp(watermark).before(late_after).0;
            self.late = times().filter(|&time| time < oldest).count() as u64;
        }
        self.watermark = Some(watermark);
    }

    /// Returns how many rows ended how, besides those rejected before.
    pub(crate) fn counts(&self) -> Counts {
        Counts {
            new: self.new.len() as u64 - self.late,
            duplicate: self.duplicate,
            late: self.late,
            rejected: self.conflicts.len() as u64,
        }
    }
}

/// Describes a row whose key is taken by a row of another content.
pub(crate) fn key_conflict(dataset: &Dataset, rows: &Rows, row: usize, line: u32) -> RejectedRow {
    let key = |column: &usize| dataset.columns[*column].name.as_str();
    let names: Vec<&str> = dataset.key.iter().map(key).collect();
    RejectedRow {
        line,
        raw: raw(dataset, rows, row),
        errors: vec![RowError {
            pointer: names.first().map(|name| format!("/{name}")).unwrap_or_default(),
            code: "key_conflict".to_owned(),
            message: format!(
                "another row with this {} was taken before; a row can't be changed, so send it \
                 under a new key",
                names.join(", ")
            ),
        }],
    }
}

/// Writes a row as JSON: what was sent is no longer at hand, its cells are.
fn raw(dataset: &Dataset, rows: &Rows, row: usize) -> String {
    let cells = dataset.columns.iter().enumerate().filter_map(|(position, column)| {
        let value = match (rows.cell(row, position), column.kind) {
            (Cell::Null, _) => return None,
            (Cell::Text(text), _) => serde_json::Value::from(text),
            (Cell::Int(value), ColumnKind::Decimal { scale }) => decimal(value, scale).into(),
            (Cell::Int(value), ColumnKind::Timestamp) => Timestamp(value).to_rfc3339().into(),
            (Cell::Int(value), ColumnKind::Bool) => (value != 0).into(),
            (Cell::Int(value), _) => value.into(),
            (Cell::Float(value), _) => value.into(),
        };
        Some((column.name.clone(), value))
    });
    let mut raw = serde_json::Value::Object(cells.collect()).to_string();
    raw.truncate(raw.floor_char_boundary(MAX_RAW_BYTES));
    raw
}

/// Writes a scaled integer with its point.
fn decimal(value: i64, scale: u8) -> String {
    let digits = format!("{:0width$}", value.unsigned_abs(), width = usize::from(scale) + 1);
    let (whole, fraction) = digits.split_at(digits.len() - usize::from(scale));
    let sign = if value < 0 { "-" } else { "" };
    let point = if scale == 0 { "" } else { "." };
    format!("{sign}{whole}{point}{fraction}")
}
