//! Tokens to a checked tree, by recursive descent of bounded depth.

use super::lexer::{Kind, Token};
use super::typing::{Compare, Literal, Node, Typed, coalesce, compare, is_in, number};
use super::{ExprError, Type};
use crate::contract::Column;
use crate::names::did_you_mean;

/// Deepest nesting.
const MAX_DEPTH: usize = 32;

/// Words that are no columns.
pub(crate) const WORDS: [&str; 6] = ["in", "is", "not", "null", "true", "false"];

const FUNCTIONS: [&str; 5] = ["lower", "upper", "trim", "len", "coalesce"];

/// Reads tokens from left to right.
pub(super) struct Parser<'a> {
    tokens: &'a [Token<'a>],
    next: usize,
    depth: usize,
    columns: &'a [Column],
    used: Vec<usize>,
}

impl<'a> Parser<'a> {
    pub(super) fn new(tokens: &'a [Token<'a>], columns: &'a [Column]) -> Self {
        Self { tokens, next: 0, depth: 0, columns, used: Vec::new() }
    }

    /// Parses alternatives of conditions, or anything that binds tighter.
    pub(super) fn expression(&mut self) -> Result<Typed, ExprError> {
        let at = self.at();
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            let message = format!("the expression is nested deeper than {MAX_DEPTH}");
            return Err(ExprError { at, message });
        }
        let mut left = self.conjunction()?;
        while self.accept("||") {
            let right = self.conjunction()?.condition()?;
            let left_node = Box::new(left.condition()?.node);
            left = Typed::new(Node::Or(left_node, Box::new(right.node)), Type::Bool, at);
        }
        self.depth -= 1;
        Ok(left)
    }

    /// Checks that nothing is left, and returns the columns that were read.
    pub(super) fn finish(mut self) -> Result<Vec<usize>, ExprError> {
        if self.peek() != &Kind::End {
            return Err(self.error("an operator or the end of the expression"));
        }
        self.used.sort_unstable();
        self.used.dedup();
        Ok(self.used)
    }

    fn conjunction(&mut self) -> Result<Typed, ExprError> {
        let at = self.at();
        let mut left = self.comparison()?;
        while self.accept("&&") {
            let right = self.comparison()?.condition()?;
            let left_node = Box::new(left.condition()?.node);
            left = Typed::new(Node::And(left_node, Box::new(right.node)), Type::Bool, at);
        }
        Ok(left)
    }

    fn comparison(&mut self) -> Result<Typed, ExprError> {
        let at = self.at();
        let left = self.sum()?;
        let operator = match self.peek() {
            Kind::Symbol("==") => Compare::Equal,
            Kind::Symbol("!=") => Compare::NotEqual,
            Kind::Symbol("<") => Compare::Less,
            Kind::Symbol("<=") => Compare::LessOrEqual,
            Kind::Symbol(">") => Compare::Greater,
            Kind::Symbol(">=") => Compare::GreaterOrEqual,
            Kind::Word("in") => return self.one_of(left),
            Kind::Word("is") => return self.is_null(left, at),
            _ => return Ok(left),
        };
        self.next += 1;
        let right = self.sum()?;
        compare(operator, left, right, self.columns)
    }

    fn one_of(&mut self, left: Typed) -> Result<Typed, ExprError> {
        self.next += 1;
        self.expect("(")?;
        let mut list = Vec::new();
        loop {
            let item = self.unary()?;
            if !matches!(item.node, Node::Literal(_)) {
                let message = "only literals may stand in a list".to_owned();
                return Err(ExprError { at: item.at, message });
            }
            list.push(item);
            if !self.accept(",") {
                break;
            }
        }
        self.expect(")")?;
        is_in(left, list, self.columns)
    }

    fn is_null(&mut self, left: Typed, at: usize) -> Result<Typed, ExprError> {
        self.next += 1;
        let negated = self.accept_word("not");
        if !self.accept_word("null") {
            return Err(self.error("'null' or 'not null' after 'is'"));
        }
        let test = Node::IsNull(Box::new(left.node));
        let node = if negated { Node::Not(Box::new(test)) } else { test };
        Ok(Typed::new(node, Type::Bool, at))
    }

    fn sum(&mut self) -> Result<Typed, ExprError> {
        let mut left = self.product()?;
        loop {
            let build = match self.peek() {
                Kind::Symbol("+") => Node::Add,
                Kind::Symbol("-") => Node::Subtract,
                _ => return Ok(left),
            };
            self.next += 1;
            let right = self.product()?;
            left = left.sum_with(right, build)?;
        }
    }

    fn product(&mut self) -> Result<Typed, ExprError> {
        let mut left = self.unary()?;
        while self.accept("*") {
            let right = self.unary()?;
            left = left.product_with(right)?;
        }
        Ok(left)
    }

    fn unary(&mut self) -> Result<Typed, ExprError> {
        let at = self.at();
        let mut not = 0usize;
        while self.accept("!") {
            not += 1;
        }
        let negative = not == 0 && self.accept("-");
        let operand = self.primary()?;
        if negative {
            return operand.negated(at);
        }
        if not == 0 {
            return Ok(operand);
        }
        let condition = operand.condition()?;
        // Two negations are none: the tree stays flat however many are written.
        Ok(if not.is_multiple_of(2) {
            condition
        } else {
            Typed::new(Node::Not(Box::new(condition.node)), Type::Bool, at)
        })
    }

    fn primary(&mut self) -> Result<Typed, ExprError> {
        let at = self.at();
        let token = self.peek().clone();
        self.next += 1;
        match token {
            Kind::Symbol("(") => {
                let inner = self.expression()?;
                self.expect(")")?;
                Ok(inner)
            }
            Kind::Number(text) => number(text, at),
            Kind::Text(text) => Ok(Typed::new(Node::Literal(Literal::Text(text)), Type::Text, at)),
            Kind::Word(word @ ("true" | "false")) => {
                let node = Node::Literal(Literal::Bool(word == "true"));
                Ok(Typed::new(node, Type::Bool, at))
            }
            Kind::Word(word) if self.peek() == &Kind::Symbol("(") => self.call(word, at),
            Kind::Word(word) if !WORDS.contains(&word) => self.column(word, at),
            Kind::Word(_) | Kind::Symbol(_) | Kind::End => {
                self.next -= 1;
                Err(self.error("a column, a literal or '('"))
            }
        }
    }

    fn column(&mut self, name: &str, at: usize) -> Result<Typed, ExprError> {
        let Some(position) = self.columns.iter().position(|column| column.name == name) else {
            let known = self.columns.iter().map(|column| column.name.as_str());
            let message = format!("there is no column '{name}'{}", did_you_mean(name, known));
            return Err(ExprError { at, message });
        };
        self.used.push(position);
        let kind = Type::of(self.columns[position].kind);
        Ok(Typed::new(Node::Column(position), kind, at))
    }

    fn call(&mut self, name: &str, at: usize) -> Result<Typed, ExprError> {
        if !FUNCTIONS.contains(&name) {
            let suggestion = did_you_mean(name, FUNCTIONS);
            let known = FUNCTIONS.join(", ");
            let message = format!("there is no function '{name}'{suggestion}; known are {known}");
            return Err(ExprError { at, message });
        }
        self.expect("(")?;
        let mut arguments = vec![self.expression()?];
        while self.accept(",") {
            arguments.push(self.expression()?);
        }
        self.expect(")")?;
        if name == "coalesce" {
            return coalesce(arguments, at);
        }
        let count = arguments.len();
        match (arguments.pop(), count) {
            (Some(argument), 1) => {
                let operand = Box::new(argument.of_kind(Type::Text)?.node);
                Ok(match name {
                    "lower" => Typed::new(Node::Lower(operand), Type::Text, at),
                    "upper" => Typed::new(Node::Upper(operand), Type::Text, at),
                    "trim" => Typed::new(Node::Trim(operand), Type::Text, at),
                    _ => Typed::new(Node::Len(operand), Type::Int, at),
                })
            }
            _ => Err(ExprError { at, message: format!("{name}() takes one argument") }),
        }
    }

    fn peek(&self) -> &'a Kind<'a> {
        self.tokens.get(self.next).map_or(&Kind::End, |token| &token.kind)
    }

    fn at(&self) -> usize {
        self.tokens.get(self.next).or(self.tokens.last()).map_or(0, |token| token.at)
    }

    fn accept(&mut self, symbol: &str) -> bool {
        let found = matches!(self.peek(), Kind::Symbol(next) if *next == symbol);
        self.next += usize::from(found);
        found
    }

    fn accept_word(&mut self, word: &str) -> bool {
        let found = matches!(self.peek(), Kind::Word(next) if *next == word);
        self.next += usize::from(found);
        found
    }

    fn expect(&mut self, symbol: &str) -> Result<(), ExprError> {
        if self.accept(symbol) { Ok(()) } else { Err(self.error(&format!("'{symbol}'"))) }
    }

    fn error(&mut self, wanted: &str) -> ExprError {
        let found = match self.peek() {
            Kind::End => "the end".to_owned(),
            token => format!("'{token}'").replace("''", "'"),
        };
        ExprError { at: self.at(), message: format!("expected {wanted}, found {found}") }
    }
}
