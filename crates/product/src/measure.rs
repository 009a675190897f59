//! What readers see: measures, made from what is stored.

use std::cmp::Ordering;

use crate::contract::{ColumnKind, Dataset, Formula, Measure, View};
use crate::fold::Value;

/// Digits that an average has beyond those of its column.
pub(crate) const AVERAGE_DIGITS: u8 = 2;

/// A measure's value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Quantity {
    /// Of no rows.
    Null,
    /// An exact number, scaled by ten to the `scale`.
    Exact {
        /// The scaled number.
        value: i128,
        /// Digits after the point.
        scale: u8,
    },
    /// A float.
    Float(f64),
    /// A time in microseconds.
    Time(i64),
}

// === impl Quantity ===

impl Quantity {
    /// Orders two values of one measure; null is the smallest.
    pub(crate) fn order(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Exact { value: a, .. }, Self::Exact { value: b, .. }) => a.cmp(b),
            (Self::Float(a), Self::Float(b)) => a.total_cmp(b),
            (Self::Time(a), Self::Time(b)) => a.cmp(b),
            (Self::Null, Self::Null) => Ordering::Equal,
            (Self::Null, _) => Ordering::Less,
            (_, Self::Null) => Ordering::Greater,
            _ => Ordering::Equal,
        }
    }
}

/// Returns a measure of one row of a view's table: dimensions, bucket, number of rows, aggregates.
pub(crate) fn quantity(
    view: &View,
    dataset: &Dataset,
    measure: &Measure,
    row: &[Value],
) -> Quantity {
    let width = view.group_width();
    let rows = row.get(width).unwrap_or(&Value::Null);
    let stored = |position: usize| row.get(width + 1 + position).unwrap_or(&Value::Null);
    match measure.formula {
        Formula::Rows => exact(rows, 0),
        Formula::Stored(position) => {
            let aggregate = view.stored[position];
            let kind = match aggregate {
                crate::contract::Stored::Count(_) => ColumnKind::Int,
                _ => dataset.columns[aggregate.column()].kind,
            };
            of_kind(kind, stored(position))
        }
        Formula::Ratio { sum, count } => {
            let count = count.map_or(rows, stored);
            ratio(stored(sum), count, measure)
        }
    }
}

/// Returns a value of a column as a quantity.
pub(crate) fn of_kind(kind: ColumnKind, value: &Value) -> Quantity {
    match kind {
        ColumnKind::Decimal { scale } => exact(value, scale),
        ColumnKind::Timestamp => match value {
            Value::Int(at) => Quantity::Time(*at),
            _ => Quantity::Null,
        },
        _ => exact(value, 0),
    }
}

fn exact(value: &Value, scale: u8) -> Quantity {
    match value {
        Value::Int(number) => Quantity::Exact { value: i128::from(*number), scale },
        Value::Float(number) => Quantity::Float(*number),
        Value::Null | Value::Text(_) => Quantity::Null,
    }
}

/// Divides a sum by a count, with two more digits than the sum, rounded half away from zero.
#[expect(clippy::cast_precision_loss, reason = "floats are inexact by declaration")]
fn ratio(sum: &Value, count: &Value, measure: &Measure) -> Quantity {
    let Value::Int(count) = count else { return Quantity::Null };
    if *count <= 0 {
        return Quantity::Null;
    }
    match sum {
        Value::Int(sum) => {
            let twice = i128::from(*sum) * 10i128.pow(u32::from(AVERAGE_DIGITS)) * 2;
            let count = i128::from(*count);
            let value = (twice + count * twice.signum()) / (2 * count);
            Quantity::Exact { value, scale: measure.scale.unwrap_or(AVERAGE_DIGITS) }
        }
        Value::Float(sum) => Quantity::Float(sum / *count as f64),
        Value::Null | Value::Text(_) => Quantity::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn averages_have_two_more_digits_and_round_half_away_from_zero() {
        let measure = Measure {
            name: "avg".to_owned(),
            formula: Formula::Ratio { sum: 0, count: None },
            scale: Some(4),
            float: false,
        };
        for (sum, count, expected) in
            [(1, 3, 33), (2, 3, 67), (-2, 3, -67), (1, 8, 13), (-1, 8, -13), (100, 1, 10_000)]
        {
            let average = ratio(&Value::Int(sum), &Value::Int(count), &measure);
            assert_eq!(average, Quantity::Exact { value: expected, scale: 4 }, "{sum}/{count}");
        }
        assert_eq!(ratio(&Value::Int(0), &Value::Int(0), &measure), Quantity::Null);
    }
}
