//! Source text to tokens.

use std::fmt;

use super::ExprError;

/// Most tokens of one expression.
const MAX_TOKENS: usize = 512;

/// One token and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token<'a> {
    /// First byte in the source.
    pub(super) at: usize,
    /// What it is.
    pub(super) kind: Kind<'a>,
}

/// What a token is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind<'a> {
    /// A column, function or word such as `in`.
    Word(&'a str),
    /// Quoted text, quotes undone.
    Text(String),
    /// Digits, perhaps with a point.
    Number(&'a str),
    /// An operator, parenthesis or comma.
    Symbol(&'static str),
    /// After the last token.
    End,
}

/// Longer symbols first: `<=` is not `<`.
const SYMBOLS: [&str; 15] =
    ["==", "!=", "<=", ">=", "&&", "||", "<", ">", "!", "+", "-", "*", "(", ")", ","];

/// Splits a source into tokens; the last one is [`Kind::End`].
pub(super) fn tokens(source: &str) -> Result<Vec<Token<'_>>, ExprError> {
    let mut tokens = Vec::new();
    let mut rest = source;
    loop {
        rest = rest.trim_start();
        let at = source.len() - rest.len();
        if tokens.len() > MAX_TOKENS {
            let message = format!("the expression has more than {MAX_TOKENS} words and symbols");
            return Err(ExprError { at, message });
        }
        if rest.is_empty() {
            tokens.push(Token { at, kind: Kind::End });
            return Ok(tokens);
        }
        let (kind, len) = token(rest).map_err(|message| ExprError { at, message })?;
        tokens.push(Token { at, kind });
        rest = rest.get(len..).unwrap_or("");
    }
}

/// Reads one token and its length from the beginning of a text that is not empty.
fn token(rest: &str) -> Result<(Kind<'_>, usize), String> {
    let run = |wanted: fn(u8) -> bool| rest.bytes().take_while(|byte| wanted(*byte)).count();
    let first = rest.as_bytes().first().copied().unwrap_or(0);
    if first == b'\'' {
        return quoted(rest);
    }
    if first.is_ascii_alphabetic() || first == b'_' {
        let len = run(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        return Ok((Kind::Word(rest.get(..len).unwrap_or("")), len));
    }
    if first.is_ascii_digit() {
        let len = run(|byte| byte.is_ascii_digit() || byte == b'.');
        return Ok((Kind::Number(rest.get(..len).unwrap_or("")), len));
    }
    match SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol)) {
        Some(symbol) => Ok((Kind::Symbol(symbol), symbol.len())),
        None => Err(match first {
            b'=' => "'=' is not an operator; write '=='".to_owned(),
            b'&' => "'&' is not an operator; write '&&'".to_owned(),
            b'|' => "'|' is not an operator; write '||'".to_owned(),
            b'"' => "text is written in single quotes".to_owned(),
            b'/' | b'%' => "there is no division; compare with a product instead".to_owned(),
            _ => {
                let found = rest.chars().next().unwrap_or(' ');
                format!("'{}' is no part of an expression", found.escape_debug())
            }
        }),
    }
}

fn quoted(rest: &str) -> Result<(Kind<'_>, usize), String> {
    let mut text = String::new();
    let mut chars = rest.char_indices().skip(1).peekable();
    while let Some((at, char)) = chars.next() {
        if char != '\'' {
            text.push(char);
        } else if chars.next_if(|(_, next)| *next == '\'').is_some() {
            text.push('\'');
        } else {
            return Ok((Kind::Text(text), at + 1));
        }
    }
    Err("the text has no closing quote".to_owned())
}

impl fmt::Display for Kind<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Word(text) | Self::Number(text) => f.write_str(text),
            Self::Text(text) => write!(f, "'{}'", text.replace('\'', "''")),
            Self::Symbol(symbol) => f.write_str(symbol),
            Self::End => Ok(()),
        }
    }
}
