//! Ingest jobs: each applies one accepted batch.
//!
//! Two stages with one group between them: while one group is being applied, the rows of the next
//! are loaded, so that the database always has something to write.

mod apply;
mod batches;
mod claim;
mod group;

use std::sync::Arc;

use tidegate_core::clock::Timestamp;
use tidegate_core::job::INGEST;
use tidegate_queue::{Delivery, DeliveryTag};
use tokio::sync::mpsc;
use uuid::Uuid;

pub(crate) use self::batches::Batches;
use self::group::Group;
use crate::consume::{Channels, Source, consume};
use crate::run::named;
use crate::settle::{Outcome, Settler};

/// Settlements that may wait for the consumer.
const SETTLEMENTS: usize = 256;

/// What the stages need of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    pub(crate) tag: DeliveryTag,
    pub(crate) batch: Uuid,
    pub(crate) attempt: u32,
    pub(crate) enqueued_at: Timestamp,
}

/// Starts the consuming task and the stages behind it.
pub(crate) fn start<B: Batches + ?Sized>(
    store: Arc<B>,
    source: Source,
    parts: &mut tokio::task::JoinSet<&'static str>,
) {
    let (deliveries, to_claim) = mpsc::channel::<Vec<Delivery>>(1);
    let (groups, to_apply) = mpsc::channel::<Group>(1);
    let (settler, settlements) = Settler::channel(SETTLEMENTS);
    let claim = claim::Stage {
        store: Arc::clone(&store),
        settler: settler.clone(),
        shutdown: source.shutdown(),
    };
    let apply = apply::Stage { store, settler, shutdown: source.shutdown() };
    parts.spawn(named("claim stage", claim.run(to_claim, groups)));
    parts.spawn(named("apply stage", apply.run(to_apply)));
    parts.spawn(named("consumer", consume(source, Channels { deliveries, settlements })));
}

// === impl Ticket ===

impl Ticket {
    /// Reads a delivery; what is no ingest job has its outcome already.
    fn read(delivery: &Delivery) -> Result<Self, Outcome> {
        let job = &delivery.job;
        if job.kind != INGEST {
            return Err(Outcome::UnknownKind(job.kind.clone()));
        }
        Ok(Self::of(delivery))
    }

    /// Names a delivery, of whatever kind.
    fn of(delivery: &Delivery) -> Self {
        let job = &delivery.job;
        Self {
            tag: delivery.tag,
            batch: job.id,
            attempt: job.attempt,
            enqueued_at: job.enqueued_at,
        }
    }
}
