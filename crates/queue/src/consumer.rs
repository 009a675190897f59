//! What a process that takes work asks of a queue.

use std::time::Duration;

use async_trait::async_trait;
use tidegate_core::job::Job;

use crate::QueueError;

/// A stream of deliveries. Dropping it gives back at once what it still holds.
#[async_trait]
pub trait Consumer: Send {
    /// Waits for a delivery, the oldest job first. Cancel safe: a dropped call loses no message.
    ///
    /// While as many deliveries as the prefetch are unsettled it waits for good: settle some.
    ///
    /// # Errors
    /// The connection ended: build a new consumer.
    async fn next(&mut self) -> Result<Delivery, QueueError>;

    /// Settles deliveries of this consumer, all together. A settlement of what this consumer no
    /// longer holds changes nothing.
    ///
    /// # Errors
    /// The connection ended: the deliveries will come again.
    async fn settle(
        &mut self,
        settlements: Vec<(DeliveryTag, Settlement)>,
    ) -> Result<(), QueueError>;
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
    /// The job; `attempt` counts failures before this delivery, `arm` is that of the workers it
    /// came to.
    pub job: Job,
    /// It was handed out before, to a consumer that went away.
    pub redelivered: bool,
}

/// How a delivery ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// Done: the message is gone.
    Ack,
    /// Failed for now: it comes again after the wait, with `attempt` raised, and always to stable
    /// workers. A broker knows few waits and takes one near by.
    Retry {
        /// How long it stays away.
        after: Duration,
    },
    /// Not begun, for no fault of the job: as `Retry`, but still the same attempt.
    Defer {
        /// How long it stays away.
        after: Duration,
    },
    /// Given back untouched, for a consumer that drains.
    Release,
    /// Failed for good: it is kept aside with the reason.
    DeadLetter {
        /// Why, for a person to read. Begins with a word and a colon, such as `permanent:`.
        reason: String,
    },
}
