//! Settles the deliveries of a lane, and moves what a canary failed to stable workers.

use std::sync::Arc;

use tidegate_core::backoff::draw;
use tidegate_core::job::{Arm, Job, Lane};
use tidegate_queue::{Delivery, DeliveryTag, Settlement, SharedQueue};

use super::{Facts, Outcome, decide};
use crate::consume::Shared;
use crate::kinds::{Kind, Kinds};
use crate::ledger::Ledger;
use crate::metrics::metrics;
use crate::retry::{Class, RetryPolicy};

/// Decides how the deliveries of a lane end.
pub(crate) struct Settler {
    lane: Lane,
    queue: SharedQueue,
    kinds: Arc<Kinds>,
    ledger: Arc<Ledger>,
    /// This is a canary: what it fails may be its own fault.
    canary: bool,
}

// === impl Settler ===

impl Settler {
    pub(crate) fn new(shared: &Shared, lane: Lane) -> Self {
        Self {
            lane,
            queue: Arc::clone(&shared.queue),
            kinds: Arc::clone(&shared.kinds),
            ledger: Arc::clone(&shared.ledger),
            canary: shared.canary.is_some(),
        }
    }

    /// Returns how deliveries end, of which each had its outcome.
    pub(crate) async fn decide(
        &self,
        deliveries: &[Delivery],
        outcomes: &[Outcome],
    ) -> Vec<(DeliveryTag, Settlement)> {
        let mut settlements = Vec::with_capacity(deliveries.len());
        let (mut failed, mut moved) = (Vec::new(), Vec::new());
        for (delivery, outcome) in deliveries.iter().zip(outcomes) {
            let settlement = self.decide_one(&delivery.job, outcome);
            outcome.log(&delivery.job, &settlement);
            metrics().job(Kind::named(&delivery.job.kind), self.lane, outcome);
            if self.canary && outcome.is_failure() {
                failed.push((delivery.tag, settlement));
                moved.push(for_stable(&delivery.job));
            } else {
                settlements.push((delivery.tag, settlement));
            }
        }
        if !moved.is_empty() {
            settlements.extend(self.hand_over(failed, &moved).await);
        }
        settlements
    }

    fn decide_one(&self, job: &Job, outcome: &Outcome) -> Settlement {
        let kind = Kind::named(&job.kind);
        // Asked only where a retry may follow: each question costs a retry.
        let within_budget = match (kind, outcome) {
            (Some(kind), Outcome::Error(Class::Transient, _)) => self.ledger.may_retry(kind),
            _ => true,
        };
        let policy = kind.map_or(&RetryPolicy::NONE, |kind| &self.kinds.of(kind).retry);
        let draw = draw();
        decide(outcome, &Facts { policy, attempt: job.attempt, within_budget, draw })
    }

    /// Publishes jobs for stable workers; then their deliveries here are done with.
    async fn hand_over(
        &self,
        failed: Vec<(DeliveryTag, Settlement)>,
        moved: &[Job],
    ) -> Vec<(DeliveryTag, Settlement)> {
        match self.queue.publish(moved).await {
            Ok(()) => failed.into_iter().map(|(tag, _)| (tag, Settlement::Ack)).collect(),
            Err(error) => {
                tracing::warn!(error = %error, "Failed canary jobs could not be given to stable.");
                failed
            }
        }
    }
}

/// Returns the job as stable workers get it.
fn for_stable(job: &Job) -> Job {
    Job { arm: Arm::Stable, attempt: job.attempt.saturating_add(1), ..job.clone() }
}
