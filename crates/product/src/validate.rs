//! Request bodies to checked rows, with a reason for every row that does not pass.
//!
//! Each row goes straight from the body into columns; a row that passes allocates nothing of its
//! own. The order is: types, then transforms, then constraints, then checks.

mod cell;
mod reason;
mod row;

use serde::de::{DeserializeSeed, Deserializer, SeqAccess, Visitor};
use serde_json::value::RawValue;
use tidegate_core::clock::Timestamp;

use crate::contract::Dataset;
use crate::error::BodyError;
use crate::rows::{RejectedRow, RowError, Rows};
use reason::Reason;
use row::RowReader;

/// Most bytes of a rejected row that are kept.
const MAX_RAW_BYTES: usize = 4096;

/// Rough size of a row as JSON, for making room.
const ROW_BYTES: usize = 96;

/// What a body held.
#[derive(Clone, Debug, PartialEq)]
pub struct Parsed {
    /// Rows that passed.
    pub rows: Rows,
    /// Line (or position in an array) of each row that passed, from 1. Empty if every such row `n`,
    /// counted from 0, stood on line `n + 1`; see [`line_of`].
    pub lines: Vec<u32>,
    /// Rows that did not pass, in the order in which they were sent.
    pub rejected: Vec<RejectedRow>,
    /// How many rows were sent: those that passed and those that did not.
    pub total: usize,
}

/// Returns the line on which a row stood, from 1, by the [`lines`](Parsed::lines) of its batch.
pub fn line_of(lines: &[u32], row: usize) -> u32 {
    let contiguous = || u32::try_from(row + 1).unwrap_or(u32::MAX);
    lines.get(row).copied().unwrap_or_else(contiguous)
}

/// Validates one JSON object a line. Blank lines are no rows; a line that is no JSON object is a
/// rejected row and leaves the others alone.
///
/// # Errors
/// There are more rows than the dataset takes at once.
pub fn ndjson(dataset: &Dataset, body: &[u8], now: Timestamp) -> Result<Parsed, BodyError> {
    let mut collector = Collector::new(dataset, body.len(), now);
    if let Ok(text) = std::str::from_utf8(body) {
        for (line, text) in (1..).zip(text.split('\n')) {
            collector.line(line, text)?;
        }
    } else {
        for (line, bytes) in (1..).zip(body.split(|byte| *byte == b'\n')) {
            match std::str::from_utf8(bytes) {
                Ok(text) => collector.line(line, text)?,
                Err(_) => collector.not_utf8(line, bytes)?,
            }
        }
    }
    Ok(collector.finish())
}

/// Validates a JSON array of objects. An element that is no object is a rejected row.
///
/// # Errors
/// The body is not a JSON array, or it has more rows than the dataset takes at once.
pub fn json_array(dataset: &Dataset, body: &[u8], now: Timestamp) -> Result<Parsed, BodyError> {
    let text = std::str::from_utf8(body)
        .map_err(|error| BodyError::NotUtf8 { at: error.valid_up_to() })?;
    let mut array = Array { collector: Collector::new(dataset, body.len(), now), refused: None };
    let mut json = serde_json::Deserializer::from_str(text);
    let end = array.deserialize(&mut json).and_then(|()| json.end());
    if let Some(refused) = array.refused {
        return Err(refused);
    }
    end.map_err(|error| BodyError::Syntax {
        line: error.line(),
        column: error.column(),
        message: reason::without_position(&error),
    })?;
    Ok(array.collector.finish())
}

/// Takes rows one by one.
struct Collector<'d> {
    reader: RowReader<'d>,
    lines: Vec<u32>,
    rejected: Vec<RejectedRow>,
    max: usize,
}

/// Takes the elements of an array.
struct Array<'d> {
    collector: Collector<'d>,
    /// Why the array was left before its end.
    refused: Option<BodyError>,
}

// === impl Collector ===

impl<'d> Collector<'d> {
    fn new(dataset: &'d Dataset, body_bytes: usize, now: Timestamp) -> Self {
        let rows = (body_bytes / ROW_BYTES + 1).min(dataset.max_batch_rows);
        Self {
            reader: RowReader::new(dataset, rows, now),
            lines: Vec::new(),
            rejected: Vec::new(),
            max: dataset.max_batch_rows,
        }
    }

    fn line(&mut self, line: u32, text: &str) -> Result<(), BodyError> {
        let text = text.trim_ascii();
        if text.is_empty() { Ok(()) } else { self.row(line, text) }
    }

    fn row(&mut self, line: u32, text: &str) -> Result<(), BodyError> {
        self.admit()?;
        match self.reader.read(text) {
            Ok(()) => self.accepted(line),
            Err(errors) => self.reject(line, text, errors),
        }
        Ok(())
    }

    fn not_utf8(&mut self, line: u32, bytes: &[u8]) -> Result<(), BodyError> {
        self.admit()?;
        let cut = bytes.get(..MAX_RAW_BYTES).unwrap_or(bytes);
        let error = Reason::syntax("is not UTF-8".to_owned()).at_row();
        self.reject(line, &String::from_utf8_lossy(cut), vec![error]);
        Ok(())
    }

    fn admit(&self) -> Result<(), BodyError> {
        let total = self.reader.rows().len() + self.rejected.len();
        if total < self.max { Ok(()) } else { Err(BodyError::TooManyRows { max: self.max }) }
    }

    fn accepted(&mut self, line: u32) {
        let row = self.reader.rows().len() - 1;
        if self.lines.is_empty() {
            if line_of(&[], row) == line {
                return;
            }
            self.lines.extend((0..row).map(|row| line_of(&[], row)));
        }
        self.lines.push(line);
    }

    fn reject(&mut self, line: u32, raw: &str, errors: Vec<RowError>) {
        let end = raw.floor_char_boundary(MAX_RAW_BYTES);
        let raw = raw.get(..end).unwrap_or("").to_owned();
        self.rejected.push(RejectedRow { line, raw, errors });
    }

    fn finish(self) -> Parsed {
        let rows = self.reader.finish();
        let total = rows.len() + self.rejected.len();
        Parsed { rows, lines: self.lines, rejected: self.rejected, total }
    }
}

// === impl Array ===

impl<'de> DeserializeSeed<'de> for &mut Array<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for &mut Array<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an array of rows")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        for position in 1.. {
            let Some(element) = elements.next_element::<&RawValue>()? else { break };
            if let Err(refused) = self.collector.row(position, element.get()) {
                let error = serde::de::Error::custom(&refused);
                self.refused = Some(refused);
                return Err(error);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
