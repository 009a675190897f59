//! Single values as JSON and CSV.

use std::io::Write as _;

use tidegate_core::clock::Timestamp;

use crate::contract::ColumnKind;
use crate::decimal;
use crate::fold::Value;
use crate::measure::{Quantity, of_kind};

/// Writes a value of a column.
pub(super) fn json_cell(out: &mut Vec<u8>, kind: ColumnKind, value: &Value) {
    match (kind, value) {
        (_, Value::Null) => out.extend_from_slice(b"null"),
        (_, Value::Text(text)) => json_text(out, text),
        (ColumnKind::Bool, Value::Int(number)) => out.extend_from_slice(boolean(*number)),
        (kind, value) => json_quantity(out, of_kind(kind, value)),
    }
}

/// Writes a quantity as a number, a time as text.
pub(super) fn json_quantity(out: &mut Vec<u8>, quantity: Quantity) {
    match quantity {
        Quantity::Null => out.extend_from_slice(b"null"),
        Quantity::Time(at) => {
            out.push(b'"');
            time(out, at);
            out.push(b'"');
        }
        // JSON has no infinity.
        Quantity::Float(number) if !number.is_finite() => out.extend_from_slice(b"null"),
        number => plain(out, number),
    }
}

/// Writes an exact number as text, so that readers whose numbers are floats lose nothing; other
/// quantities as [`json_quantity`].
pub(super) fn json_exact_text(out: &mut Vec<u8>, quantity: Quantity) {
    if let Quantity::Exact { .. } = quantity {
        out.push(b'"');
        plain(out, quantity);
        out.push(b'"');
    } else {
        json_quantity(out, quantity);
    }
}

/// Writes a value of a column as a CSV field.
pub(super) fn csv_cell(out: &mut Vec<u8>, kind: ColumnKind, value: &Value) {
    match (kind, value) {
        (_, Value::Null) => {}
        (_, Value::Text(text)) => csv_text(out, text),
        (ColumnKind::Bool, Value::Int(number)) => out.extend_from_slice(boolean(*number)),
        (kind, value) => csv_quantity(out, of_kind(kind, value)),
    }
}

/// Writes a quantity as a CSV field.
pub(super) fn csv_quantity(out: &mut Vec<u8>, quantity: Quantity) {
    match quantity {
        Quantity::Time(at) => time(out, at),
        Quantity::Float(number) if !number.is_finite() => {}
        number => plain(out, number),
    }
}

/// Writes a JSON string.
pub(super) fn json_text(out: &mut Vec<u8>, text: &str) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push(b'"');
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|byte| *byte < 0x20 || matches!(byte, b'"' | b'\\')) {
        let (plain, tail) = rest.split_at(at);
        out.extend_from_slice(plain);
        let Some((byte, tail)) = tail.split_first() else { break };
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', *byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ => {
                out.extend_from_slice(b"\\u00");
                out.push(HEX[usize::from(byte >> 4)]);
                out.push(HEX[usize::from(byte & 15)]);
            }
        }
        rest = tail;
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

fn csv_text(out: &mut Vec<u8>, text: &str) {
    if !text.contains([',', '"', '\n', '\r']) {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    out.push(b'"');
    out.extend_from_slice(text.replace('"', "\"\"").as_bytes());
    out.push(b'"');
}

fn plain(out: &mut Vec<u8>, quantity: Quantity) {
    match quantity {
        Quantity::Exact { value, scale } => decimal::write(out, value, scale),
        // Writing to a vector does not fail.
        Quantity::Float(number) => write!(out, "{number}").unwrap_or(()),
        Quantity::Time(at) => time(out, at),
        Quantity::Null => {}
    }
}

fn time(out: &mut Vec<u8>, at: i64) {
    out.extend_from_slice(Timestamp(at).to_rfc3339().as_bytes());
}

fn boolean(number: i64) -> &'static [u8] {
    if number == 0 { b"false" } else { b"true" }
}
