//! Places where fault tests end this process. Without the feature `test-util` they are not there.

/// The job is this worker's, and nothing is done.
pub(crate) const AFTER_CLAIM: &str = "worker::after-claim";

/// All is computed, and nothing is committed.
pub(crate) const BEFORE_COMMIT: &str = "worker::after-effect-before-commit";

/// All is committed, and the delivery is not acknowledged.
pub(crate) const AFTER_COMMIT: &str = "worker::after-commit-before-ack";

/// Ends the process here if a test has asked for it.
#[cfg(feature = "test-util")]
pub(crate) fn point(name: &'static str) {
    fail::fail_point!(name, |_| -> () { std::process::abort() });
}

/// Does nothing.
#[cfg(not(feature = "test-util"))]
pub(crate) fn point(_name: &'static str) {}
