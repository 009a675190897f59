//! Telling a person what goes on. Standard error belongs to the logs of what breaks.

use std::io::Write as _;

/// Writes a line.
pub(crate) fn say(line: &str) {
    // Nothing is left to do when standard output itself is closed.
    writeln!(std::io::stdout().lock(), "{line}").ok();
}
