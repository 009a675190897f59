//! One row: from a JSON object into columns, or back out again.

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use tidegate_core::clock::Timestamp;

use super::cell::{self, Found, Limits, TextVisitor};
use super::reason::{Reason, without_position};
use crate::contract::Dataset;
use crate::expr::Outcome;
use crate::fold::Value;
use crate::names::did_you_mean;
use crate::rows::{Cell, RowError, Rows};
use crate::rule::Rule;

/// Most reasons given for one row.
const MAX_ERRORS: usize = 16;

/// Most unknown fields of a body for which the closest column is looked for: comparing names is
/// slow, and whoever sent the first ones wrong sent all of them wrong.
const MAX_SUGGESTIONS: usize = 100;

/// Longest expression in a message.
const MAX_SHOWN_CHARS: usize = 120;

/// A set of columns, by position. A dataset has at most 128.
type Columns = u128;

/// Reads rows of one dataset.
pub(super) struct RowReader<'d> {
    dataset: &'d Dataset,
    rows: Rows,
    limits: Vec<Limits>,
    /// Event times before this are too late.
    oldest: Option<i64>,
    all: Columns,
    /// Columns that a transform computes: what was sent is judged after it.
    derived: Columns,
    /// Columns that the row being read has named.
    seen: Columns,
    /// The column after the one that was named last: most rows are alike.
    expected: usize,
    errors: Vec<RowError>,
    suggestions: usize,
}

/// What a key names.
enum Key {
    Column(usize),
    Skip,
}

// === impl RowReader ===

impl<'d> RowReader<'d> {
    pub(super) fn new(dataset: &'d Dataset, room: usize, now: Timestamp) -> Self {
        let mut rows = Rows::of(dataset);
        rows.reserve(room);
        let bits = |columns: &mut dyn Iterator<Item = usize>| {
            columns.fold(0, |set, column| set | bit(column))
        };
        Self {
            dataset,
            rows,
            limits: dataset.columns.iter().map(|column| Limits::of(&column.rule, now)).collect(),
            oldest: dataset.retention.map(|retention| now.before(retention).0),
            all: bits(&mut (0..dataset.columns.len())),
            derived: bits(&mut dataset.transforms.iter().map(|(column, _)| *column)),
            seen: 0,
            expected: 0,
            errors: Vec::new(),
            suggestions: 0,
        }
    }

    /// Returns the rows that passed so far.
    pub(super) fn rows(&self) -> &Rows {
        &self.rows
    }

    pub(super) fn finish(mut self) -> Rows {
        self.rows.normalise();
        self.rows
    }

    /// Reads one row and keeps it, or says why not.
    pub(super) fn read(&mut self, text: &str) -> Result<(), Vec<RowError>> {
        self.seen = 0;
        self.expected = 0;
        let mut json = serde_json::Deserializer::from_str(text);
        let read = (&mut *self).deserialize(&mut json).and_then(|()| json.end());
        if let Err(error) = read {
            let cause = without_position(&error);
            let message = format!("is not a JSON object: {cause} (column {})", error.column());
            self.errors = vec![Reason::syntax(message).at_row()];
        } else {
            self.fill_absent();
            if self.errors.is_empty() {
                self.transform();
            }
            if self.errors.is_empty() {
                self.check();
            }
        }
        if self.errors.is_empty() {
            self.rows.commit_row();
            return Ok(());
        }
        self.rows.roll_back_row();
        Err(std::mem::take(&mut self.errors))
    }

    /// Gives every column that was not named its null, or says that it is missing.
    fn fill_absent(&mut self) {
        let mut absent = self.all & !self.seen;
        while absent != 0 {
            let column = absent.trailing_zeros() as usize;
            absent &= absent - 1;
            if self.may_be_null(column) {
                self.rows.push_null(column);
            } else {
                self.error(column, Reason::missing());
            }
        }
    }

