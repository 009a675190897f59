//! What a process asks of a queue.

use std::sync::Arc;

use async_trait::async_trait;
use tidegate_core::clock::Timestamp;
use tidegate_core::job::{Job, Lane};
use tidegate_core::notice::Notice;

use crate::{Consumer, QueueError, Subscription};

/// A queue that this process is connected to.
pub type SharedQueue = Arc<dyn Queue>;

/// Work queues and a broadcast, on SQLite or a broker.
#[async_trait]
pub trait Queue: Send + Sync {
    /// Publishes jobs to the lanes they name; returns once all of them are on disk.
    ///
    /// # Errors
    /// None, some or all may have been published: publish them again.
    async fn publish(&self, jobs: &[Job]) -> Result<(), QueueError>;

    /// Starts consuming `lanes`, holding at most `prefetch` unsettled deliveries.
    ///
    /// # Errors
    /// The queue can't be reached.
    async fn consume(
        &self,
        lanes: &[Lane],
        prefetch: usize,
    ) -> Result<Box<dyn Consumer>, QueueError>;

    /// Publishes notices to every subscriber, in order; returns once they are on disk.
    ///
    /// # Errors
    /// As for [`Queue::publish`].
    async fn broadcast(&self, notices: &[Notice]) -> Result<(), QueueError>;

    /// Subscribes to notices published from now on.
    ///
    /// # Errors
    /// The queue can't be reached.
    async fn subscribe(&self) -> Result<Box<dyn Subscription>, QueueError>;

    /// Returns how many jobs of each lane are ready, held by consumers, and kept aside.
    ///
    /// # Errors
    /// The queue can't be reached.
    async fn depth(&self) -> Result<Vec<Depth>, QueueError>;
}

/// How many jobs one lane holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Depth {
    /// The lane.
    pub lane: Lane,
    /// Waiting for a consumer, or for the time of their retry.
    pub ready: u64,
    /// Held by a consumer.
    pub unacked: u64,
    /// Kept aside.
    pub dead: u64,
    /// When the oldest job that is ready or held was published.
    pub oldest: Option<Timestamp>,
    /// When the job that is handed out next was published.
    pub next: Option<Timestamp>,
}
