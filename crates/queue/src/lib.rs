//! Publish with confirm, consume, settle and broadcast.
//!
//! Delivery is at least once. A consumer that dies gives its messages back; a settlement by a
//! consumer that no longer holds the message changes nothing.

/// A place where tests let the process fail.
macro_rules! fail_point {
    ($name:literal) => {
        #[cfg(feature = "test-util")]
        fail::fail_point!($name);
    };
}
pub(crate) use fail_point;

mod amqp;
mod consumer;
mod dead_letters;
mod error;
mod queue;
mod relay;
mod sqlite;
mod subscription;

#[cfg(test)]
mod conformance;

pub use amqp::AmqpQueue;
pub use consumer::{Consumer, Delivery, DeliveryTag, Settlement};
pub use dead_letters::{DeadDelivery, DeadLetters};
pub use error::QueueError;
pub use queue::{Depth, Depths, Queue, QueueState, SharedQueue, Source};
pub use relay::relay;
pub use sqlite::{Options, SqliteQueue};
pub use subscription::{Heard, Subscription};

use std::sync::Arc;

use tidegate_core::backend::QueueBackend;

/// Most bytes of a job as JSON. What is larger stays in the store, and the job names it.
pub const MAX_MESSAGE: usize = 256 << 10;

/// Opens the queue that a configuration names.
///
/// A broker that is away is no error: the queue says so, and connects by itself when it comes.
///
/// # Errors
/// The file can't be used, or the broker's URL is wrong.
pub async fn open(backend: &QueueBackend) -> Result<SharedQueue, QueueError> {
    match backend {
        QueueBackend::Sqlite(path) => Ok(Arc::new(SqliteQueue::open(path)?)),
        QueueBackend::Amqp(url) => Ok(Arc::new(AmqpQueue::open(url).await?)),
    }
}
