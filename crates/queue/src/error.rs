//! Why the queue could not be used.

use std::time::Duration;

use uuid::Uuid;

/// Why the queue could not be used.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// The file can't be used at present: try again later.
    #[error("the queue can't be used")]
    File(#[from] tidegate_sqlite::Error),
    /// The broker can't be used at present: try again later.
    #[error("the broker {server} can't be used: {reason}")]
    Unavailable {
        /// The broker.
        server: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No answer in time. What was asked for may still happen: ask again.
    #[error("the queue did not answer within {} s", .0.as_secs())]
    TimedOut(Duration),
    /// This consumer was taken for dead and its deliveries were given to others: build a new one.
    #[error("the consumer was taken for dead")]
    Disconnected,
    /// No queue takes such messages: publish again later. Queues that are missing are declared anew.
    #[error("no queue takes messages with the key '{key}'")]
    Unroutable {
        /// The key.
        key: String,
    },
    /// The broker did not take a message in, because its queue is full or has no leader: publish
    /// again later.
    #[error("the broker refused a message")]
    Refused,
    /// A message can't be written as JSON: publishing it again fails again.
    #[error("a message can't be written as JSON")]
    Malformed(#[from] serde_json::Error),
    /// A message is too large: publishing it again fails again.
    #[error("job {job} is too large for a message ({bytes} bytes); its body belongs in the store")]
    TooLarge {
        /// The job.
        job: Uuid,
        /// Its size as JSON.
        bytes: usize,
    },
    /// The URL of the broker is wrong.
    #[error("the queue's URL is wrong: {0}")]
    Url(String),
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

// === impl QueueError ===

impl QueueError {
    /// Returns whether the same call fails again however often it is made.
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Malformed(_) | Self::TooLarge { .. } | Self::Url(_) | Self::Newer { .. } => true,
            Self::File(_)
            | Self::Unavailable { .. }
            | Self::TimedOut(_)
            | Self::Disconnected
            | Self::Unroutable { .. }
            | Self::Refused
            | Self::Directory(_) => false,
        }
    }
}
