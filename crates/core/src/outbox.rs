//! The transactional outbox, as seen by the relay that empties it.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::job::Job;
use crate::notice::Notice;

/// What a relay publishes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutboxMessage {
    /// Goes to a work queue.
    Job(Job),
    /// Goes to every subscriber.
    Notice(Notice),
}

/// One line of the outbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxEntry {
    /// Names the line for [`OutboxSource::mark_sent`].
    pub id: i64,
    /// What to publish.
    pub message: OutboxMessage,
}

/// An outbox could not be read or marked.
pub type OutboxError = Box<dyn std::error::Error + Send + Sync>;

/// A store whose transactions leave messages behind that must be published at least once.
#[async_trait]
pub trait OutboxSource: Send + Sync {
    /// Waits until there may be unsent lines, at most a second.
    async fn wait_pending(&self);

    /// Returns up to `limit` unsent lines, oldest first. Not a claim: two relays may both get a
    /// line, and both publish it.
    ///
    /// # Errors
    /// The store can't be read.
    async fn pending(&self, limit: usize) -> Result<Vec<OutboxEntry>, OutboxError>;

    /// Marks lines as published and confirmed.
    ///
    /// # Errors
    /// The store can't be written; the lines will be published again.
    async fn mark_sent(&self, ids: &[i64]) -> Result<(), OutboxError>;
}
