//! First stage: claims batches, which loads their rows.

use std::sync::Arc;

use tidegate_core::clock::Timestamp;
use tidegate_core::shutdown::Shutdown;
use tidegate_queue::Delivery;
use tokio::sync::mpsc;
use uuid::Uuid;

use super::group::{self, Group};
use super::{Batches, Ticket};
use crate::settle::{Outcome, Settler};

/// Claims what the consumer hands on.
pub(super) struct Stage<B: ?Sized> {
    pub(super) store: Arc<B>,
    pub(super) settler: Settler,
    pub(super) shutdown: Shutdown,
}

// === impl Stage ===

impl<B: Batches + ?Sized> Stage<B> {
    /// Runs until the consumer hands on no more.
    pub(super) async fn run(
        self,
        mut deliveries: mpsc::Receiver<Vec<Delivery>>,
        groups: mpsc::Sender<Group>,
    ) {
        while let Some(deliveries) = deliveries.recv().await {
            let tickets = self.read(&deliveries).await;
            for group in self.claim(tickets).await {
                if groups.send(group).await.is_err() {
                    // The next stage panicked; its end ends the process.
                    return;
                }
            }
        }
    }

    /// Keeps ingest jobs and settles the others.
    async fn read(&self, deliveries: &[Delivery]) -> Vec<Ticket> {
        let mut tickets = Vec::with_capacity(deliveries.len());
        for delivery in deliveries {
            match Ticket::read(delivery) {
                Ok(ticket) => tickets.push(ticket),
                Err(outcome) => self.settler.settle(&[Ticket::of(delivery)], &outcome).await,
            }
        }
        tickets
    }

    /// Claims the batches of `tickets`, and settles those that need nothing more.
    async fn claim(&self, tickets: Vec<Ticket>) -> Vec<Group> {
        if self.shutdown.is_cancelled() {
            self.settler.settle(&tickets, &Outcome::NotBegun).await;
            return Vec::new();
        }
        let mut batches: Vec<Uuid> = tickets.iter().map(|ticket| ticket.batch).collect();
        // A batch may be delivered twice: claimed twice, the first claim would be overtaken.
        batches.sort_unstable();
        batches.dedup();
        if batches.is_empty() {
            return Vec::new();
        }
        match self.store.claim(&batches, Timestamp::now()).await {
            Ok(claims) => {
                let (groups, finished) = group::form(claims, tickets);
                self.settler.settle(&finished, &Outcome::Finished).await;
                groups
            }
            Err(error) => {
                self.settler.settle(&tickets, &Outcome::Unavailable(error.to_string())).await;
                Vec::new()
            }
        }
    }
}
