//! The children's log lines, each with the name of its tier.

use std::fmt::Write as _;

use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader};

use crate::output;

/// A longer line is shown in pieces.
const MAX_LINE: u64 = 16 * 1024;

/// Colours of the tiers' names (ANSI), readable on light and dark ground.
const COLOURS: [u8; 4] = [36, 32, 35, 33];

/// What stands before each line of one tier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Prefix(String);

// === impl Prefix ===

impl Prefix {
    /// Makes the prefix of the tier at `position` whose name fills `width`.
    pub(crate) fn plain(name: &str, width: usize) -> Self {
        Self(format!("{name:width$} | "))
    }

    /// As [`Prefix::plain`], in a colour that the other tiers don't have.
    pub(crate) fn coloured(name: &str, width: usize, position: usize) -> Self {
        let colour = COLOURS.get(position % COLOURS.len()).unwrap_or(&39);
        Self(format!("\x1b[{colour}m{name:width$} |\x1b[0m "))
    }

    /// Returns the line as shown.
    pub(crate) fn line(&self, bytes: &[u8]) -> String {
        let text = String::from_utf8_lossy(bytes);
        let mut line = self.0.clone();
        for char in text.trim_end_matches(['\n', '\r']).chars() {
            // What a log repeats of a request must not steer the terminal.
            if char.is_control() && char != '\t' {
                // Writing to a string does not fail.
                write!(line, "{}", char.escape_default()).ok();
            } else {
                line.push(char);
            }
        }
        line
    }
}

/// Copies lines to standard error until the child closes its end.
pub(crate) async fn copy(from: impl AsyncRead + Unpin, prefix: &Prefix) {
    let mut reader = BufReader::new(from);
    let mut line = Vec::new();
    loop {
        line.clear();
        match (&mut reader).take(MAX_LINE).read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => return,
            Ok(_) => output::note(&prefix.line(&line)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_line_up() {
        assert_eq!(Prefix::plain("api-i", 8).line(b"Started.\n"), "api-i    | Started.");
        assert_eq!(
            Prefix::coloured("api-i", 8, 1).line(b"Started."),
            "\x1b[32mapi-i    |\x1b[0m Started."
        );
    }

    #[test]
    fn a_line_can_not_steer_the_terminal() {
        let line = Prefix::plain("edge", 4).line(b"path=\x1b[2J\xff\ta\r\n");
        assert_eq!(line, "edge | path=\\u{1b}[2J\u{fffd}\ta");
    }
}
