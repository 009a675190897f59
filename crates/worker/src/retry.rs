//! Whether a failed job comes again, and when.

use std::time::Duration;

use tidegate_core::backoff::Backoff;
use tokio::time::Instant;

/// Retries for each finished job: more, and the retries of a fault would outnumber the work.
const RATIO: f64 = 0.2;

/// Retries a second that are always allowed, so that a kind with little work recovers.
const FLOOR: f64 = 1.0;

/// Retries saved up at most, and at the start.
const SAVED: f64 = 50.0;

/// Longest wait for what every job needs: short, since it costs one look at each waiting job.
const AWAY: Duration = Duration::from_secs(5);

/// When and how often a failed job comes again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RetryPolicy {
    /// Attempts in all; `None`: it is tried without end.
    pub(crate) max_attempts: Option<u32>,
    /// Full jitter below a bound that doubles.
    pub(crate) backoff: Backoff,
}

/// Whether trying again may help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// What every job needs is away: this one is not to blame, and is as good as not begun.
    Away,
    /// It may go better another time.
    Transient,
    /// The same job fails again.
    Permanent,
    /// It is no job of its kind at all.
    Malformed,
}

/// What is to happen to a failed job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// It comes again after this wait.
    Retry(Duration),
    /// It comes again after this wait, and nothing is held against it.
    Defer(Duration),
    /// It can't be helped by trying again.
    GiveUp,
    /// It was tried as often as it may be.
    Exhausted,
}

/// How many retries a kind may still cost now: a token bucket filled by finished jobs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    tokens: f64,
    filled_at: Instant,
}

// === impl RetryPolicy ===

impl RetryPolicy {
    /// Of what is not known: tried once.
    pub(crate) const NONE: Self = Self {
        max_attempts: Some(1),
        backoff: Backoff { base: Duration::ZERO, cap: Duration::ZERO },
    };

    /// Returns what happens after a failure that `attempt` others came before. `within_budget`
    /// tells whether the kind may afford a quick retry; `draw` is uniform in `[0, 1)`.
    pub(crate) fn after(&self, attempt: u32, class: Class, within_budget: bool, draw: f64) -> Next {
        match class {
            Class::Permanent | Class::Malformed => Next::GiveUp,
            Class::Away => Next::Defer(AWAY.mul_f64(0.5 + draw.clamp(0.0, 1.0) / 2.0)),
            Class::Transient => {
                let made = attempt.saturating_add(1);
                if self.max_attempts.is_some_and(|most| made >= most) {
                    Next::Exhausted
                } else if within_budget {
                    Next::Retry(self.backoff.wait(attempt, draw))
                } else {
                    Next::Retry(self.backoff.cap.mul_f64(0.5 + draw.clamp(0.0, 1.0) / 2.0))
                }
            }
        }
    }
}

// === impl Class ===

impl Class {
    /// Returns whether the same job will fail again wherever it is tried.
    pub(crate) fn is_final(self) -> bool {
        match self {
            Self::Away | Self::Transient => false,
            Self::Permanent | Self::Malformed => true,
        }
    }
}

// === impl Budget ===

impl Budget {
    pub(crate) fn new(now: Instant) -> Self {
        Self { tokens: SAVED, filled_at: now }
    }

    /// Counts finished jobs.
    pub(crate) fn finished(&mut self, jobs: usize) {
        self.tokens = (self.tokens + RATIO * jobs as f64).min(SAVED);
    }

    /// Takes one retry; `false` if there is none left.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.filled_at);
        self.filled_at = now;
        self.tokens = (self.tokens + FLOOR * passed.as_secs_f64()).min(SAVED);
        if self.tokens < 1.0 {
            return false;
        }
        self.tokens -= 1.0;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKOFF: Backoff = Backoff { base: Duration::from_secs(1), cap: Duration::from_secs(60) };
    const THREE: RetryPolicy = RetryPolicy { max_attempts: Some(3), backoff: BACKOFF };
    const ENDLESS: RetryPolicy = RetryPolicy { max_attempts: None, backoff: BACKOFF };

    #[track_caller]
    fn check(policy: &RetryPolicy, attempt: u32, affordable: bool, draw: f64, expected: Next) {
        assert_eq!(policy.after(attempt, Class::Transient, affordable, draw), expected);
    }

    fn seconds(seconds: u64) -> Next {
        Next::Retry(Duration::from_secs(seconds))
    }

    #[test]
    fn each_failure_doubles_the_bound_until_the_attempts_are_used_up() {
        check(&THREE, 0, true, 1.0, seconds(1));
        check(&THREE, 0, true, 0.0, seconds(0));
        check(&THREE, 1, true, 1.0, seconds(2));
        check(&THREE, 2, true, 1.0, Next::Exhausted);
        check(&THREE, u32::MAX, true, 1.0, Next::Exhausted);
        check(&ENDLESS, u32::MAX, true, 1.0, seconds(60));
    }

    #[test]
    fn beyond_the_budget_a_retry_waits_about_the_longest_time() {
        check(&THREE, 0, false, 1.0, seconds(60));
        check(&THREE, 0, false, 0.0, seconds(30));
        check(&THREE, 2, false, 0.0, Next::Exhausted);
    }

    #[test]
    fn what_can_not_succeed_is_not_tried_again() {
        for policy in [THREE, ENDLESS] {
            assert_eq!(policy.after(0, Class::Permanent, true, 0.5), Next::GiveUp);
        }
    }

    #[test]
    fn what_is_not_the_job_s_doing_uses_up_no_attempts() {
        assert_eq!(THREE.after(2, Class::Away, false, 1.0), Next::Defer(AWAY));
        assert_eq!(THREE.after(0, Class::Away, true, 0.0), Next::Defer(AWAY / 2));
    }

    #[tokio::test(start_paused = true)]
    async fn retries_stay_a_part_of_the_finished_jobs() {
        let now = Instant::now();
        let mut budget = Budget::new(now);
        let afforded = |budget: &mut Budget, now| (0..1_000).filter(|_| budget.take(now)).count();
        assert_eq!(afforded(&mut budget, now), 50);
        budget.finished(100);
        assert_eq!(afforded(&mut budget, now), 20);
        assert_eq!(afforded(&mut budget, now + Duration::from_secs(3)), 3);
        budget.finished(1_000_000);
        assert_eq!(afforded(&mut budget, now), 50);
    }
}
