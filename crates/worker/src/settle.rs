//! How a delivery ends, decided from how its work ended.

mod settler;

use std::time::Duration;

use tidegate_core::job::Job;
use tidegate_queue::Settlement;

pub(crate) use self::settler::Settler;
use crate::error::JobError;
use crate::kinds::Unreadable;
use crate::retry::{Class, Next, RetryPolicy};

/// A job that has failed so often needs a person.
const ALARMING_ATTEMPTS: u32 = 10;

/// Longest reason that is kept with a dead letter, in bytes.
const MAX_REASON: usize = 2_048;

/// Bounds of the wait for a kind that runs as often as it may, over all workers.
const BUSY_WAIT: Duration = Duration::from_secs(30);

/// How the work on a delivery ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Its effects are committed.
    Applied,
    /// There was nothing left to do: an earlier delivery did it, or the job is not known.
    Finished,
    /// Another worker holds the job since; it also settles its own delivery.
    Overtaken,
    /// It goes on under a lease in the store, which needs no delivery.
    Begun,
    /// As many jobs of the kind run as may, over all workers.
    Busy,
    /// Its effects can never be applied. The store has recorded why, for the sender to see.
    Failed(String),
    /// Nobody wants the result any more.
    Expired,
    /// It can't be begun.
    Unreadable(Unreadable),
    /// Workers that ran it have died too often.
    Crashed(String),
    /// An attempt failed.
    Error(Class, String),
    /// The worker drains and has not begun.
    NotBegun,
}

/// What the decision rests on besides the outcome.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts<'a> {
    /// The kind's.
    pub(crate) policy: &'a RetryPolicy,
    /// Failures before this one.
    pub(crate) attempt: u32,
    /// The kind may afford a quick retry.
    pub(crate) within_budget: bool,
    /// Uniform in `[0, 1)`.
    pub(crate) draw: f64,
}

/// Returns how a delivery ends.
pub(crate) fn decide(outcome: &Outcome, facts: &Facts<'_>) -> Settlement {
    match outcome {
        Outcome::Applied
        | Outcome::Finished
        | Outcome::Overtaken
        | Outcome::Begun
        | Outcome::Failed(_)
        | Outcome::Expired => Settlement::Ack,
        Outcome::Busy => Settlement::Defer { after: BUSY_WAIT.mul_f64(0.5 + facts.draw / 2.0) },
        Outcome::Unreadable(unreadable) => unreadable.settlement(),
        Outcome::Crashed(reason) => dead("crashed", reason),
        Outcome::Error(class, reason) => {
            match facts.policy.after(facts.attempt, *class, facts.within_budget, facts.draw) {
                Next::Retry(after) => Settlement::Retry { after },
                Next::Defer(after) => Settlement::Defer { after },
                Next::GiveUp if *class == Class::Malformed => dead("malformed", reason),
                Next::GiveUp => dead("permanent", reason),
                Next::Exhausted => dead("exhausted", reason),
            }
        }
        Outcome::NotBegun => Settlement::Release,
    }
}

fn dead(code: &str, reason: &str) -> Settlement {
    let mut reason = format!("{code}: {reason}");
    let end = reason.floor_char_boundary(MAX_REASON);
    reason.truncate(end);
    Settlement::DeadLetter { reason }
}

// === impl Unreadable ===

impl Unreadable {
    fn settlement(&self) -> Settlement {
        match self {
            Self::Kind(kind) => {
                dead("unknown_kind", &format!("no worker knows jobs of kind '{kind}'"))
            }
            Self::Schema(kind, schema) => dead(
                "malformed",
                &format!("shape {schema} of '{}' is no longer known", kind.as_str()),
            ),
            Self::Parked(reason) => dead("parked", reason),
        }
    }
}

// === impl Outcome ===

impl From<&JobError> for Outcome {
    fn from(error: &JobError) -> Self {
        Self::Error(error.class(), error.chain())
    }
}

impl Outcome {
    /// Returns whether the job is done with, in whatever way: what retries are measured against.
    pub(crate) fn is_final(&self) -> bool {
        match self {
            Self::Applied
            | Self::Finished
            | Self::Begun
            | Self::Failed(_)
            | Self::Expired
            | Self::Unreadable(_)
            | Self::Crashed(_) => true,
            Self::Overtaken | Self::Busy | Self::Error(..) | Self::NotBegun => false,
        }
    }

    /// Returns whether the run's time was spent on the job.
    pub(crate) fn was_worked_on(&self) -> bool {
        match self {
            Self::Applied | Self::Failed(_) | Self::Error(..) => true,
            Self::Finished
            | Self::Overtaken
            | Self::Begun
            | Self::Busy
            | Self::Expired
            | Self::Unreadable(_)
            | Self::Crashed(_)
            | Self::NotBegun => false,
        }
    }

    /// Returns whether the job failed here: another release's workers may do better.
    pub(crate) fn is_failure(&self) -> bool {
        match self {
            Self::Error(class, _) => *class != Class::Away,
            Self::Unreadable(_) | Self::Crashed(_) => true,
            Self::Applied
            | Self::Finished
            | Self::Overtaken
            | Self::Begun
            | Self::Busy
            | Self::Failed(_)
            | Self::Expired
            | Self::NotBegun => false,
        }
    }

