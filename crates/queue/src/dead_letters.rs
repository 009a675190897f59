//! What a process that files dead letters asks of a queue.

use async_trait::async_trait;
use tidegate_core::clock::Timestamp;
use tidegate_core::job::{Job, Lane};

use crate::{DeliveryTag, QueueError};

/// A stream of what was kept aside. A letter comes again until it is filed, also to others:
/// filing one twice must do no harm.
#[async_trait]
pub trait DeadLetters: Send {
    /// Waits for a letter. Cancel safe: a dropped call loses none.
    ///
    /// While as many letters as the prefetch are not filed it waits for good: file some.
    ///
    /// # Errors
    /// The connection ended: build a new stream.
    async fn next(&mut self) -> Result<DeadDelivery, QueueError>;

    /// Says that these letters are filed: the queue forgets them.
    ///
    /// # Errors
    /// The connection ended: the letters will come again.
    async fn filed(&mut self, tags: Vec<DeliveryTag>) -> Result<(), QueueError>;
}

/// A message that was kept aside.
#[derive(Clone, Debug, PartialEq)]
pub struct DeadDelivery {
    /// For [`DeadLetters::filed`].
    pub tag: DeliveryTag,
    /// The message as it was published.
    pub body: Vec<u8>,
    /// The job, if the message can be read as one; `attempt` counts its failures.
    pub job: Option<Job>,
    /// The lane it came from, if that is known.
    pub lane: Option<Lane>,
    /// Why it was kept aside. Begins with a word and a colon, such as `malformed:`.
    pub reason: String,
    /// Failures before the one it died of.
    pub attempts: u32,
    /// What else the queue knows about it, for a person to read.
    pub headers: serde_json::Value,
    /// When it was kept aside.
    pub died_at: Timestamp,
    /// When it was published.
    pub published_at: Option<Timestamp>,
}
