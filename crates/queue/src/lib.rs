//! Publish with confirm, consume, settle and broadcast.
//!
//! Delivery is at least once. A consumer that dies gives its messages back; a settlement by a
//! consumer that no longer holds the message changes nothing.

mod consumer;
mod dead_letters;
mod error;
mod queue;
mod relay;
mod sqlite;
mod subscription;

#[cfg(test)]
mod conformance;

pub use consumer::{Consumer, Delivery, DeliveryTag, Settlement};
pub use dead_letters::{DeadDelivery, DeadLetters};
pub use error::QueueError;
pub use queue::{Depth, Depths, Queue, QueueState, SharedQueue, Source};
pub use relay::relay;
pub use sqlite::{Options, SqliteQueue};
pub use subscription::{Heard, Subscription};

use std::sync::Arc;

use tidegate_core::backend::QueueBackend;

/// Opens the queue that a configuration names.
///
/// # Errors
/// It can't be used.
pub async fn open(backend: &QueueBackend) -> Result<SharedQueue, QueueError> {
    match backend {
        QueueBackend::Sqlite(path) => Ok(Arc::new(SqliteQueue::open(path)?)),
        QueueBackend::Amqp(_) => Err(QueueError::Disconnected),
    }
}