    /// Returns the label that metrics count it under.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Finished => "finished",
            Self::Overtaken => "overtaken",
            Self::Begun => "begun",
            Self::Busy => "busy",
            Self::Failed(_) => "failed",
            Self::Expired => "expired",
            Self::Unreadable(_) => "unreadable",
            Self::Crashed(_) => "crashed",
            Self::Error(..) => "error",
            Self::NotBegun => "released",
        }
    }

    /// Reports an end that somebody may want to know of, once.
    pub(crate) fn log(&self, job: &Job, settlement: &Settlement) {
        let (id, kind, attempt) = (job.id, job.kind.as_str(), job.attempt);
        match (self, settlement) {
            (_, Settlement::DeadLetter { reason }) => {
                tracing::error!(
                    job.id = %id, job.kind = kind, job.attempt = attempt, job.reason = reason,
                    "Job was kept aside.",
                );
            }
            (Self::Failed(reason), _) => {
                tracing::warn!(job.id = %id, job.kind = kind, job.reason = reason, "Job can't be done.");
            }
            (Self::Error(Class::Away, reason), _) => {
                // One of many, of which the parts that look after store and api tell.
                tracing::debug!(
                    job.id = %id, job.kind = kind, job.reason = reason, "Job waits.",
                );
            }
            (Self::Error(_, reason), _) if attempt >= ALARMING_ATTEMPTS => {
                tracing::error!(
                    job.id = %id, job.kind = kind, job.attempt = attempt, job.reason = reason,
                    "Job still waits to be done.",
                );
            }
            (Self::Error(_, reason), _) => {
                tracing::warn!(
                    job.id = %id, job.kind = kind, job.attempt = attempt, job.reason = reason,
                    "Job will be tried again.",
                );
            }
            _ => {
                tracing::debug!(
                    job.id = %id, job.kind = kind, job.outcome = self.label(), "Job was settled.",
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tidegate_core::backoff::Backoff;

    use super::*;
    use crate::kinds::Kind;

    const SECOND: Duration = Duration::from_secs(1);
    const POLICY: RetryPolicy = RetryPolicy {
        max_attempts: Some(2),
        backoff: Backoff { base: SECOND, cap: Duration::from_secs(60) },
    };

    /// The first attempt, with the longest wait it may have.
    const FIRST: Facts<'_> = Facts { policy: &POLICY, attempt: 0, within_budget: true, draw: 1.0 };

    #[track_caller]
    fn check(outcome: &Outcome, facts: &Facts<'_>, expected: &Settlement) {
        assert_eq!(&decide(outcome, facts), expected, "{outcome:?}");
    }

    fn dead(reason: &str) -> Settlement {
        Settlement::DeadLetter { reason: reason.to_owned() }
    }

    #[test]
    fn what_is_done_with_is_acknowledged() {
        for done in [
            Outcome::Applied,
            Outcome::Finished,
            Outcome::Overtaken,
            Outcome::Begun,
            Outcome::Failed("a sum overflows".to_owned()),
            Outcome::Expired,
        ] {
            check(&done, &FIRST, &Settlement::Ack);
        }
        check(&Outcome::NotBegun, &FIRST, &Settlement::Release);
    }

    #[test]
    fn only_what_may_end_differently_comes_again() {
        let away = Outcome::Error(Class::Transient, "not now".to_owned());
        check(&away, &FIRST, &Settlement::Retry { after: SECOND });
        check(&away, &Facts { attempt: 1, ..FIRST }, &dead("exhausted: not now"));
        let wrong = Outcome::Error(Class::Permanent, "no such view".to_owned());
        check(&wrong, &FIRST, &dead("permanent: no such view"));
        let none = Outcome::Error(Class::Malformed, "no body".to_owned());
        check(&none, &FIRST, &dead("malformed: no body"));
        check(&Outcome::Busy, &FIRST, &Settlement::Defer { after: BUSY_WAIT });
        let away = Outcome::Error(Class::Away, "the disk is full".to_owned());
        let Settlement::Defer { .. } = decide(&away, &Facts { attempt: 9, ..FIRST }) else {
            panic!("a job is not to blame for its store");
        };
    }

    #[test]
    fn a_dead_letter_s_reason_begins_with_its_code_and_is_bounded() {
        let kind = Outcome::Unreadable(Unreadable::Kind("dance".to_owned()));
        check(&kind, &FIRST, &dead("unknown_kind: no worker knows jobs of kind 'dance'"));
        let old = Outcome::Unreadable(Unreadable::Schema(Kind::Probe, 0));
        check(&old, &FIRST, &dead("malformed: shape 0 of 'probe' is no longer known"));
        let newer = Outcome::Unreadable(Unreadable::Parked("newer".to_owned()));
        check(&newer, &FIRST, &dead("parked: newer"));
        check(&Outcome::Crashed("4 times".to_owned()), &FIRST, &dead("crashed: 4 times"));
        let long = Outcome::Error(Class::Permanent, "ö".repeat(9_000));
        let Settlement::DeadLetter { reason } = decide(&long, &FIRST) else { panic!("dead") };
        assert!((MAX_REASON - 1..=MAX_REASON).contains(&reason.len()));
    }
}
