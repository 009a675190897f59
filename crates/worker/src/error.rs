//! Why the worker can't run, and why a step of a job failed.

use std::time::Duration;

use tidegate_queue::QueueError;
use tidegate_store::StoreError;

/// Why the worker can't start or go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store can't be opened.
    #[error("the store can't be opened")]
    Store(#[source] StoreError),
    /// The queue can't be opened.
    #[error("the queue can't be opened")]
    Queue(#[source] QueueError),
    /// The private listener can't be bound.
    #[error("the private listener can't be bound")]
    Listen(#[source] std::io::Error),
    /// A part of the process that must not end has ended.
    #[error("the {0} ended unexpectedly")]
    Ended(&'static str),
}

/// Why batches could not be claimed or applied: none of them was, as far as is known.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StepError {
    #[error("the store refused")]
    Store(#[from] StoreError),
    #[error("the store did not answer within {} s", .0.as_secs())]
    TimedOut(Duration),
}
