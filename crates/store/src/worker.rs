//! Workers as the others see them: heartbeats, and jobs that are suspected of killing them.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tidegate_core::clock::Timestamp;
use tidegate_core::job::{Arm, Lane};
use uuid::Uuid;

use crate::StoreError;

/// How often a worker says that it lives.
pub const BEAT_EVERY: Duration = Duration::from_secs(2);

/// A worker that has not been heard of for so long is taken for dead.
pub const DEAD_AFTER: Duration = Duration::from_secs(10);

/// A worker's word that it lives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerBeat {
    /// Unique among all processes.
    pub id: String,
    /// Whose jobs it takes.
    pub arm: Arm,
    /// Its release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
    /// When it started.
    pub started_at: Timestamp,
    /// Jobs that it can run at once.
    pub slots: u32,
    /// Jobs that it runs.
    pub busy: u32,
    /// The same by lane.
    pub lanes: Vec<LaneBeat>,
    /// Whether it ends soon and takes no more.
    pub draining: bool,
}

/// What a worker does for one lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneBeat {
    /// The lane.
    pub lane: Lane,
    /// Jobs of it that it holds.
    pub busy: u32,
    /// Median time of its latest jobs, in microseconds; 0 if there were none.
    pub p50_us: u64,
}

/// Workers and suspects.
#[async_trait]
pub trait Workers {
    /// Notes that a worker lives.
    ///
    /// # Errors
    /// The store can't be written.
    async fn beat(&self, beat: &WorkerBeat, now: Timestamp) -> Result<(), StoreError>;

    /// Returns the last word of every worker heard of within [`DEAD_AFTER`], by id.
    ///
    /// # Errors
    /// The store can't be read.
    async fn workers(&self, now: Timestamp) -> Result<Vec<WorkerBeat>, StoreError>;

    /// Notes, before a redelivered job runs, that it may be what ended an earlier run; returns how
    /// often that was noted, this time included.
    ///
    /// # Errors
    /// The store can't be written.
    async fn suspect(&self, job: Uuid, generation: u32, now: Timestamp) -> Result<u32, StoreError>;

    /// Forgets suspicions: these jobs ended in order. [`Jobs::complete`](crate::Jobs::complete) and
    /// [`DeadLetters::file`](crate::DeadLetters::file) do so by themselves.
    ///
    /// # Errors
    /// The store can't be written.
    async fn acquit(&self, jobs: &[(Uuid, u32)]) -> Result<(), StoreError>;
}
