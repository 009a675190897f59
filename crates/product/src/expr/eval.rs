//! The value of an expression for one row.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::typing::{Compare, Literal, Node};
use crate::rows::{Cell, Rows};

/// A value while an expression is evaluated.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Outcome<'a> {
    /// Absent, or a number out of range.
    Null,
    /// Text; borrowed unless it was changed.
    Text(Cow<'a, str>),
    /// Whole or scaled number, or microseconds. Wider than cells, so that scales can be aligned.
    Int(i128),
    /// Float.
    Float(f64),
    /// Condition.
    Bool(bool),
}

// === impl Node ===

impl Node {
    pub(super) fn is_true(&self, rows: &Rows, row: usize) -> bool {
        match self {
            Self::Not(operand) => !operand.is_true(rows, row),
            Self::And(left, right) => left.is_true(rows, row) && right.is_true(rows, row),
            Self::Or(left, right) => left.is_true(rows, row) || right.is_true(rows, row),
            Self::IsNull(operand) => operand.value(rows, row) == Outcome::Null,
            Self::Compare(operator, left, right) => {
                let order = left.value(rows, row).order(&right.value(rows, row));
                order.is_some_and(|order| operator.holds(order))
            }
            Self::In(operand, literals) => {
                let value = operand.value(rows, row);
                literals
                    .iter()
                    .any(|literal| value.order(&Outcome::of(literal)) == Some(Ordering::Equal))
            }
            // A condition's cell is the number 0 or 1.
            other => matches!(other.value(rows, row), Outcome::Bool(true) | Outcome::Int(1)),
        }
    }

    pub(super) fn value<'a>(&'a self, rows: &'a Rows, row: usize) -> Outcome<'a> {
        let number = |a: &'a Self, b: &'a Self, exact: Exact, inexact: fn(f64, f64) -> f64| {
            a.value(rows, row).calculate(&b.value(rows, row), exact, inexact)
        };
        match self {
            Self::Literal(literal) => Outcome::of(literal),
            Self::Column(column) => match rows.cell(row, *column) {
                Cell::Null => Outcome::Null,
                Cell::Text(text) => Outcome::Text(Cow::Borrowed(text)),
                Cell::Int(value) => Outcome::Int(i128::from(value)),
                Cell::Float(value) => Outcome::Float(value),
            },
            Self::Add(a, b) => number(a, b, i128::checked_add, |a, b| a + b),
            Self::Subtract(a, b) => number(a, b, i128::checked_sub, |a, b| a - b),
            Self::Multiply(a, b) => number(a, b, i128::checked_mul, |a, b| a * b),
            Self::Rescale(operand, factor) => match operand.value(rows, row) {
                Outcome::Int(value) => {
                    value.checked_mul(*factor).map_or(Outcome::Null, Outcome::Int)
                }
                other => other,
            },
            Self::Float(operand, divisor) => operand.value(rows, row).into_float(*divisor),
            Self::Lower(operand) => operand.value(rows, row).map_text(lower),
            Self::Upper(operand) => operand.value(rows, row).map_text(upper),
            Self::Trim(operand) => operand.value(rows, row).map_text(trim),
            Self::Len(operand) => match operand.value(rows, row) {
                Outcome::Text(text) => Outcome::Int(text.len() as i128),
                _ => Outcome::Null,
            },
            Self::Coalesce(operands) => {
                let mut values = operands.iter().map(|operand| operand.value(rows, row));
                values.find(|value| *value != Outcome::Null).unwrap_or(Outcome::Null)
            }
            Self::Not(_)
            | Self::And(..)
            | Self::Or(..)
            | Self::Compare(..)
            | Self::In(..)
            | Self::IsNull(_) => Outcome::Bool(self.is_true(rows, row)),
        }
    }
}

/// Arithmetic that says when it leaves its range.
type Exact = fn(i128, i128) -> Option<i128>;

// === impl Outcome ===

impl<'a> Outcome<'a> {
    fn of(literal: &'a Literal) -> Self {
        match literal {
            Literal::Text(text) => Self::Text(Cow::Borrowed(text)),
            Literal::Int(number) => Self::Int(*number),
            Literal::Float(number) => Self::Float(*number),
            Literal::Bool(condition) => Self::Bool(*condition),
        }
    }

    /// Orders two values of one type; `None` if one is null.
    fn order(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Text(a), Self::Text(b)) => Some(a.as_ref().cmp(b.as_ref())),
            (Self::Int(a), Self::Int(b)) => Some(a.cmp(b)),
            (Self::Float(a), Self::Float(b)) => a.partial_cmp(b),
            (Self::Bool(a), Self::Bool(b)) => Some(a.cmp(b)),
            (Self::Int(a), Self::Bool(b)) => Some((*a != 0).cmp(b)),
            (Self::Bool(a), Self::Int(b)) => Some(a.cmp(&(*b != 0))),
            _ => None,
        }
    }

    fn calculate(&self, other: &Self, exact: Exact, inexact: fn(f64, f64) -> f64) -> Self {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => exact(*a, *b).map_or(Self::Null, Self::Int),
            (Self::Float(a), Self::Float(b)) => {
                Some(inexact(*a, *b)).filter(|sum| sum.is_finite()).map_or(Self::Null, Self::Float)
            }
            _ => Self::Null,
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "floats are inexact by declaration")]
    fn into_float(self, divisor: f64) -> Self {
        match self {
            Self::Int(number) => Self::Float(number as f64 / divisor),
            other => other,
        }
    }

    fn map_text(self, change: fn(Cow<'a, str>) -> Cow<'a, str>) -> Self {
        match self {
            Self::Text(text) => Self::Text(change(text)),
            other => other,
        }
    }
}

// Text that needs no change stays borrowed: rows that are clean already cost no allocation.

fn lower(text: Cow<'_, str>) -> Cow<'_, str> {
    let unchanged = text.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase());
    if unchanged { text } else { Cow::Owned(text.to_lowercase()) }
}

fn upper(text: Cow<'_, str>) -> Cow<'_, str> {
    let unchanged = text.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_lowercase());
    if unchanged { text } else { Cow::Owned(text.to_uppercase()) }
}

fn trim(text: Cow<'_, str>) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
        Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
    }
}

// === impl Compare ===

impl Compare {
    fn holds(self, order: Ordering) -> bool {
        match self {
            Self::Equal => order.is_eq(),
            Self::NotEqual => order.is_ne(),
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::GreaterOrEqual => order.is_ge(),
        }
    }
}
