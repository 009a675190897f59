//! How long records are kept.

use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3_600);

const fn days(count: u64) -> Duration {
    Duration::from_secs(count * 86_400)
}

/// Marks of jobs that ended. Longer than any message waits to be delivered once more.
pub(crate) const INBOX: Duration = days(14);

/// Jobs and batches that ended.
pub(crate) const ENDED: Duration = days(7);

/// Batches that had rows which did not pass, with these rows.
pub(crate) const QUARANTINED: Duration = days(30);

/// Idempotency keys, from the end of what they stand for.
pub(crate) const KEYS: Duration = days(1);

/// Dead letters that were decided about.
pub(crate) const DECIDED: Duration = days(30);

/// Counts of operators' trials.
pub(crate) const TRIALS: Duration = days(7);

/// Suspicions against jobs that never came again.
pub(crate) const SUSPECTS: Duration = days(14);

/// The last word of workers that are gone.
pub(crate) const BEATS: Duration = HOUR;

/// Payloads of batches that were given up, for those who regret it.
pub(crate) const REGRET: Duration = days(7);
