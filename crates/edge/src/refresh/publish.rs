//! Publishes orders as jobs, off the path of requests.

use std::sync::Arc;
use std::time::Duration;

use tidegate_core::cache_update::{Origin, RefreshOrder, Resource};
use tidegate_core::job::{Job, Lane, REFRESH};
use tidegate_core::shutdown::Shutdown;
use tidegate_queue::{QueueError, QueueState, SharedQueue};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::{Fallback, MAX_DEADLINE, Order};
use crate::edge::Edge;
use crate::fetch;
use crate::metrics::metrics;
use crate::route::Routing;

/// Most orders published at once.
const MAX_BATCH: usize = 256;

/// For the queue to take a batch: later this edge has long asked itself.
const PATIENCE: Duration = Duration::from_secs(2);

/// Version of the body of refresh jobs.
const SCHEMA: u16 = 1;

/// W3C trace context of a request.
const TRACEPARENT: &str = "traceparent";

/// Takes orders to the queue.
pub(crate) struct Publisher {
    edge: Arc<Edge>,
    queue: SharedQueue,
    waiting: mpsc::Receiver<Order>,
}

/// Why orders were not published.
#[derive(Debug, thiserror::Error)]
enum NotPublished {
    #[error("the queue can't take any: {0:?}")]
    Down(QueueState),
    #[error("the queue refused them")]
    Refused(#[source] QueueError),
    #[error("the queue did not take them in time")]
    TimedOut,
}

// === impl Publisher ===

impl Publisher {
    pub(crate) fn new(edge: Arc<Edge>, queue: SharedQueue, waiting: mpsc::Receiver<Order>) -> Self {
        Self { edge, queue, waiting }
    }

    /// Publishes until shutdown. Orders that are still waiting then are dropped: what they are
    /// about stays as stale as it is.
    pub(crate) async fn run(mut self, shutdown: Shutdown) {
        let mut failing = false;
        loop {
            let mut batch = Vec::new();
            tokio::select! {
                number = self.waiting.recv_many(&mut batch, MAX_BATCH) => if number == 0 { return },
                () = shutdown.cancelled() => return,
            }
            let published = tokio::select! {
                published = self.publish(&batch) => published,
                () = shutdown.cancelled() => return,
            };
            // Once for each outage, however long it lasts.
            if let (Err(error), false) = (&published, failing) {
                tracing::warn!(
                    error = error as &dyn std::error::Error,
                    "Refresh jobs could not be published; this edge asks the api itself."
                );
            }
            failing = published.is_err();
            if failing {
                self.ask_itself(batch);
            }
        }
    }

    async fn publish(&self, batch: &[Order]) -> Result<(), NotPublished> {
        let state = self.queue.state();
        if state != QueueState::Connected {
            return Err(NotPublished::Down(state));
        }
        // Orders come from requests, which were routed.
        let Some(routing) = self.edge.routes.load() else { return Ok(()) };
        let jobs: Vec<Job> = batch.iter().filter_map(|order| job(order, &routing)).collect();
        match tokio::time::timeout(PATIENCE, self.queue.publish(&jobs)).await {
            Ok(Ok(())) => {
                let number = u64::try_from(jobs.len()).unwrap_or(u64::MAX);
                metrics().workers.refresh_orders.inc_by(number);
                Ok(())
            }
            Ok(Err(error)) => Err(NotPublished::Refused(error)),
            Err(_) => Err(NotPublished::TimedOut),
        }
    }

    fn ask_itself(&self, batch: Vec<Order>) {
        let Some(orders) = &self.edge.orders else { return };
        orders.pause(Instant::now());
        for Order { lookup, stale, .. } in batch {
            orders.withdraw(&lookup.key);
            metrics().workers.fell_back(Fallback::QueueDown);
            fetch::validate_in_background(&self.edge, &lookup, stale);
        }
    }
}

fn job(order: &Order, routing: &Routing) -> Option<Job> {
    let Order { lookup, stale, reader, entity_tag, placed_at } = order;
    let parts = lookup.key.parts()?;
    let body = RefreshOrder {
        resource: Resource::of(&parts),
        origin: Origin::of(&parts),
        reader: reader.clone(),
        entity_tag: entity_tag.clone(),
    };
    let window = stale.response.metadata.revalidation_window(*placed_at);
    let traceparent = lookup.headers.get(TRACEPARENT).and_then(|value| value.to_str().ok());
    // Plain data: what can't be written is not worth a job.
    let body = serde_json::to_value(body).ok()?;
    let whose = (&*reader.tenant, routing.product());
    Some(Job {
        schema: SCHEMA,
        release: routing.release().map(str::to_owned),
        cohort: lookup.stamp().map(|stamp| stamp.cohort),
        traceparent: traceparent.map(str::to_owned),
        deadline: Some(placed_at.after(window.min(MAX_DEADLINE))),
        ..Job::new(REFRESH, Lane::High, whose, body, *placed_at)
    })
}
