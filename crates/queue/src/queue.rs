//! What a process asks of a queue.

use std::sync::Arc;

use async_trait::async_trait;
use tidegate_core::clock::Timestamp;
use tidegate_core::job::{Job, Lane};
use tidegate_core::notice::Notice;

use crate::{Consumer, DeadLetters, QueueError, Subscription};

/// A queue that this process uses.
pub type SharedQueue = Arc<dyn Queue>;

/// Work queues and a broadcast, on SQLite or a broker.
#[async_trait]
pub trait Queue: Send + Sync {
    /// Publishes jobs to the lanes they name, those of a canary to its own queue; returns once all
    /// of them are on disk.
    ///
    /// # Errors
    /// None, some or all may have been published: publish them again.
    async fn publish(&self, jobs: &[Job]) -> Result<(), QueueError>;

    /// Starts consuming `source`, holding at most `prefetch` unsettled deliveries.
    ///
    /// From now on jobs of the canary that `source` names wait for its consumers, until
    /// [`Queue::revoke_canary`].
    ///
    /// # Errors
    /// The queue can't be reached.
    async fn consume(
        &self,
        source: Source<'_>,
        prefetch: usize,
    ) -> Result<Box<dyn Consumer>, QueueError>;

    /// Starts reading what was kept aside, holding at most `prefetch` letters that are not filed.
    ///
    /// # Errors
    /// The queue can't be reached.
    async fn dead_letters(&self, prefetch: usize) -> Result<Box<dyn DeadLetters>, QueueError>;

    /// Publishes notices to every subscriber, in order; returns once the queue has them.
    ///
    /// # Errors
    /// As for [`Queue::publish`].
    async fn broadcast(&self, notices: &[Notice]) -> Result<(), QueueError>;

    /// Subscribes to notices published from now on.
    ///
    /// # Errors
    /// The queue can't be reached.
    async fn subscribe(&self) -> Result<Box<dyn Subscription>, QueueError>;

    /// Returns how many jobs wait where.
    ///
    /// # Errors
    /// The queue can't be reached.
    async fn depth(&self) -> Result<Depths, QueueError>;

    /// Lets jobs of the canary `release` go to stable workers from now on, and moves those that
    /// wait for its own; returns how many moved. What its consumers hold and give back later is
    /// moved by the next call: doing it twice does no harm.
    ///
    /// # Errors
    /// The queue can't be reached: call it again.
    async fn revoke_canary(&self, release: &str) -> Result<u64, QueueError>;

    /// Returns whether the queue can be used at present. Never waits.
    fn state(&self) -> QueueState;
}

/// Where a consumer takes jobs from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Source<'a> {
    /// The lane.
    pub lane: Lane,
    /// The release whose canary jobs are meant; `None` for those of stable workers.
    pub canary: Option<&'a str>,
}

/// How many jobs wait, and where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Depths {
    /// Each lane of the stable workers, most urgent first, and then those of canaries.
    pub lanes: Vec<Depth>,
    /// Kept aside and not yet filed.
    pub unfiled: u64,
    /// Taken in although no queue was there for them: a person has to look.
    pub unrouted: u64,
}

/// How many jobs one lane holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Depth {
    /// The lane.
    pub lane: Lane,
    /// The release, if the jobs wait for its canary workers.
    pub canary: Option<String>,
    /// Waiting for a consumer, or for the time of their retry.
    pub ready: u64,
    /// Held by a consumer. A broker tells of the consumers of this process only.
    pub unacked: u64,
    /// When the oldest job that is ready or held was published, if that is known.
    pub oldest: Option<Timestamp>,
    /// A time not after the one at which the job that is handed out next was published; `None` if
    /// there is no such job.
    pub next: Option<Timestamp>,
}

/// Whether a queue can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueueState {
    /// It can.
    Connected,
    /// The broker takes nothing in for now: it lacks memory or disk.
    Blocked {
        /// Since when.
        since: Timestamp,
        /// What the broker says.
        reason: String,
    },
    /// There is no connection.
    Disconnected {
        /// Since when.
        since: Timestamp,
        /// Why.
        error: String,
    },
}

// === impl Source ===

impl Source<'_> {
    /// Returns the source of a lane's stable workers.
    pub fn stable(lane: Lane) -> Self {
        Self { lane, canary: None }
    }
}

// === impl Depths ===

impl Depths {
    /// Returns the depth of a lane of the stable workers.
    pub fn stable(&self, lane: Lane) -> Option<&Depth> {
        self.lanes.iter().find(|depth| depth.lane == lane && depth.canary.is_none())
    }
}

// === impl QueueState ===

impl QueueState {
    /// Returns why the queue can't be used, if it can't.
    ///
    /// # Errors
    /// It can't be used.
    pub fn check(&self) -> Result<(), String> {
        match self {
            Self::Connected => Ok(()),
            Self::Blocked { since, reason } => {
                Err(format!("the broker takes nothing in since {}: {reason}", since.to_rfc3339()))
            }
            Self::Disconnected { since, error } => {
                Err(format!("not connected since {}: {error}", since.to_rfc3339()))
            }
        }
    }
}