    /// Computes the derived columns, all of them from the row as it was sent.
    fn transform(&mut self) {
        let row = self.rows.len();
        let mut changed: Vec<(usize, Value)> = Vec::new();
        let dataset = self.dataset;
        for (column, expr) in &dataset.transforms {
            let outcome = expr.value(&self.rows, row);
            if let Err(reason) = self.judge(*column, &outcome) {
                self.error(*column, reason);
            } else if !cell::is_same(self.rows.cell(row, *column), &outcome) {
                changed.push((*column, cell::into_value(outcome)));
            }
        }
        for (column, value) in changed {
            self.rows.pop(column);
            match value {
                Value::Null => self.rows.push_null(column),
                Value::Text(text) => self.rows.push_text(column, &text),
                Value::Int(number) => self.rows.push_int(column, number),
                Value::Float(number) => self.rows.push_float(column, number),
            }
        }
    }

    fn judge(&self, position: usize, outcome: &Outcome<'_>) -> Result<(), Reason> {
        let column = &self.dataset.columns[position];
        match outcome {
            Outcome::Null if column.nullable => Ok(()),
            Outcome::Null if self.seen & bit(position) == 0 => Err(Reason::missing()),
            Outcome::Null => Err(Reason::null()),
            Outcome::Text(text) => cell::check_text(&column.rule, text),
            Outcome::Int(number) => match i64::try_from(*number) {
                Ok(number) => cell::check_int(column, &self.limits[position], number),
                Err(_) => Err(Reason::new("out_of_range", "does not fit into 64 bits")),
            },
            Outcome::Float(number) => cell::check_float(&column.rule, *number),
            Outcome::Bool(_) => Ok(()),
        }
    }

    /// Looks at what concerns the whole row.
    fn check(&mut self) {
        let row = self.rows.len();
        let dataset = self.dataset;
        if let (Some(oldest), Cell::Int(at)) = (self.oldest, self.rows.cell(row, dataset.time))
            && at < oldest
        {
            let limit = Timestamp(oldest).to_rfc3339();
            let message = format!("is before {limit}, where the dataset's retention ends");
            self.error(dataset.time, Reason::new("too_late", message));
        }
        for check in &dataset.checks {
            if !check.expr.is_true(&self.rows, row) {
                let shown: String = check.expr.canonical.chars().take(MAX_SHOWN_CHARS).collect();
                let message = format!("check '{}' failed: {shown}", check.name);
                self.push_error(Reason::new("check_failed", message).at_row());
            }
        }
    }

    fn key(&mut self, name: &str) -> Key {
        let columns = &self.dataset.columns;
        let guess = columns.get(self.expected).is_some_and(|column| column.name == name);
        let position = if guess { Some(self.expected) } else { self.dataset.column(name) };
        let Some(position) = position else {
            self.unknown(name);
            return Key::Skip;
        };
        self.expected = position + 1;
        if self.seen & bit(position) != 0 {
            self.error(position, Reason::new("duplicate_field", "is given more than once"));
            return Key::Skip;
        }
        self.seen |= bit(position);
        Key::Column(position)
    }

    fn unknown(&mut self, name: &str) {
        let mut message = "there is no such column".to_owned();
        if self.suggestions < MAX_SUGGESTIONS {
            self.suggestions += 1;
            let known = self.dataset.columns.iter().map(|column| column.name.as_str());
            message.push_str(&did_you_mean(name, known));
        }
        self.push_error(Reason::new("unknown_field", message).at(name));
    }

