//! A batch on its way: accepted, claimed, applied; and what a client sees of it.

use std::sync::Arc;

use tidegate_core::clock::Timestamp;
use tidegate_core::seq::DataSeq;
use tidegate_product::rows::{RejectedRow, Rows};
use uuid::Uuid;

use crate::StoredContract;

/// A validated request on its way in.
#[derive(Clone, Debug)]
pub struct NewBatch {
    /// `UUIDv7`, also the job's id.
    pub id: Uuid,
    /// Whose data.
    pub tenant: String,
    /// Which contract validated it.
    pub contract: Arc<StoredContract>,
    /// Position of the dataset.
    pub dataset: usize,
    /// The request's `Idempotency-Key`.
    pub idempotency_key: Option<String>,
    /// SHA-256 of the request's decoded body.
    pub fingerprint: [u8; 32],
    /// Rows that passed.
    pub rows: Rows,
    /// Line of each row in the request, from 1, when some were rejected.
    pub lines: Vec<u32>,
    /// Rows that did not pass.
    pub rejected: Vec<RejectedRow>,
    /// W3C trace context of the request.
    pub traceparent: Option<String>,
}

/// How a batch was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// It is on disk and will be applied.
    New,
    /// The same request was accepted before, as this job.
    Replayed(Uuid),
    /// The idempotency key was used with another body.
    KeyReused,
}

/// How many rows ended how. They add up to the rows sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Counts {
    /// Applied.
    pub new: u64,
    /// Present before, with the same content.
    pub duplicate: u64,
    /// Applied although older than the watermark by more than the dataset's `late_after`.
    pub late: u64,
    /// Quarantined.
    pub rejected: u64,
}

/// Where a job stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobStatus {
    /// The job.
    pub id: Uuid,
    /// What it does.
    pub kind: String,
    /// Product and dataset.
    pub product: String,
    /// The dataset.
    pub dataset: String,
    /// How far it is.
    pub state: JobState,
    /// Rows sent.
    pub rows: u64,
    /// Final once applied; before that only `rejected` is known.
    pub counts: Counts,
    /// The first 100 reasons.
    pub rejected: Vec<RejectedRow>,
    /// When it was accepted.
    pub received_at: Timestamp,
    /// When it was applied or failed.
    pub finished_at: Option<Timestamp>,
    /// Commit that applied it.
    pub seq: Option<DataSeq>,
    /// Why it failed.
    pub error: Option<String>,
}

/// State of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// Waits.
    Accepted,
    /// A worker holds it.
    Running,
    /// Done.
    Applied,
    /// Ended without effect.
    Failed,
}

/// A batch held by this worker.
#[derive(Debug)]
pub struct Claim {
    /// The batch.
    pub id: Uuid,
    /// Whose data.
    pub tenant: String,
    /// The contract that validated it.
    pub contract: Arc<StoredContract>,
    /// Position of the dataset.
    pub dataset: usize,
    /// Raised by every claim: an older holder can do no harm.
    pub fence: i64,
    /// Times it was claimed, this one included.
    pub attempts: i64,
    /// The rows.
    pub rows: Rows,
    /// As in [`NewBatch`].
    pub lines: Vec<u32>,
}

/// How applying one batch ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Applied {
    /// All effects are committed.
    Done(Uuid, Counts),
    /// Another worker claimed it since: no effect.
    Overtaken(Uuid),
    /// Its rows can't be applied, for example because a sum overflows: no effect, and it is
    /// marked as failed.
    Failed(Uuid, String),
}

/// Counts that monitoring shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Batches accepted and not yet applied.
    pub batches: u64,
    /// When the oldest of them was accepted.
    pub oldest: Option<Timestamp>,
    /// Outbox lines not yet published.
    pub outbox: u64,
}

/// What one look for forgotten things has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Batches whose job was put once more.
    pub requeued: usize,
    /// Payloads dropped.
    pub dropped: usize,
}

// === impl Swept ===

impl Swept {
    /// Returns whether there was nothing to do.
    pub fn is_empty(self) -> bool {
        self == Self::default()
    }
}
