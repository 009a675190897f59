//! Why the queue could not be used.

use std::time::Duration;

/// Why the queue could not be used.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// The file or the server can't be used at present: try again later.
    #[error("the queue can't be used")]
    Unavailable(#[from] tidegate_sqlite::Error),
    /// No answer in time. What was asked for may still happen: ask again.
    #[error("the queue did not answer within {} s", .0.as_secs())]
    TimedOut(Duration),
    /// This consumer was taken for dead and its deliveries were given to others: build a new one.
    #[error("the consumer was taken for dead")]
    Disconnected,
    /// A message can't be written as JSON: publishing it again fails again.
    #[error("a message can't be written as JSON")]
    Malformed(#[from] serde_json::Error),
    /// The wake-up sockets' or the consumers' directory can't be used.
    #[error("a directory beside the queue's file can't be used")]
    Directory(#[from] std::io::Error),
    /// The file was written by a newer release.
    #[error("the queue's file has layout {found}; this build knows {known}")]
    Newer {
        /// The file's.
        found: i64,
        /// Ours.
        known: i64,
    },
}
