//! Cells and values as SQLite takes and gives them, without copies on the way in.

use rusqlite::types::{ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Row, Statement};
use tidegate_product::fold::Value;
use tidegate_product::rows::Cell;

/// A cell of a row to bind.
pub(super) struct CellParam<'a>(pub(super) Cell<'a>);

/// A value to bind.
pub(super) struct ValueParam<'a>(pub(super) &'a Value);

// === impl CellParam ===

impl ToSql for CellParam<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self.0 {
            Cell::Null => ValueRef::Null,
            Cell::Text(text) => ValueRef::Text(text.as_bytes()),
            Cell::Int(value) => ValueRef::Integer(value),
            Cell::Float(value) => ValueRef::Real(value),
        }))
    }
}

// === impl ValueParam ===

impl ToSql for ValueParam<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self.0 {
            Value::Null => ValueRef::Null,
            Value::Text(text) => ValueRef::Text(text.as_bytes()),
            Value::Int(value) => ValueRef::Integer(*value),
            Value::Float(value) => ValueRef::Real(*value),
        }))
    }
}

/// Binds values to consecutive parameters; returns the next one.
pub(super) fn bind_values<'a>(
    statement: &mut Statement<'_>,
    first: usize,
    values: impl IntoIterator<Item = &'a Value>,
) -> rusqlite::Result<usize> {
    let mut next = first;
    for value in values {
        statement.raw_bind_parameter(next, ValueParam(value))?;
        next += 1;
    }
    Ok(next)
}

/// Returns a column of a result row.
pub(super) fn value(row: &Row<'_>, column: usize) -> rusqlite::Result<Value> {
    Ok(match row.get_ref(column)? {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(value) => Value::Int(value),
        ValueRef::Real(value) => Value::Float(value),
        ValueRef::Text(text) => Value::Text(
            std::str::from_utf8(text)
                .map_err(|error| rusqlite::Error::Utf8Error(column, error))?
                .to_owned(),
        ),
        ValueRef::Blob(_) => {
            return Err(rusqlite::Error::InvalidColumnType(
                column,
                String::new(),
                rusqlite::types::Type::Blob,
            ));
        }
    })
}
