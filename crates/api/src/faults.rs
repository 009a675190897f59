//! Places where fault tests end this process. Without the feature `test-util` they are not there.

/// Rows or jobs are committed, with their lines in the outbox, and the client has no answer.
pub(crate) const AFTER_OUTBOX_INSERT: &str = "api::after-outbox-insert";

/// Ends the process here if a test has asked for it.
#[cfg(feature = "test-util")]
pub(crate) fn point(name: &'static str) {
    fail::fail_point!(name, |_| -> () { std::process::abort() });
}

/// Does nothing.
#[cfg(not(feature = "test-util"))]
pub(crate) fn point(_name: &'static str) {}
