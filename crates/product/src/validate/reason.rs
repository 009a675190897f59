//! Why a row did not pass: stable codes, and words that say what would be right.

use crate::rows::RowError;

/// One reason, before it is known where it belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reason {
    code: &'static str,
    message: String,
}

/// Most words of an enum that a message lists.
const MAX_WORDS: usize = 20;

/// Longest name of a client's field in a message.
const MAX_NAME_CHARS: usize = 64;

// === impl Reason ===

impl Reason {
    pub(super) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    pub(super) fn syntax(message: String) -> Self {
        Self::new("syntax", message)
    }

    pub(super) fn wrong_type(wanted: &str, found: &str) -> Self {
        Self::new("wrong_type", format!("must be {wanted}, not {found}"))
    }

    pub(super) fn too_long(len: usize, max: usize) -> Self {
        Self::new("too_long", format!("is {len} bytes long; at most {max} are allowed"))
    }

    pub(super) fn not_in_enum(values: &[String]) -> Self {
        let shown: Vec<&str> = values.iter().take(MAX_WORDS).map(String::as_str).collect();
        let more = if values.len() > MAX_WORDS { ", …" } else { "" };
        Self::new("not_in_enum", format!("must be one of {}{more}", shown.join(", ")))
    }

    pub(super) fn out_of_range(min: impl std::fmt::Display, max: impl std::fmt::Display) -> Self {
        Self::new("out_of_range", format!("must be from {min} to {max}"))
    }

    pub(super) fn missing() -> Self {
        Self::new("missing", "is required")
    }

    pub(super) fn null() -> Self {
        Self::new("null", "must not be null")
    }

    /// Attaches the reason to a field.
    pub(super) fn at(self, field: &str) -> RowError {
        let shown: String = field.chars().take(MAX_NAME_CHARS).collect();
        // RFC 6901 section 3.
        let pointer = format!("/{}", shown.replace('~', "~0").replace('/', "~1"));
        RowError { pointer, code: self.code.to_owned(), message: self.message }
    }

    /// Attaches the reason to the row.
    pub(super) fn at_row(self) -> RowError {
        RowError { pointer: String::new(), code: self.code.to_owned(), message: self.message }
    }
}

/// Returns a JSON error's text without its position, which counts from the row's beginning.
pub(super) fn without_position(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(" at line ").map_or(text.as_str(), |(cause, _)| cause).to_owned()
}
