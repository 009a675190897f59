//! One cell: JSON to a value of the column's type, and the column's limits.

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use tidegate_core::clock::Timestamp;

use super::reason::Reason;
use super::row::RowReader;
use crate::contract::{Column, ColumnKind};
use crate::decimal::{self, DecimalError};
use crate::expr::Outcome;
use crate::fold::Value;
use crate::instant;
use crate::rows::Cell;
use crate::rule::Rule;

/// Limits of a column's integers at the time of the request.
pub(super) struct Limits {
    min: i64,
    max: i64,
}

/// What a JSON value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A string.
    Text,
    /// A number.
    Number,
    /// A boolean.
    Bool,
    /// An array.
    Array,
    /// An object.
    Object,
}

/// A canonical UUID.
pub(super) struct UuidText([u8; 36]);

/// Visits a value that is not a number, and puts it into its column.
pub(super) struct TextVisitor<'a, 'd> {
    pub(super) reader: &'a mut RowReader<'d>,
    pub(super) column: usize,
}

// === impl Limits ===

impl Limits {
    pub(super) fn of(rule: &Rule, now: Timestamp) -> Self {
        let (min, max) = match rule {
            Rule::Int { min, max } | Rule::Decimal { min, max } => (Some(*min), Some(*max)),
            Rule::Timestamp { not_before, not_after } => (
                not_before.as_ref().map(|bound| bound.at(now)),
                not_after.as_ref().map(|bound| bound.at(now)),
            ),
            Rule::String { .. }
            | Rule::Enum { .. }
            | Rule::Uuid
            | Rule::Bool
            | Rule::Float { .. } => (None, None),
        };
        Self { min: min.unwrap_or(i64::MIN), max: max.unwrap_or(i64::MAX) }
    }
}

// === impl Found ===

impl Found {
    /// Returns what a JSON text is, by its first byte.
    fn of(json: &str) -> Self {
        match json.bytes().next() {
            Some(b'"') => Self::Text,
            Some(b't' | b'f') => Self::Bool,
            Some(b'[') => Self::Array,
            Some(b'{') => Self::Object,
            _ => Self::Number,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Text => "a string",
            Self::Number => "a number",
            Self::Bool => "a boolean",
            Self::Array => "an array",
            Self::Object => "an object",
        }
    }
}

/// Returns what a column takes, in words.
pub(super) fn wanted(rule: &Rule) -> &'static str {
    match rule {
        Rule::String { .. } | Rule::Enum { .. } => "a string",
        Rule::Uuid => "a UUID as a string, such as 018f0c3e-9d5b-7c1a-8a52-0f6a3c9b7d21",
        Rule::Int { .. } => "a whole number",
        Rule::Decimal { .. } => "a number, or a string with one",
        Rule::Timestamp { .. } => "an RFC 3339 time as a string, such as 2026-11-22T10:00:00Z",
        Rule::Bool => "true or false",
        Rule::Float { .. } => "a number",
    }
}

/// Checks a text against the limits of its column.
pub(super) fn check_text(rule: &Rule, text: &str) -> Result<(), Reason> {
    match rule {
        Rule::String { max_len, .. } if text.len() > *max_len => {
            Err(Reason::too_long(text.len(), *max_len))
        }
        // PostgreSQL's texts can't hold it, and one such row must not be what its batch fails by.
        Rule::String { .. } if text.contains('\0') => {
            Err(Reason::new("nul", "must not hold the character U+0000"))
        }
        Rule::String { pattern: Some(pattern), .. } if !pattern.matches(text) => {
            Err(Reason::new("pattern", format!("must match {}", pattern.source)))
        }
        Rule::Enum { values } if !values.iter().any(|value| value == text) => {
            Err(Reason::not_in_enum(values))
        }
        Rule::Uuid => match uuid(text)?.as_str() == text {
            true => Ok(()),
            false => Err(Reason::wrong_type("a UUID in lower case", "one in upper case")),
        },
        _ => Ok(()),
    }
}

/// Checks an integer, scaled decimal or time against the limits of its column.
pub(super) fn check_int(column: &Column, limits: &Limits, number: i64) -> Result<(), Reason> {
    let Limits { min, max } = *limits;
    if (min..=max).contains(&number) {
        return Ok(());
    }
    Err(match column.kind {
        ColumnKind::Timestamp if number < min => {
            let limit = Timestamp(min).to_rfc3339();
            Reason::new("too_early", format!("must not be before {limit}"))
        }
        ColumnKind::Timestamp => {
            let limit = Timestamp(max).to_rfc3339();
            Reason::new("not_after", format!("must not be after {limit}"))
        }
        ColumnKind::Decimal { scale } => {
            Reason::out_of_range(decimal::text(min, scale), decimal::text(max, scale))
        }
        _ => Reason::out_of_range(min, max),
    })
}

