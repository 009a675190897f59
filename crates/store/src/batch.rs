//! A batch on its way: accepted, claimed, applied; and what a client sees of it.

use std::sync::Arc;

use serde_json::Value;
use tidegate_core::clock::Timestamp;
use tidegate_core::job::{Arm, Lane};
use tidegate_core::seq::DataSeq;
use tidegate_product::rows::{RejectedRow, Rows};
use uuid::Uuid;

use crate::{Progress, StoredContract};

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
    /// Release that the request was routed to.
    pub release: Option<String>,
    /// Whose workers apply it first. Should that message be lost, stable ones do.
    pub arm: Arm,
    /// Cohort of the request, in basis points.
    pub cohort: Option<u16>,
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
    /// The product.
    pub product: String,
    /// The dataset of a batch.
    pub dataset: Option<String>,
    /// The queue it waits in.
    pub lane: Lane,
    /// How far it is.
    pub state: JobState,
    /// Times it was begun, as far as the store was told.
    pub attempts: u32,
    /// When it is to run, while it waits for that.
    pub run_at: Option<Timestamp>,
    /// What its last run said.
    pub progress: Option<Progress>,
    /// What it came to, other than a batch.
    pub result: Option<Value>,
    /// Rows sent.
    pub rows: u64,
    /// Final once applied; before that only `rejected` is known.
    pub counts: Counts,
    /// The first 100 reasons.
    pub rejected: Vec<RejectedRow>,
    /// When it was accepted.
    pub received_at: Timestamp,
    /// When it reached the state that it is in, if that is an end.
    pub finished_at: Option<Timestamp>,
    /// Commit that applied it.
    pub seq: Option<DataSeq>,
    /// Why it failed, or why it is tried again.
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
    /// Ended early because somebody wanted that.
    Cancelled,
    /// Filed as a dead letter: it has ended unless a person brings it back.
    Dead,
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
    /// Claims that never ended, this one included: a batch that kills its worker is claimed again
    /// and again.
    pub unfinished: u32,
    /// The rows.
    pub rows: Rows,
    /// As in [`NewBatch`].
    pub lines: Vec<u32>,
}

/// Names a claim when its rows are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    /// The batch.
    pub batch: Uuid,
    /// As in [`Claim`].
    pub fence: i64,
}

/// What one commit has changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// How each batch ended.
    pub applied: Vec<Applied>,
    /// Tags that were touched in each space that was changed: what was purged.
    pub purges: Vec<(DataSeq, Vec<String>)>,
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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Batches accepted and not yet applied.
    pub batches: u64,
    /// When the oldest of them was accepted.
    pub oldest: Option<Timestamp>,
    /// Outbox lines not yet published.
    pub outbox: u64,
    /// What waits or runs in each lane, batches included; a lane that is missing is empty.
    pub lanes: Vec<LaneBacklog>,
    /// Dead letters that nobody has decided about.
    pub dead: u64,
}

/// What waits or runs in one lane, as far as the store knows: it does not know jobs that edges put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneBacklog {
    /// The lane.
    pub lane: Lane,
    /// Jobs that are due and have not ended.
    pub waiting: u64,
    /// When the oldest of them was put.
    pub oldest: Option<Timestamp>,
}

/// What one look for forgotten things has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Batches and jobs whose message was put once more.
    pub requeued: usize,
    /// Jobs whose time has come.
    pub due: usize,
    /// Runs whose lease ran out.
    pub expired: usize,
    /// Payloads dropped.
    pub dropped: usize,
    /// Records past their time that were deleted.
    pub pruned: usize,
}

// === impl JobState ===

impl JobState {
    /// All states.
    pub const ALL: [Self; 6] =
        [Self::Accepted, Self::Running, Self::Applied, Self::Failed, Self::Cancelled, Self::Dead];

    /// Returns the state's name in documents and in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Running => "running",
            Self::Applied => "applied",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Dead => "dead",
        }
    }

    /// Returns the state of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }

    /// Returns whether the job has ended; a dead one has, unless a person brings it back.
    pub fn is_final(self) -> bool {
        match self {
            Self::Accepted | Self::Running => false,
            Self::Applied | Self::Failed | Self::Cancelled | Self::Dead => true,
        }
    }
}

// === impl Claim ===

impl Claim {
    /// Returns what names this claim.
    pub fn hold(&self) -> Hold {
        Hold { batch: self.id, fence: self.fence }
    }
}

// === impl Swept ===

impl Swept {
    /// Returns whether there was nothing to do.
    pub fn is_empty(self) -> bool {
        self == Self::default()
    }
}
