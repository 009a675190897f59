//! What exchanges, queues and routing keys are called: docs/MESSAGES.md is the list for people.

use lapin::types::ShortString;
use tidegate_core::job::{Job, Lane};
use xxhash_rust::xxh3::xxh3_64;

use super::rung::Rung;
use crate::QueueError;

/// Raised when an argument of a queue changes: the old and the new one then live side by side.
const VERSION: &str = "v1";

/// Most bytes of a prefix. Names hold at most 255.
pub(super) const MAX_PREFIX: usize = 64;

/// Names below one prefix. Deployments that share a virtual host have different ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Names {
    prefix: String,
}

// === impl Names ===

impl Names {
    pub(super) fn new(prefix: String) -> Self {
        Self { prefix }
    }

    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Where jobs for stable workers are published.
    pub(super) fn jobs(&self) -> ShortString {
        self.name("jobs")
    }

    /// Where jobs for a canary's workers are published; what no canary takes goes on to `jobs`.
    pub(super) fn canary_jobs(&self) -> ShortString {
        self.name("jobs.canary")
    }

    /// Where jobs are published that shall come again later.
    pub(super) fn retry(&self) -> ShortString {
        self.name("jobs.retry")
    }

    /// Where the broker publishes what has waited long enough.
    pub(super) fn due(&self) -> ShortString {
        self.name("jobs.due")
    }

    /// Where jobs are published that failed for good.
    pub(super) fn dead(&self) -> ShortString {
        self.name("jobs.dead")
    }

    /// Where the broker publishes what it found no queue for.
    pub(super) fn unrouted(&self) -> ShortString {
        self.name("jobs.unrouted")
    }

    /// Where notices are published.
    pub(super) fn notices(&self) -> ShortString {
        self.name("notices")
    }

    pub(super) fn lane_queue(&self, lane: Lane) -> ShortString {
        self.name(&format!("q.{lane}.{VERSION}"))
    }

    pub(super) fn canary_queue(&self, lane: Lane, release: &str) -> ShortString {
        self.name(&format!("q.{lane}.canary.{}.{VERSION}", digest(release)))
    }

    pub(super) fn rung_queue(&self, lane: Lane, rung: Rung) -> ShortString {
        self.name(&format!("q.{lane}.retry.{rung}.{VERSION}"))
    }

    pub(super) fn dead_queue(&self) -> ShortString {
        self.name(&format!("q.dlq.{VERSION}"))
    }

    pub(super) fn unrouted_queue(&self) -> ShortString {
        self.name(&format!("q.unrouted.{VERSION}"))
    }

    fn name(&self, rest: &str) -> ShortString {
        // Prefixes are short, and so is the rest.
        format!("{}.{rest}", self.prefix).into()
    }
}

/// Returns the binding that takes all jobs of a lane.
pub(super) fn lane_binding(lane: Lane) -> ShortString {
    format!("{lane}.#").into()
}

/// Returns the binding that takes a lane's jobs of one canary.
pub(super) fn canary_binding(lane: Lane, release: &str) -> ShortString {
    format!("{lane}.#.{}", digest(release)).into()
}

/// Returns the key of jobs that come again to a lane.
pub(super) fn due_key(lane: Lane) -> ShortString {
    format!("{lane}.retry").into()
}

/// Returns the key of jobs that wait on a rung for a lane.
pub(super) fn rung_key(lane: Lane, rung: Rung) -> ShortString {
    format!("{lane}.{rung}").into()
}

/// Returns the key that a job is published with.
pub(super) fn job_key(job: &Job) -> Result<ShortString, QueueError> {
    let Job { lane, kind, .. } = job;
    let key = match job.canary() {
        Some(release) => format!("{lane}.{kind}.{}", digest(release)),
        None => format!("{lane}.{kind}"),
    };
    ShortString::try_new(key).map_err(|_| QueueError::TooLarge { job: job.id, bytes: kind.len() })
}

/// A release's name may be long and hold any character.
fn digest(release: &str) -> String {
    format!("{:016x}", xxh3_64(release.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::job;

    #[test]
    fn a_canary_s_key_fits_its_own_binding_and_that_of_the_stable_lane() {
        let mut job = job(Lane::High, 0);
        assert_eq!(job_key(&job).unwrap().as_str(), "high.ingest");
        job.arm = tidegate_core::job::Arm::Canary;
        job.release = Some("air@sha256:1".to_owned());
        let key = job_key(&job).unwrap();
        let binding = canary_binding(Lane::High, "air@sha256:1");
        let (first, last) = binding.as_str().split_once(".#.").unwrap();
        assert!(key.as_str().starts_with(first) && key.as_str().ends_with(last));
        assert_eq!(key.as_str().split('.').count(), 3);
    }

    #[test]
    fn a_kind_too_long_for_a_key_is_refused() {
        let mut job = job(Lane::High, 0);
        job.kind = "k".repeat(300);
        assert!(matches!(job_key(&job), Err(QueueError::TooLarge { .. })));
    }
}
