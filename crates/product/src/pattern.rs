//! Patterns of string columns: regular expressions, and a table for the simple ones.

use std::fmt;

use regex::{Regex, RegexBuilder};

/// Longest pattern; it is part of the message for every row that does not match.
const MAX_SOURCE_BYTES: usize = 512;

/// Most memory of one compiled expression.
const MAX_COMPILED_BYTES: usize = 1 << 20;

/// A checked pattern.
#[derive(Clone)]
pub(crate) struct Pattern {
    /// As it was declared.
    pub(crate) source: String,
    matcher: Matcher,
}

#[derive(Clone)]
enum Matcher {
    /// `^[…]+$` or `^[…]*$` of ASCII characters: one look-up a byte.
    Class { allowed: Box<[bool; 256]>, least: usize },
    /// Anything else.
    Regex(Regex),
}

// === impl Pattern ===

impl Pattern {
    /// Compiles a pattern; the error says what is wrong.
    pub(crate) fn parse(source: &str) -> Result<Self, String> {
        if source.len() > MAX_SOURCE_BYTES {
            return Err(format!("it is longer than {MAX_SOURCE_BYTES} bytes"));
        }
        // The expression is compiled in any case: its syntax decides, the table is only faster.
        let regex = RegexBuilder::new(source).size_limit(MAX_COMPILED_BYTES).build();
        let regex = regex.map_err(|error| {
            let text = error.to_string();
            let last = text.lines().last().unwrap_or("not a regular expression");
            last.trim_start_matches("error: ").to_owned()
        })?;
        let matcher = class(source).unwrap_or(Matcher::Regex(regex));
        Ok(Self { source: source.to_owned(), matcher })
    }

    /// Returns whether a text matches; as in any regular expression, `^` and `$` are the author's.
    pub(crate) fn matches(&self, text: &str) -> bool {
        match &self.matcher {
            Matcher::Class { allowed, least } => {
                text.len() >= *least && text.bytes().all(|byte| allowed[usize::from(byte)])
            }
            Matcher::Regex(regex) => regex.is_match(text),
        }
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pattern({})", self.source)
    }
}

/// Reads `^[…]+$` and `^[…]*$` where the class has only ASCII letters, digits, `_`, ranges of
/// these, and a hyphen at its end.
fn class(source: &str) -> Option<Matcher> {
    let inner = source.strip_prefix("^[")?;
    let (inner, least) = match inner.strip_suffix("]+$") {
        Some(inner) => (inner, 1),
        None => (inner.strip_suffix("]*$")?, 0),
    };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let mut allowed = Box::new([false; 256]);
    let mut rest = inner.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        rest = match tail {
            _ if *first == b'-' && tail.is_empty() && inner.len() > 1 => {
                allowed[usize::from(b'-')] = true;
                tail
            }
            [b'-', last, tail @ ..] if plain(*first) && plain(*last) && first <= last => {
                for byte in *first..=*last {
                    allowed[usize::from(byte)] = true;
                }
                tail
            }
            _ if plain(*first) => {
                allowed[usize::from(*first)] = true;
                tail
            }
            _ => return None,
        };
    }
    (!inner.is_empty()).then_some(Matcher::Class { allowed, least })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert_eq, proptest};

    use super::*;

    proptest! {
        #[test]
        fn the_table_agrees_with_the_expression(
            class in "[a-zA-Z0-9_]([a-zA-Z0-9_-]{0,4})",
            star in "[+*]",
            text in "[ -~é\n]{0,6}",
        ) {
            let source = format!("^[{class}]{star}$");
            if let Ok(pattern) = Pattern::parse(&source) {
                let regex = Regex::new(&source).unwrap();
                prop_assert_eq!(pattern.matches(&text), regex.is_match(&text), "{}", source);
            }
        }
    }

    #[test]
    fn simple_classes_become_tables() {
        let is_table =
            |source: &str| matches!(Pattern::parse(source).unwrap().matcher, Matcher::Class { .. });
        assert!(is_table("^[A-Za-z0-9_-]+$"));
        assert!(!is_table("^[^a]+$"));
        assert!(!is_table("^[a]b+$"));
        assert!(!is_table("^[a-z.]+$"));
    }

    #[test]
    fn a_broken_pattern_says_what_is_wrong() {
        assert_eq!(Pattern::parse("^[a-z+$").unwrap_err(), "unclosed character class");
        assert!(Pattern::parse(r"^\d{3}$").unwrap().matches("123"));
    }
}
