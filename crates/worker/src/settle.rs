//! How a delivery ends, decided from how its work ended.

use std::time::Duration;

use tidegate_core::backoff::Backoff;
use tidegate_queue::{DeliveryTag, Settlement};
use tokio::sync::mpsc;

use crate::ingest::Ticket;
use crate::metrics::metrics;

/// Wait before a failed job comes again. The bound doubles from the first to the second.
const BACKOFF: Backoff = Backoff { base: Duration::from_millis(200), cap: Duration::from_secs(60) };

/// A job that has failed so often needs a person.
const ALARMING_ATTEMPTS: u32 = 10;

/// How the work on a delivery ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Its effects are committed.
    Applied,
    /// There was nothing left to do: an earlier delivery did it, or the batch is not known.
    Finished,
    /// Another worker claimed the batch since; it also settles its own delivery.
    Overtaken,
    /// Its effects can never be applied. The store has recorded why, for the sender to see.
    Failed(String),
    /// The store could not be used.
    Unavailable(String),
    /// No release up to this one knows what to do.
    UnknownKind(String),
    /// The worker drains and has not begun.
    NotBegun,
}

/// Tells the consumer how deliveries ended.
#[derive(Clone, Debug)]
pub(crate) struct Settler {
    settlements: mpsc::Sender<(DeliveryTag, Settlement)>,
}

/// Returns how a delivery ends.
///
/// A batch that was accepted is never parked: while the store can't be used, its job is tried
/// again without end.
pub(crate) fn decide(outcome: &Outcome, retry_after: Duration) -> Settlement {
    match outcome {
        Outcome::Applied | Outcome::Finished | Outcome::Overtaken | Outcome::Failed(_) => {
            Settlement::Ack
        }
        Outcome::Unavailable(_) => Settlement::Retry { after: retry_after },
        Outcome::UnknownKind(kind) => {
            Settlement::DeadLetter { reason: format!("no worker knows jobs of kind '{kind}'") }
        }
        Outcome::NotBegun => Settlement::Release,
    }
}

// === impl Outcome ===

impl Outcome {
    /// Returns the label that metrics count it under.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Finished => "finished",
            Self::Overtaken => "overtaken",
            Self::Failed(_) => "failed",
            Self::Unavailable(_) => "retried",
            Self::UnknownKind(_) => "dead",
            Self::NotBegun => "released",
        }
    }

    fn log(&self, ticket: &Ticket) {
        let (batch, attempt) = (ticket.batch, ticket.attempt);
        match self {
            Self::Applied | Self::Finished | Self::Overtaken | Self::NotBegun => {
                tracing::debug!(job.id = %batch, job.outcome = self.label(), "Job was settled.");
            }
            Self::Failed(reason) => {
                tracing::warn!(job.id = %batch, job.reason = reason, "Batch can't be applied.");
            }
            Self::Unavailable(reason) if attempt >= ALARMING_ATTEMPTS => {
                tracing::error!(
                    job.id = %batch, job.attempt = attempt, job.reason = reason,
                    "Batch still waits to be applied.",
                );
            }
            Self::Unavailable(reason) => {
                tracing::warn!(
                    job.id = %batch, job.attempt = attempt, job.reason = reason,
                    "Batch will be tried again.",
                );
            }
            Self::UnknownKind(kind) => {
                tracing::error!(job.id = %batch, job.kind = kind, "Job was kept aside.");
            }
        }
    }
}

// === impl Settler ===

impl Settler {
    pub(crate) fn channel(capacity: usize) -> (Self, mpsc::Receiver<(DeliveryTag, Settlement)>) {
        let (settlements, settled) = mpsc::channel(capacity);
        (Self { settlements }, settled)
    }

    /// Settles deliveries that all ended in the same way.
    pub(crate) async fn settle(&self, tickets: &[Ticket], outcome: &Outcome) {
        for ticket in tickets {
            metrics().job(outcome);
            outcome.log(ticket);
            let settlement = decide(outcome, BACKOFF.jittered(ticket.attempt));
            // Without a consumer the delivery comes again.
            self.settlements.send((ticket.tag, settlement)).await.ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(outcome: &Outcome, expected: &Settlement) {
        assert_eq!(&decide(outcome, Duration::from_secs(7)), expected, "{outcome:?}");
    }

    #[test]
    fn only_what_may_end_differently_comes_again() {
        check(&Outcome::Applied, &Settlement::Ack);
        check(&Outcome::Finished, &Settlement::Ack);
        check(&Outcome::Overtaken, &Settlement::Ack);
        check(&Outcome::Failed("a sum overflows".to_owned()), &Settlement::Ack);
        let retry = Settlement::Retry { after: Duration::from_secs(7) };
        check(&Outcome::Unavailable("the disk is full".to_owned()), &retry);
        let reason = "no worker knows jobs of kind 'dance'".to_owned();
        check(&Outcome::UnknownKind("dance".to_owned()), &Settlement::DeadLetter { reason });
        check(&Outcome::NotBegun, &Settlement::Release);
    }
}
