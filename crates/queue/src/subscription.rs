//! What a process that listens to notices asks of a queue.

use async_trait::async_trait;
use tidegate_core::notice::Notice;

use crate::QueueError;

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
    /// must be built anew. What it hears next was published after this.
    Missed,
}
