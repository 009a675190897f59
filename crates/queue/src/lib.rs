//! Publish with confirm, consume, settle and broadcast.
//!
//! Delivery is at least once. A consumer that dies gives its messages back; a settlement by a
//! consumer that no longer holds the message changes nothing.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tidegate_core::job::{Job, Lane};
use tidegate_core::notice::Notice;

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

    /// Returns how many jobs of each lane are ready, and how many are held by consumers.
    ///
    /// # Errors
    /// The queue can't be reached.
    async fn depth(&self) -> Result<Vec<Depth>, QueueError>;
}

/// A stream of deliveries.
#[async_trait]
pub trait Consumer: Send {
    /// Waits for a delivery. Cancel safe: a dropped call loses no message.
    ///
    /// # Errors
    /// The connection ended: build a new consumer.
    async fn next(&mut self) -> Result<Delivery, QueueError>;

    /// Settles deliveries of this consumer.
    ///
    /// # Errors
    /// The connection ended: the deliveries will come again.
    async fn settle(
        &mut self,
        settlements: Vec<(DeliveryTag, Settlement)>,
    ) -> Result<(), QueueError>;
}

/// A stream of notices, each at least once and, per publisher, in order.
#[async_trait]
pub trait Subscription: Send {
    /// Waits for the next notices. Cancel safe.
    ///
    /// # Errors
    /// The connection ended: build a new subscription.
    async fn next(&mut self) -> Result<Heard, QueueError>;
}

/// What a subscriber hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Notices, oldest first, with nothing missing before them.
    Notices(Vec<Notice>),
    /// Notices were dropped before this subscriber read them: whatever it derived from notices
    /// must be built anew.
    Missed,
}

/// Names a delivery within its consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DeliveryTag {
    /// The message.
    pub message: i64,
    /// Raised with each delivery of the message.
    pub fence: i64,
}

/// A job handed to a consumer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// For settling it.
    pub tag: DeliveryTag,
    /// The job; `attempt` counts failures before this delivery.
    pub job: Job,
    /// It was handed out before, to a consumer that went away.
    pub redelivered: bool,
}

/// How a delivery ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// Done: the message is gone.
    Ack,
    /// Failed for now: it comes again after the wait, with `attempt` raised.
    Retry {
        /// How long it stays away.
        after: Duration,
    },
    /// Given back untouched, for a consumer that drains.
    Release,
    /// Failed for good: it is kept aside with the reason.
    DeadLetter {
        /// Why, for a person to read.
        reason: String,
    },
}

/// How many jobs one lane holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Depth {
    /// The lane.
    pub lane: Lane,
    /// Waiting for a consumer.
    pub ready: u64,
    /// Held by a consumer.
    pub unacked: u64,
    /// Kept aside.
    pub dead: u64,
}

/// Why the queue could not be used.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// The file or the server can't be used at present: try again later.
    #[error("the queue can't be used")]
    Unavailable(#[from] tidegate_sqlite::Error),
    /// A message in the queue is not of a shape this build knows.
    #[error("a queued message can't be read")]
    Malformed(#[from] serde_json::Error),
    /// The wake-up sockets' directory can't be used.
    #[error("the wake-up socket can't be used")]
    Wake(#[from] std::io::Error),
}
