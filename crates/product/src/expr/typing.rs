//! The checked tree, and the rules by which types meet.

use tidegate_core::clock::Timestamp;

use super::{ExprError, Type};
use crate::contract::{Column, ColumnKind};
use crate::decimal;
use crate::names::did_you_mean;
use crate::rule::Rule;

/// Largest scale that arithmetic yields.
const MAX_SCALE: u8 = 18;

/// A checked tree. Operands of one operator have one type: scales are aligned when the file is
/// checked, not when a row is.
#[derive(Clone, Debug)]
pub(super) enum Node {
    Literal(Literal),
    Column(usize),
    Not(Box<Node>),
    And(Box<Node>, Box<Node>),
    Or(Box<Node>, Box<Node>),
    Compare(Compare, Box<Node>, Box<Node>),
    In(Box<Node>, Vec<Literal>),
    IsNull(Box<Node>),
    Add(Box<Node>, Box<Node>),
    Subtract(Box<Node>, Box<Node>),
    Multiply(Box<Node>, Box<Node>),
    Lower(Box<Node>),
    Upper(Box<Node>),
    Trim(Box<Node>),
    Len(Box<Node>),
    Coalesce(Vec<Node>),
    /// Multiplies by a power of ten.
    Rescale(Box<Node>, i128),
    /// A scaled number as a float: divides by a power of ten.
    Float(Box<Node>, f64),
}

/// A literal.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Literal {
    Text(String),
    Int(i128),
    Float(f64),
    Bool(bool),
}

/// A comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compare {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// A tree, what it yields and where it began.
#[derive(Clone, Debug)]
pub(super) struct Typed {
    pub(super) node: Node,
    pub(super) kind: Type,
    pub(super) at: usize,
}

// === impl Typed ===

impl Typed {
    pub(super) fn new(node: Node, kind: Type, at: usize) -> Self {
        Self { node, kind, at }
    }

    pub(super) fn condition(self) -> Result<Self, ExprError> {
        self.of_kind(Type::Bool)
    }

    pub(super) fn of_kind(self, wanted: Type) -> Result<Self, ExprError> {
        if self.kind == wanted {
            return Ok(self);
        }
        let message = format!("this is {}; it must be {}", self.kind.name(), wanted.name());
        Err(ExprError { at: self.at, message })
    }

    pub(super) fn sum_with(
        self,
        right: Self,
        build: fn(Box<Node>, Box<Node>) -> Node,
    ) -> Result<Self, ExprError> {
        let at = self.at;
        let (left, right, kind) = numbers(self, right)?;
        Ok(Self::new(build(Box::new(left), Box::new(right)), kind, at))
    }

    pub(super) fn product_with(self, right: Self) -> Result<Self, ExprError> {
        let at = self.at;
        if let (Some(a), Some(b)) = (scale(self.kind), scale(right.kind)) {
            if a + b > MAX_SCALE {
                let digits = a + b;
                let message = format!(
                    "the product has {digits} digits after the point; most are {MAX_SCALE}"
                );
                return Err(ExprError { at, message });
            }
            let kind = if a + b == 0 { Type::Int } else { Type::Decimal(a + b) };
            let node = Node::Multiply(Box::new(self.node), Box::new(right.node));
            return Ok(Self::new(node, kind, at));
        }
        let (left, right, kind) = numbers(self, right)?;
        Ok(Self::new(Node::Multiply(Box::new(left), Box::new(right)), kind, at))
    }

    pub(super) fn negated(self, at: usize) -> Result<Self, ExprError> {
        let node = match (self.kind, self.node) {
            (Type::Int | Type::Decimal(_), Node::Literal(Literal::Int(number))) => {
                Node::Literal(Literal::Int(-number))
            }
            (Type::Int | Type::Decimal(_), node) => {
                Node::Subtract(Box::new(Node::Literal(Literal::Int(0))), Box::new(node))
            }
            (Type::Float, node) => {
                Node::Subtract(Box::new(Node::Literal(Literal::Float(0.0))), Box::new(node))
            }
            (kind, _) => {
                let message = format!("this is {}; only numbers can be negative", kind.name());
                return Err(ExprError { at: self.at, message });
            }
        };
        Ok(Self::new(node, self.kind, at))
    }
}

