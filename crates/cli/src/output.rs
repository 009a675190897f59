//! The one place that writes to standard output and standard error.

use std::io::{self, IsTerminal as _, Write as _};

use serde::Serialize;
use serde_json::json;

use crate::failure::Failure;

/// For whom a command writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// A person: text.
    Text,
    /// A program: one JSON object a line.
    Json,
}

// === impl Output ===

impl Output {
    /// Chooses by the `--json` flag.
    pub fn new(json: bool) -> Self {
        if json { Self::Json } else { Self::Text }
    }

    /// Writes the result of a command: `text` for a person, `value` for a program.
    ///
    /// # Errors
    /// Standard output is closed.
    pub fn result(self, text: &str, value: &impl Serialize) -> io::Result<()> {
        match self {
            Self::Text => line(text),
            Self::Json => line(&serde_json::to_string(value)?),
        }
    }

    /// Writes how a command failed, the causes after the message.
    pub fn failure(self, failure: &Failure) {
        let message = format!("{:#}", failure.error);
        match self {
            Self::Text => note(&format!("tidegate: {message}")),
            Self::Json => note(&json!({ "event": "failed", "message": message }).to_string()),
        }
    }

    /// Writes the program's version.
    pub(crate) fn version(self) -> Result<(), Failure> {
        let version = env!("CARGO_PKG_VERSION");
        self.result(&format!("tidegate {version}"), &json!({ "version": version }))?;
        Ok(())
    }
}

/// Writes a line to standard output.
///
/// # Errors
/// Standard output is closed.
pub fn line(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{text}")?;
    // Buffered when it is a pipe, and a reader may wait for this line.
    stdout.flush()
}

/// Writes a line for a person to standard error.
pub fn note(line: &str) {
    // Nothing is left to do when standard error itself is closed.
    writeln!(io::stderr().lock(), "{line}").ok();
}

/// Returns whether a person reads standard error on a terminal.
pub fn stderr_is_terminal() -> bool {
    io::stderr().is_terminal()
}
