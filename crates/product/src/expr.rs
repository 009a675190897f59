//! The expression language of checks, transforms and view filters.
//!
//! It is total: every expression has a value for every row, in time bounded by its size; there are
//! no loops, no state and no I/O.
//!
//! | form | meaning |
//! |---|---|
//! | `'text'`, `12`, `0.5`, `true`, `false` | literals; a quote within text is doubled |
//! | `column` | the cell of the row |
//! | `== != < <= > >=` | comparison; text by bytes; times with times or RFC 3339 text |
//! | `x in ('a', 'b')` | equality with one of a list of literals |
//! | `x is null`, `x is not null` | the only way to see a null |
//! | `&& \|\| !` | logic |
//! | `+ - *` | exact for int and decimal; the result's scale is known when the file is checked |
//! | `lower(x) upper(x) trim(x)` | text |
//! | `len(x)` | length in bytes, as `max_len` counts |
//! | `coalesce(x, y, …)` | the first that is not null |
//!
//! Logic has two values. A comparison or `in` with a null is false, and so is a null that is used as
//! a condition; arithmetic and functions of a null are null, and so is arithmetic that leaves 128
//! bits. Hence `value != 1` and `!(value == 1)` differ where `value` is null: the first is false.

mod eval;
mod lexer;
mod parser;
mod typing;

use crate::contract::{Column, ColumnKind};
use crate::rows::Rows;
pub(crate) use eval::Outcome;
use typing::Node;

/// Longest source, in bytes.
const MAX_SOURCE_BYTES: usize = 4096;

/// A checked expression over the columns of one dataset.
#[derive(Clone, Debug)]
pub(crate) struct Expr {
    node: Node,
    /// What it yields.
    pub(crate) kind: Type,
    /// The source without its spacing: equal for expressions that are written alike.
    pub(crate) canonical: String,
    /// Positions of the columns it reads, without repetition.
    pub(crate) columns: Vec<usize>,
}

/// What an expression yields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    /// Text.
    Text,
    /// A whole number.
    Int,
    /// A number with this many digits after the point.
    Decimal(u8),
    /// A float.
    Float,
    /// A time.
    Time,
    /// A condition.
    Bool,
}

/// What is wrong with an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ExprError {
    /// Byte of the source at which it is wrong.
    pub(crate) at: usize,
    /// What is wrong and what would be right.
    pub(crate) message: String,
}

// === impl Expr ===

impl Expr {
    /// Parses and checks an expression.
    pub(crate) fn parse(source: &str, columns: &[Column]) -> Result<Self, ExprError> {
        if source.len() > MAX_SOURCE_BYTES {
            let message = format!("the expression is longer than {MAX_SOURCE_BYTES} bytes");
            return Err(ExprError { at: 0, message });
        }
        let tokens = lexer::tokens(source)?;
        let canonical: Vec<String> = tokens.iter().map(|token| token.kind.to_string()).collect();
        let mut parser = parser::Parser::new(&tokens, columns);
        let typed = parser.expression()?;
        let columns = parser.finish()?;
        Ok(Self {
            node: typed.node,
            kind: typed.kind,
            canonical: canonical.join(" ").trim_end().to_owned(),
            columns,
        })
    }

    /// Returns its value for a row; the row may be the one that is being built.
    pub(crate) fn value<'a>(&'a self, rows: &'a Rows, row: usize) -> Outcome<'a> {
        self.node.value(rows, row)
    }

    /// Returns whether a condition holds for a row.
    pub(crate) fn is_true(&self, rows: &Rows, row: usize) -> bool {
        self.node.is_true(rows, row)
    }
}

// === impl Type ===

impl Type {
    /// Returns the type of a column's cells.
    pub(crate) fn of(kind: ColumnKind) -> Self {
        match kind {
            ColumnKind::String | ColumnKind::Enum | ColumnKind::Uuid => Self::Text,
            ColumnKind::Int => Self::Int,
            ColumnKind::Decimal { scale } => Self::Decimal(scale),
            ColumnKind::Float => Self::Float,
            ColumnKind::Timestamp => Self::Time,
            ColumnKind::Bool => Self::Bool,
        }
    }

    /// Returns its name in messages.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Int => "an int",
            Self::Decimal(_) => "a decimal",
            Self::Float => "a float",
            Self::Time => "a time",
            Self::Bool => "a condition",
        }
    }

    /// Returns its name in messages, with the scale of a decimal.
    pub(crate) fn describe(self) -> String {
        match self {
            Self::Decimal(scale) => format!("a decimal with {scale} digits after the point"),
            other => other.name().to_owned(),
        }
    }
}

#[cfg(test)]
mod tests;
