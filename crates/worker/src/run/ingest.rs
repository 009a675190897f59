//! Ingest jobs: each applies one accepted batch.
//!
//! Several groups of batches are in hand at a time, and few of them are being applied: meanwhile the
//! rows of the next are loaded, so that the database always has something to write.

mod batches;
mod group;

use std::collections::HashMap;
use std::sync::Arc;

use tidegate_core::clock::Timestamp;
use tidegate_core::shutdown::Shutdown;
use tidegate_store::{Applied, Changes, Claim, Hold, MAX_CRASHES};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use uuid::Uuid;

pub(crate) use self::batches::Batches;
use crate::consume::Run;
use crate::faults;
use crate::metrics::metrics;
use crate::settle::Outcome;
use crate::write_back::Purged;

/// A batch that was claimed so often without an end may be what ends its workers: nothing else
/// runs beside it.
const SUSPECT: u32 = 2;

/// Applies batches.
pub(crate) struct Ingest<B: ?Sized> {
    store: Arc<B>,
    /// Groups that may be applied at a time.
    appliers: Semaphore,
    purged: Purged,
    stop: Shutdown,
}

/// How batches ended, as far as they have.
#[derive(Default)]
struct Ends(HashMap<Uuid, Outcome>);

// === impl Ingest ===

impl<B: Batches + ?Sized> Ingest<B> {
    pub(crate) fn new(store: Arc<B>, appliers: usize, purged: Purged, stop: Shutdown) -> Self {
        Self { store, appliers: Semaphore::new(appliers.max(1)), purged, stop }
    }

    pub(crate) async fn run(&self, run: Run) -> Vec<Outcome> {
        let mut batches: Vec<Uuid> = run.deliveries.iter().map(|held| held.job.id).collect();
        // A batch may be delivered twice: claimed twice, the first claim would be overtaken.
        batches.sort_unstable();
        batches.dedup();
        let mut ends = Ends::default();
        let apart = {
            let _beside = run.gate.read().await;
            self.together(&batches, &mut ends).await
        };
        for batch in apart {
            let _alone = run.gate.write().await;
            self.alone(batch, &mut ends).await;
        }
        let now = Timestamp::now();
        let of = |job: &tidegate_core::job::Job| {
            let outcome = ends.0.get(&job.id).cloned().unwrap_or(Outcome::Finished);
            if outcome == Outcome::Applied {
                metrics().lag(now.since(job.enqueued_at));
            }
            outcome
        };
        run.deliveries.iter().map(|held| of(&held.job)).collect()
    }

    /// Applies batches in as few transactions as may be; returns those that must go one by one.
    async fn together(&self, batches: &[Uuid], ends: &mut Ends) -> Vec<Uuid> {
        if self.stop.is_cancelled() {
            ends.all(batches, &Outcome::NotBegun);
            return Vec::new();
        }
        let claims = match self.store.claim(batches, Timestamp::now()).await {
            Ok(claims) => claims,
            // One of them is at fault, and the others need not wait for it.
            Err(error) if error.class().is_final() && batches.len() > 1 => {
                return batches.to_vec();
            }
            Err(error) => {
                ends.all(batches, &Outcome::from(&error));
                return Vec::new();
            }
        };
        faults::point(faults::AFTER_CLAIM);
        let (suspects, claims): (Vec<_>, Vec<_>) =
            claims.into_iter().partition(|claim| claim.unfinished >= SUSPECT);
        // Claimed again one by one: should the first end this process, the others are not to blame.
        self.release(suspects.iter().map(Claim::hold).collect()).await;
        let mut apart: Vec<Uuid> = suspects.iter().map(|claim| claim.id).collect();
        for group in group::form(claims) {
            apart.append(&mut self.apply(group, ends).await);
        }
        apart
    }

    /// Applies a batch with nothing beside it.
    async fn alone(&self, batch: Uuid, ends: &mut Ends) {
        if self.stop.is_cancelled() {
            return ends.all(&[batch], &Outcome::NotBegun);
        }
        let claim = match self.store.claim(&[batch], Timestamp::now()).await {
            Ok(mut claims) => claims.pop(),
            Err(error) => return ends.all(&[batch], &Outcome::from(&error)),
        };
        match claim {
            None => {}
            Some(claim) if claim.unfinished > MAX_CRASHES => {
                let outcome = self.quarantine(&claim).await;
                ends.all(&[batch], &outcome);
            }
            Some(claim) => {
                self.apply(vec![claim], ends).await;
            }
        }
    }

    async fn quarantine(&self, claim: &Claim) -> Outcome {
        let crashes = claim.unfinished.saturating_sub(1);
        let reason = format!("{crashes} times a worker claimed the batch and did not end it");
        match self.store.quarantine(claim, &format!("crashed: {reason}"), Timestamp::now()).await {
            Ok(true) => Outcome::Crashed(reason),
            Ok(false) => Outcome::Overtaken,
            Err(error) => Outcome::from(&error),
        }
    }

    /// Applies a group of batches in one transaction; returns those that must go one by one.
    async fn apply(&self, group: Vec<Claim>, ends: &mut Ends) -> Vec<Uuid> {
        let batches: Vec<Uuid> = group.iter().map(|claim| claim.id).collect();
        let holds: Vec<Hold> = group.iter().map(Claim::hold).collect();
        let _turn = tokio::select! {
            biased;
            () = self.stop.cancelled() => {
                self.release(holds).await;
                ends.all(&batches, &Outcome::NotBegun);
                return Vec::new();
            }
            turn = self.appliers.acquire() => turn,
        };
        let (started, rows) = (Instant::now(), group.iter().map(|claim| claim.rows.len()).sum());
        faults::point(faults::BEFORE_COMMIT);
        match self.store.apply(group, Timestamp::now()).await {
            Ok(changes) => {
                faults::point(faults::AFTER_COMMIT);
                metrics().group(started.elapsed(), rows);
                ends.all(&batches, &Outcome::Overtaken);
                self.read(changes, ends);
            }
            Err(error) => {
                self.release(holds).await;
                if error.class().is_final() && batches.len() > 1 {
                    return batches;
                }
                ends.all(&batches, &Outcome::from(&error));
            }
        }
        Vec::new()
    }

    /// Notes how each batch ended, and what was purged on the way.
    fn read(&self, changes: Changes, ends: &mut Ends) {
        let Changes { applied, purges } = changes;
        for applied in applied {
            let (batch, outcome) = match applied {
                Applied::Done(batch, counts) => {
                    metrics().rows(&counts);
                    (batch, Outcome::Applied)
                }
                Applied::Overtaken(batch) => (batch, Outcome::Overtaken),
                Applied::Failed(batch, reason) => (batch, Outcome::Failed(reason)),
            };
            ends.0.insert(batch, outcome);
        }
        self.purged.offer(purges);
    }

    /// Gives claims back in order, so that they don't count as unfinished.
    async fn release(&self, holds: Vec<Hold>) {
        if holds.is_empty() {
            return;
        }
        if let Err(error) = self.store.release(&holds).await {
            tracing::debug!(error = %error, batches = holds.len(), "Claims could not be given back.");
        }
    }
}

// === impl Ends ===

impl Ends {
    fn all(&mut self, batches: &[Uuid], outcome: &Outcome) {
        self.0.extend(batches.iter().map(|batch| (*batch, outcome.clone())));
    }
}
