//! Where a page begins, as text that clients hand back.
//!
//! A cursor holds the last row's place in the order, and a mark of the endpoint and filters it was
//! made for. It is opaque but no secret: whoever changes one reads another part of what they may
//! read anyway.

use tidegate_core::param::ParamError;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::Table;
use crate::contract::{Column, ColumnKind, Contract, Dataset, Endpoint, View};
use crate::fold::Value;

/// Longest cursor that is read.
pub(crate) const MAX_CURSOR_BYTES: usize = 16_384;

const VERSION: u8 = 1;
const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const REFUSED: &str = "is not one that this request was answered with; begin again without it";

/// Returns the cursor after a row.
pub(super) fn after_row(
    dataset: &Dataset,
    endpoint: &Endpoint,
    equals: &[(usize, Value)],
    row: &[Value],
) -> String {
    let places = std::iter::once(&dataset.time).chain(&dataset.key);
    encode(filter_mark(endpoint, equals), places.map(|column| &row[*column]))
}

/// Reads a cursor that [`after_row`] wrote for the same endpoint and filters: time and key.
///
/// The time range is no part of the mark: one that is relative to now moves between two pages, and
/// the place in the order is as good in the moved one.
pub(super) fn rows_after(
    dataset: &Dataset,
    endpoint: &Endpoint,
    equals: &[(usize, Value)],
    text: &str,
) -> Result<(i64, Vec<Value>), &'static str> {
    let places = std::iter::once(&dataset.time).chain(&dataset.key);
    let columns: Vec<&Column> = places.map(|column| &dataset.columns[*column]).collect();
    let mut values = decode(filter_mark(endpoint, equals), &columns, text).ok_or(REFUSED)?;
    match values.remove(0) {
        Value::Int(at) => Ok((at, values)),
        _ => Err(REFUSED),
    }
}

/// Returns the cursor after the last group of a listing; `None` if it has no groups.
pub fn groups_cursor(view: &View, table: &Table) -> Option<String> {
    let last = table.rows().last()?;
    Some(encode(view_mark(view), last.iter().take(view.group_width())))
}

/// Reads a cursor that [`groups_cursor`] wrote for the same view: dimensions and bucket.
///
/// # Errors
/// The text is no cursor, or one of another view or build.
pub fn groups_after(
    contract: &Contract,
    view: &View,
    text: &str,
) -> Result<Vec<Value>, ParamError> {
    let dataset = contract.dataset_of(view);
    let parts = view.group_by.iter().copied().chain(view.bucket.map(|bucket| bucket.column));
    let columns: Vec<&Column> = parts.map(|column| &dataset.columns[column]).collect();
    let values = decode(view_mark(view), &columns, text);
    values.ok_or_else(|| ParamError { name: "cursor".to_owned(), reason: REFUSED.to_owned() })
}

fn filter_mark(endpoint: &Endpoint, equals: &[(usize, Value)]) -> u64 {
    let start = xxh3_64(endpoint.hash.as_bytes());
    equals.iter().fold(start, |mark, (column, value)| {
        let mut bytes = Vec::new();
        put(&mut bytes, value);
        xxh3_64_with_seed(&bytes, mark.wrapping_add(*column as u64))
    })
}

fn view_mark(view: &View) -> u64 {
    xxh3_64_with_seed(view.name.as_bytes(), xxh3_64(view.build.as_bytes()))
}

fn encode<'a>(mark: u64, values: impl Iterator<Item = &'a Value>) -> String {
    let mut bytes = vec![VERSION];
    bytes.extend_from_slice(&mark.to_be_bytes());
    values.for_each(|value| put(&mut bytes, value));
    to_text(&bytes)
}

fn decode(mark: u64, columns: &[&Column], text: &str) -> Option<Vec<Value>> {
    let bytes = from_text(text)?;
    let (version, rest) = bytes.split_first()?;
    let (found, mut rest) = rest.split_first_chunk::<8>()?;
    if *version != VERSION || u64::from_be_bytes(*found) != mark {
        return None;
    }
    let values = columns.iter().map(|column| take(column.kind, &mut rest));
    let values = values.collect::<Option<Vec<Value>>>()?;
    rest.is_empty().then_some(values)
}

fn put(bytes: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => bytes.push(0),
        Value::Text(text) => {
            let len = u32::try_from(text.len()).unwrap_or(u32::MAX);
            bytes.extend_from_slice(&len.to_be_bytes());
            bytes.extend_from_slice(text.as_bytes());
        }
        Value::Int(number) => bytes.extend_from_slice(&number.to_be_bytes()),
        Value::Float(number) => bytes.extend_from_slice(&number.to_bits().to_be_bytes()),
    }
}

fn take(kind: ColumnKind, rest: &mut &[u8]) -> Option<Value> {
    match kind {
        ColumnKind::String | ColumnKind::Enum | ColumnKind::Uuid => {
            let (len, after) = rest.split_first_chunk::<4>()?;
            let len = usize::try_from(u32::from_be_bytes(*len)).ok()?;
            let (text, after) = after.split_at_checked(len)?;
            *rest = after;
            Some(Value::Text(std::str::from_utf8(text).ok()?.to_owned()))
        }
        ColumnKind::Int | ColumnKind::Decimal { .. } | ColumnKind::Timestamp | ColumnKind::Bool => {
            let (number, after) = rest.split_first_chunk::<8>()?;
            *rest = after;
            Some(Value::Int(i64::from_be_bytes(*number)))
        }
        // Floats name neither rows nor groups.
        ColumnKind::Float => None,
    }
}

/// RFC 4648 section 5, without padding.
fn to_text(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 4 / 3 + 2);
    for three in bytes.chunks(3) {
        let byte = |at: usize| u32::from(three.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..=three.len() {
            let index = bits >> (18 - 6 * digit) & 63;
            text.push(char::from(DIGITS[index as usize]));
        }
    }
    text
}

fn from_text(text: &str) -> Option<Vec<u8>> {
    if text.len() > MAX_CURSOR_BYTES {
        return None;
    }
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4);
    for four in text.as_bytes().chunks(4) {
        let mut bits = 0u32;
        for (place, digit) in four.iter().enumerate() {
            let value = DIGITS.iter().position(|known| known == digit)?;
            bits |= u32::try_from(value).ok()? << (18 - 6 * place);
        }
        let [_, three @ ..] = bits.to_be_bytes();
        bytes.extend_from_slice(three.get(..four.len().checked_sub(1)?)?);
    }
    Some(bytes)
}