    /// Takes a text as the cell of a column whose cells are made from text.
    pub(super) fn text(&mut self, position: usize, text: &str) {
        let column = &self.dataset.columns[position];
        let derived = self.derived & bit(position) != 0;
        let judged = match &column.rule {
            Rule::String { .. } | Rule::Enum { .. } | Rule::Uuid if derived => {
                self.rows.push_text(position, text);
                Ok(())
            }
            Rule::String { .. } | Rule::Enum { .. } => {
                cell::check_text(&column.rule, text).map(|()| self.rows.push_text(position, text))
            }
            Rule::Uuid => cell::uuid(text).map(|uuid| {
                self.rows.push_text(position, uuid.as_str());
            }),
            Rule::Timestamp { .. } => cell::timestamp(text).and_then(|at| {
                if !derived {
                    cell::check_int(column, &self.limits[position], at)?;
                }
                self.rows.push_int(position, at);
                Ok(())
            }),
            Rule::Int { .. } | Rule::Decimal { .. } | Rule::Bool | Rule::Float { .. } => {
                Err(Reason::wrong_type(cell::wanted(&column.rule), Found::Text.name()))
            }
        };
        if let Err(reason) = judged {
            self.error(position, reason);
        }
    }

    /// Takes a boolean.
    pub(super) fn boolean(&mut self, position: usize, value: bool) {
        if matches!(self.dataset.columns[position].rule, Rule::Bool) {
            self.rows.push_int(position, i64::from(value));
        } else {
            self.other(position, Found::Bool);
        }
    }

    /// Takes a null.
    pub(super) fn null(&mut self, position: usize) {
        if self.may_be_null(position) {
            self.rows.push_null(position);
        } else {
            self.error(position, Reason::null());
        }
    }

    /// Refuses anything that the column can't hold.
    pub(super) fn other(&mut self, position: usize, found: Found) {
        let wanted = cell::wanted(&self.dataset.columns[position].rule);
        self.error(position, Reason::wrong_type(wanted, found.name()));
    }

    /// Takes the JSON text of a number.
    fn number(&mut self, position: usize, json: &str) {
        if json == "null" {
            return self.null(position);
        }
        let column = &self.dataset.columns[position];
        let derived = self.derived & bit(position) != 0;
        let judged = if let Rule::Float { .. } = column.rule {
            cell::float(json).and_then(|number| {
                if !derived {
                    cell::check_float(&column.rule, number)?;
                }
                self.rows.push_float(position, number);
                Ok(())
            })
        } else {
            cell::exact(column.kind, json).and_then(|number| {
                if !derived {
                    cell::check_int(column, &self.limits[position], number)?;
                }
                self.rows.push_int(position, number);
                Ok(())
            })
        };
        if let Err(reason) = judged {
            self.error(position, reason);
        }
    }

    fn may_be_null(&self, column: usize) -> bool {
        self.dataset.columns[column].nullable || self.derived & bit(column) != 0
    }

    fn error(&mut self, column: usize, reason: Reason) {
        let error = reason.at(&self.dataset.columns[column].name);
        self.push_error(error);
    }

    fn push_error(&mut self, error: RowError) {
        if self.errors.len() < MAX_ERRORS {
            self.errors.push(error);
        }
    }
}

fn bit(column: usize) -> Columns {
    1 << column
}

impl<'de> DeserializeSeed<'de> for &mut RowReader<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for &mut RowReader<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key_seed(KeySeed(self))? {
            let Key::Column(column) = key else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            match self.dataset.columns[column].rule {
                // The digits as they were sent: a float in between would not be exact.
                Rule::Int { .. } | Rule::Decimal { .. } | Rule::Float { .. } => {
                    let json = map.next_value::<&RawValue>()?;
                    self.number(column, json.get());
                }
                Rule::String { .. }
                | Rule::Enum { .. }
                | Rule::Uuid
                | Rule::Timestamp { .. }
                | Rule::Bool => map.next_value_seed(TextVisitor { reader: self, column })?,
            }
        }
        Ok(())
    }
}

/// Looks a key up without copying it.
struct KeySeed<'a, 'd>(&'a mut RowReader<'d>);

impl<'de> DeserializeSeed<'de> for KeySeed<'_, '_> {
    type Value = Key;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Key, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KeySeed<'_, '_> {
    type Value = Key;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a column's name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Key, E> {
        Ok(self.0.key(name))
    }
}