/// Reads a number literal.
pub(super) fn number(text: &str, at: usize) -> Result<Typed, ExprError> {
    let digits = text.split_once('.').map_or(0, |(_, fraction)| fraction.len());
    let scale = u8::try_from(digits).ok().filter(|scale| *scale <= MAX_SCALE);
    let parsed = scale.and_then(|scale| Some((scale, decimal::parse(text, scale).ok()?)));
    let Some((scale, value)) = parsed else {
        let message = format!("'{text}' is not a number with at most {MAX_SCALE} digits");
        return Err(ExprError { at, message });
    };
    let kind = if scale == 0 { Type::Int } else { Type::Decimal(scale) };
    Ok(Typed::new(Node::Literal(Literal::Int(i128::from(value))), kind, at))
}

/// Compares two operands of types that can be compared.
pub(super) fn compare(
    operator: Compare,
    left: Typed,
    right: Typed,
    columns: &[Column],
) -> Result<Typed, ExprError> {
    let at = left.at;
    check_word(&left, &right, columns)?;
    check_word(&right, &left, columns)?;
    let ordered = !matches!(operator, Compare::Equal | Compare::NotEqual);
    if left.kind == Type::Bool && ordered {
        let message = "conditions have no order; write '==' or '!='".to_owned();
        return Err(ExprError { at, message });
    }
    let (left, right) = comparable(left, right)?;
    Ok(Typed::new(Node::Compare(operator, Box::new(left), Box::new(right)), Type::Bool, at))
}

/// Tests for one of a list of literals.
pub(super) fn is_in(left: Typed, list: Vec<Typed>, columns: &[Column]) -> Result<Typed, ExprError> {
    let at = left.at;
    // Aligning scales may widen the left side, so that every literal is compared on its own.
    let tests = list.into_iter().map(|item| compare(Compare::Equal, left.clone(), item, columns));
    let tests = tests.collect::<Result<Vec<Typed>, ExprError>>()?;
    let literals: Option<Vec<Literal>> = tests
        .iter()
        .map(|test| match &test.node {
            Node::Compare(_, operand, literal) => match (operand.as_ref(), literal.as_ref()) {
                (Node::Rescale(..) | Node::Float(..), _) => None,
                (_, Node::Literal(literal)) => Some(literal.clone()),
                _ => None,
            },
            _ => None,
        })
        .collect();
    let node = match literals {
        Some(literals) => Node::In(Box::new(left.node), literals),
        None => any(tests.into_iter().map(|test| test.node).collect()),
    };
    Ok(Typed::new(node, Type::Bool, at))
}

/// Brings all arguments of `coalesce` to one type.
pub(super) fn coalesce(arguments: Vec<Typed>, at: usize) -> Result<Typed, ExprError> {
    let scales: Option<Vec<u8>> = arguments.iter().map(|argument| scale(argument.kind)).collect();
    if let Some(scales) = scales {
        let wide = scales.iter().copied().max().unwrap_or(0);
        let kind = if wide == 0 { Type::Int } else { Type::Decimal(wide) };
        let pairs = arguments.into_iter().zip(scales);
        let nodes = pairs.map(|(argument, narrow)| rescale(argument.node, wide - narrow)).collect();
        return Ok(Typed::new(Node::Coalesce(nodes), kind, at));
    }
    let kind = arguments.first().map_or(Type::Bool, |first| first.kind);
    let nodes = arguments
        .into_iter()
        .map(|argument| argument.of_kind(kind).map(|argument| argument.node))
        .collect::<Result<Vec<Node>, ExprError>>()?;
    Ok(Typed::new(Node::Coalesce(nodes), kind, at))
}

