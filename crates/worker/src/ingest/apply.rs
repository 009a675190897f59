//! Second stage: applies a group of batches in one transaction.

use std::collections::HashMap;
use std::sync::Arc;

use tidegate_core::clock::Timestamp;
use tidegate_core::shutdown::Shutdown;
use tidegate_store::Applied;
use tokio::sync::mpsc;
use tokio::time::Instant;
use uuid::Uuid;

use super::{Batches, Group, Ticket};
use crate::metrics::metrics;
use crate::settle::{Outcome, Settler};

/// Applies what the claim stage hands on.
pub(super) struct Stage<B: ?Sized> {
    pub(super) store: Arc<B>,
    pub(super) settler: Settler,
    pub(super) shutdown: Shutdown,
}

// === impl Stage ===

impl<B: Batches + ?Sized> Stage<B> {
    /// Runs until the claim stage hands on no more.
    pub(super) async fn run(self, mut groups: mpsc::Receiver<Group>) {
        while let Some(group) = groups.recv().await {
            // Claimed and not begun: whoever claims it next raises the fence.
            if self.shutdown.is_cancelled() {
                self.settler.settle(&group.tickets, &Outcome::NotBegun).await;
            } else {
                self.apply(group).await;
            }
        }
    }

    async fn apply(&self, group: Group) {
        let Group { claims, tickets } = group;
        let (started, rows) = (Instant::now(), claims.iter().map(|claim| claim.rows.len()).sum());
        match self.store.apply(claims, Timestamp::now()).await {
            Ok(changes) => {
                metrics().group(started.elapsed(), rows);
                self.settle(&tickets, changes.applied).await;
            }
            Err(error) => {
                self.settler.settle(&tickets, &Outcome::Unavailable(error.to_string())).await;
            }
        }
    }

    async fn settle(&self, tickets: &[Ticket], applied: Vec<Applied>) {
        let now = Timestamp::now();
        let mut outcomes: HashMap<Uuid, Outcome> = HashMap::with_capacity(applied.len());
        for applied in applied {
            let (batch, outcome) = read(applied);
            outcomes.insert(batch, outcome);
        }
        for ticket in tickets {
            let outcome = outcomes.get(&ticket.batch).unwrap_or(&Outcome::Overtaken);
            if matches!(outcome, Outcome::Applied) {
                metrics().lag(now.since(ticket.enqueued_at));
            }
            self.settler.settle(&[*ticket], outcome).await;
        }
    }
}

/// Counts the rows, and says how the batch ended.
fn read(applied: Applied) -> (Uuid, Outcome) {
    match applied {
        Applied::Done(batch, counts) => {
            metrics().rows(&counts);
            (batch, Outcome::Applied)
        }
        Applied::Overtaken(batch) => (batch, Outcome::Overtaken),
        Applied::Failed(batch, reason) => (batch, Outcome::Failed(reason)),
    }
}