/// Checks a float against the limits of its column.
pub(super) fn check_float(rule: &Rule, number: f64) -> Result<(), Reason> {
    match rule {
        Rule::Float { min, max } if !(*min..=*max).contains(&number) => {
            Err(Reason::out_of_range(min, max))
        }
        _ => Ok(()),
    }
}

/// Reads an integer or decimal exactly. Decimals may also stand in a string, for clients whose
/// numbers are floats.
pub(super) fn exact(kind: ColumnKind, json: &str) -> Result<i64, Reason> {
    let (scale, text, wanted) = match (kind, Found::of(json)) {
        (ColumnKind::Decimal { scale }, Found::Number) => (scale, json, "a number"),
        (ColumnKind::Decimal { scale }, Found::Text) => (scale, unquoted(json), "a number"),
        (ColumnKind::Int, Found::Number) if json.contains(['.', 'e', 'E']) => {
            return Err(Reason::wrong_type("a whole number", "one with a point or exponent"));
        }
        (ColumnKind::Int, Found::Number) => (0, json, "a whole number"),
        (ColumnKind::Int, found) => {
            return Err(Reason::wrong_type("a whole number", found.name()));
        }
        (_, found) => {
            return Err(Reason::wrong_type("a number, or a string with one", found.name()));
        }
    };
    decimal::parse(text, scale).map_err(|error| match error {
        DecimalError::NotANumber => Reason::wrong_type(wanted, "a string without one"),
        DecimalError::Scale => {
            let message = format!("must have at most {scale} digits after the point");
            Reason::new("scale", message)
        }
        DecimalError::Range => Reason::new("out_of_range", "does not fit into 64 bits"),
    })
}

/// Reads a float.
pub(super) fn float(json: &str) -> Result<f64, Reason> {
    let found = Found::of(json);
    if found != Found::Number {
        return Err(Reason::wrong_type("a number", found.name()));
    }
    let number = json.parse::<f64>().ok().filter(|number| number.is_finite());
    number.ok_or_else(|| Reason::new("out_of_range", "does not fit into a 64-bit float"))
}

/// Reads a time.
pub(super) fn timestamp(text: &str) -> Result<i64, Reason> {
    instant::parse(text).ok_or_else(|| {
        let wanted = "an RFC 3339 time such as 2026-11-22T10:00:00Z";
        Reason::wrong_type(wanted, "another string")
    })
}

/// Reads a UUID: 32 digits and four hyphens, in either case.
pub(crate) fn uuid(text: &str) -> Result<UuidText, Reason> {
    let wrong = || {
        let wanted = "a UUID such as 018f0c3e-9d5b-7c1a-8a52-0f6a3c9b7d21";
        Reason::wrong_type(wanted, "another string")
    };
    let mut bytes: [u8; 36] = text.as_bytes().try_into().map_err(|_| wrong())?;
    for (position, byte) in bytes.iter_mut().enumerate() {
        let fits = match position {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        };
        if !fits {
            return Err(wrong());
        }
        byte.make_ascii_lowercase();
    }
    Ok(UuidText(bytes))
}

/// Returns whether a cell holds this value already.
pub(super) fn is_same(cell: Cell<'_>, outcome: &Outcome<'_>) -> bool {
    match (cell, outcome) {
        (Cell::Null, Outcome::Null) => true,
        (Cell::Text(a), Outcome::Text(b)) => a == b,
        (Cell::Int(a), Outcome::Int(b)) => i128::from(a) == *b,
        (Cell::Int(a), Outcome::Bool(b)) => a == i64::from(*b),
        (Cell::Float(a), Outcome::Float(b)) => a.to_bits() == b.to_bits(),
        _ => false,
    }
}

/// Turns a value that was judged into one that can be kept.
pub(super) fn into_value(outcome: Outcome<'_>) -> Value {
    match outcome {
        Outcome::Null => Value::Null,
        Outcome::Text(text) => Value::Text(text.into_owned()),
        Outcome::Int(number) => i64::try_from(number).map_or(Value::Null, Value::Int),
        Outcome::Float(number) => Value::Float(number),
        Outcome::Bool(condition) => Value::Int(i64::from(condition)),
    }
}

/// A string with a number has no escapes; one that has any is no number.
fn unquoted(json: &str) -> &str {
    json.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(json)
}

// === impl UuidText ===

impl UuidText {
    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("hex digits must be UTF-8")
    }
}

// === impl TextVisitor ===

impl<'de> DeserializeSeed<'de> for TextVisitor<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for TextVisitor<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a value")
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.reader.text(self.column, text);
        Ok(())
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.reader.boolean(self.column, value);
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.reader.null(self.column);
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        self.reader.other(self.column, Found::Number);
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        self.reader.other(self.column, Found::Number);
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        self.reader.other(self.column, Found::Number);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        while elements.next_element::<IgnoredAny>()?.is_some() {}
        self.reader.other(self.column, Found::Array);
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        self.reader.other(self.column, Found::Object);
        Ok(())
    }
}