/// A balanced tree of alternatives: its depth grows with the logarithm of their number.
fn any(mut tests: Vec<Node>) -> Node {
    if tests.len() <= 1 {
        return tests.pop().unwrap_or(Node::Literal(Literal::Bool(false)));
    }
    let half = tests.split_off(tests.len() / 2);
    Node::Or(Box::new(any(tests)), Box::new(any(half)))
}

/// Brings both sides to one type.
fn comparable(left: Typed, right: Typed) -> Result<(Node, Node), ExprError> {
    match (left.kind, right.kind) {
        (a, b) if a == b => Ok((left.node, right.node)),
        (Type::Time, Type::Text) => Ok((left.node, time(right)?)),
        (Type::Text, Type::Time) => Ok((time(left)?, right.node)),
        _ => numbers(left, right).map(|(left, right, _)| (left, right)),
    }
}

/// Brings both numbers to one scale, or both to floats.
fn numbers(left: Typed, right: Typed) -> Result<(Node, Node, Type), ExprError> {
    match (scale(left.kind), scale(right.kind), left.kind, right.kind) {
        (Some(a), Some(b), ..) => {
            let wide = a.max(b);
            let kind = if wide == 0 { Type::Int } else { Type::Decimal(wide) };
            Ok((rescale(left.node, wide - a), rescale(right.node, wide - b), kind))
        }
        (None, None, Type::Float, Type::Float) => Ok((left.node, right.node, Type::Float)),
        (Some(a), None, _, Type::Float) => Ok((float(left.node, a), right.node, Type::Float)),
        (None, Some(b), Type::Float, _) => Ok((left.node, float(right.node, b), Type::Float)),
        _ => {
            let (a, b) = (left.kind.name(), right.kind.name());
            let message = format!("{a} and {b} don't go together");
            Err(ExprError { at: right.at, message })
        }
    }
}

fn scale(kind: Type) -> Option<u8> {
    match kind {
        Type::Int => Some(0),
        Type::Decimal(scale) => Some(scale),
        Type::Text | Type::Float | Type::Time | Type::Bool => None,
    }
}

fn rescale(node: Node, digits: u8) -> Node {
    let factor = 10i128.pow(u32::from(digits));
    match node {
        node if digits == 0 => node,
        Node::Literal(Literal::Int(number)) => {
            // A literal has 18 digits at most and the scale is 18 at most: it fits.
            Node::Literal(Literal::Int(number.saturating_mul(factor)))
        }
        node => Node::Rescale(Box::new(node), factor),
    }
}

fn float(node: Node, scale: u8) -> Node {
    Node::Float(Box::new(node), 10f64.powi(i32::from(scale)))
}

fn time(typed: Typed) -> Result<Node, ExprError> {
    let at = match &typed.node {
        Node::Literal(Literal::Text(text)) => Timestamp::parse_rfc3339(text),
        _ => None,
    };
    at.map(|at| Node::Literal(Literal::Int(i128::from(at.0)))).ok_or_else(|| ExprError {
        at: typed.at,
        message: "a time is compared with a time such as '2026-01-01T00:00:00Z'".to_owned(),
    })
}

/// Refuses a word that an enum column can't hold: the comparison would never be true.
fn check_word(side: &Typed, other: &Typed, columns: &[Column]) -> Result<(), ExprError> {
    let (Node::Column(column), Node::Literal(Literal::Text(word))) = (&side.node, &other.node)
    else {
        return Ok(());
    };
    let column = &columns[*column];
    let Rule::Enum { values } = &column.rule else { return Ok(()) };
    debug_assert_eq!(column.kind, ColumnKind::Enum, "the rule must be the kind's");
    if values.contains(word) {
        return Ok(());
    }
    let suggestion = did_you_mean(word, values.iter().map(String::as_str));
    let name = &column.name;
    Err(ExprError { at: other.at, message: format!("'{word}' is no value of {name}{suggestion}") })
}
