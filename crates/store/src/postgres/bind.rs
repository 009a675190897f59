//! Cells and values as PostgreSQL takes and gives them, one by one and as columns.

use std::borrow::Cow;
use std::error::Error;

use tidegate_product::contract::ColumnKind;
use tidegate_product::fold::Value;
use tidegate_product::rows::Cell;
use tokio_postgres::Row;
use tokio_postgres::types::private::BytesMut;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};

use crate::postgres::fault::Fault;
use crate::postgres::pool::Param;

/// A value to bind.
#[derive(Debug)]
pub(super) struct ValueParam<'a>(pub(super) &'a Value);

/// A value as it was found.
struct Found(Value);

/// Cells of one column, to be sent in one piece.
pub(super) enum Array<'a> {
    Text(Vec<Option<&'a str>>),
    Int(Vec<Option<i64>>),
    Float(Vec<Option<f64>>),
}

// === impl ValueParam ===

impl ToSql for ValueParam<'_> {
    fn to_sql(
        &self,
        kind: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match (self.0, kind) {
            (Value::Null, _) => Ok(IsNull::Yes),
            (Value::Text(text), _) => text.as_str().to_sql(kind, out),
            #[expect(clippy::cast_precision_loss, reason = "floats are inexact by declaration")]
            (Value::Int(value), &Type::FLOAT8) => (*value as f64).to_sql(kind, out),
            (Value::Int(value), _) => value.to_sql(kind, out),
            (Value::Float(value), _) => value.to_sql(kind, out),
        }
    }

    fn accepts(kind: &Type) -> bool {
        matches!(*kind, Type::TEXT | Type::INT8 | Type::FLOAT8)
    }

    to_sql_checked!();
}

// === impl Found ===

impl FromSql<'_> for Found {
    fn from_sql(kind: &Type, raw: &[u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(match *kind {
            Type::INT8 => Value::Int(i64::from_sql(kind, raw)?),
            Type::FLOAT8 => Value::Float(f64::from_sql(kind, raw)?),
            _ => Value::Text(String::from_sql(kind, raw)?),
        }))
    }

    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(Value::Null))
    }

    fn accepts(kind: &Type) -> bool {
        matches!(*kind, Type::TEXT | Type::INT8 | Type::FLOAT8)
    }
}

/// Returns a column of a result row.
pub(super) fn value(row: &Row, column: usize) -> Result<Value, Fault> {
    let Found(value) = row.try_get(column)?;
    Ok(value)
}

/// Returns a column of a result row without copying its text.
pub(super) fn cell(row: &Row, column: usize) -> Result<Cell<'_>, Fault> {
    let kind = row.columns().get(column).map_or(&Type::TEXT, |column| column.type_());
    Ok(match *kind {
        Type::INT8 => row.try_get::<_, Option<i64>>(column)?.map_or(Cell::Null, Cell::Int),
        Type::FLOAT8 => row.try_get::<_, Option<f64>>(column)?.map_or(Cell::Null, Cell::Float),
        _ => row.try_get::<_, Option<&str>>(column)?.map_or(Cell::Null, Cell::Text),
    })
}

/// Returns whether a column of a result row is what was sent as a cell.
pub(super) fn is(row: &Row, column: usize, cell: Cell<'_>) -> Result<bool, Fault> {
    Ok(match cell {
        Cell::Null => false,
        Cell::Text(text) => row.try_get::<_, &str>(column)? == text,
        Cell::Int(value) => row.try_get::<_, i64>(column)? == value,
        Cell::Float(value) => row.try_get::<_, f64>(column)?.to_bits() == value.to_bits(),
    })
}

// === impl Array ===

impl<'a> Array<'a> {
    /// Returns an empty column with room for `size` cells.
    pub(super) fn of(kind: ColumnKind, size: usize) -> Self {
        match kind {
            ColumnKind::String | ColumnKind::Enum | ColumnKind::Uuid => {
                Self::Text(Vec::with_capacity(size))
            }
            ColumnKind::Int
            | ColumnKind::Decimal { .. }
            | ColumnKind::Timestamp
            | ColumnKind::Bool => Self::Int(Vec::with_capacity(size)),
            ColumnKind::Float => Self::Float(Vec::with_capacity(size)),
        }
    }

    /// Adds a cell. One that is not of the column's kind, which none is, is null.
    pub(super) fn push(&mut self, cell: Cell<'a>) {
        match self {
            Self::Text(cells) => cells.push(match cell {
                Cell::Text(text) => Some(text),
                Cell::Null | Cell::Int(_) | Cell::Float(_) => None,
            }),
            Self::Int(cells) => cells.push(match cell {
                Cell::Int(value) => Some(value),
                Cell::Null | Cell::Text(_) | Cell::Float(_) => None,
            }),
            #[expect(clippy::cast_precision_loss, reason = "floats are inexact by declaration")]
            Self::Float(cells) => cells.push(match cell {
                Cell::Float(value) => Some(value),
                Cell::Int(value) => Some(value as f64),
                Cell::Null | Cell::Text(_) => None,
            }),
        }
    }

    /// Adds a value.
    pub(super) fn push_value(&mut self, value: &'a Value) {
        self.push(match value {
            Value::Null => Cell::Null,
            Value::Text(text) => Cell::Text(text),
            Value::Int(value) => Cell::Int(*value),
            Value::Float(value) => Cell::Float(*value),
        });
    }

    pub(super) fn param(&self) -> Param<'_> {
        match self {
            Self::Text(cells) => cells,
            Self::Int(cells) => cells,
            Self::Float(cells) => cells,
        }
    }
}

/// Shows the one character that PostgreSQL's texts can't hold as the one for unknown ones.
pub(super) fn storable(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { text.replace('\0', "\u{fffd}").into() } else { text.into() }
}
