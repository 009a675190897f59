//! Jobs other than batches: put once, run by a worker, finished with their effect.
//!
//! A *short* job runs while its message is held and ends in [`Jobs::complete`]: its effect and the
//! mark that it happened (the inbox) are one commit. A *long* job is taken with [`Jobs::begin`],
//! which lends it to one worker at a time (lease and fence), and ends in [`Jobs::end`]; its message
//! may be gone by then.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tidegate_core::clock::Timestamp;
use tidegate_core::job::Job;
use tidegate_core::notice::Notice;
use uuid::Uuid;

use crate::{JobState, JobStatus, StoreError};

/// Runs of a job, or claims of a batch, that may begin and never end. One more, and it is taken for
/// what kills the workers and is run no more.
pub const MAX_CRASHES: u32 = 5;

/// Most jobs of one [`Jobs::list_jobs`].
pub const MAX_LISTED: usize = 500;

/// A job to put.
#[derive(Clone, Debug)]
pub struct NewJob {
    /// The job. A body larger than [`MAX_INLINE_BODY`](tidegate_core::job::MAX_INLINE_BODY) stays in
    /// the store, and the message carries null.
    pub job: Job,
    /// When to run it, if not at once.
    pub run_at: Option<Timestamp>,
    /// A job of the same tenant, product and kind with the same key is the same job.
    pub idempotency_key: Option<String>,
}

/// How a job was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enqueued {
    /// It is on disk and will run.
    New,
    /// It was put before, as this job.
    Existing(Uuid),
}

/// How far a long job is. The cursor is what a later run goes on from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// From 0 to 100.
    pub percent: u8,
    /// For people.
    pub message: String,
    /// For the job itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<Value>,
}

/// A job that this worker runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobRun {
    /// The job.
    pub job: Uuid,
    /// As in [`Job::generation`].
    pub generation: u32,
    /// Raised by every run: an older one can do no harm.
    pub fence: i64,
    /// Runs of this generation, this one included, those given back left out.
    pub attempts: u32,
    /// Runs that began and never ended.
    pub crashes: u32,
    /// What the last run left.
    pub progress: Option<Progress>,
    /// The work, whether or not the message carried it.
    pub body: Value,
}

/// Whether a job may run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Begun {
    /// It is this worker's.
    Run(JobRun),
    /// There is nothing to do: it ended, was requeued as a later generation, or is not known.
    Finished,
    /// Somebody ended it before it ran.
    Cancelled,
    /// Another worker has it, or its time has not come. The sweep brings it back if need be.
    Held {
        /// Until then.
        until: Timestamp,
    },
    /// As many jobs of its kind run as may.
    Busy,
    /// It began and did not end too often: run it no more, it is for people now.
    Crashed {
        /// How often; more than [`MAX_CRASHES`].
        crashes: u32,
    },
}

/// What a worker learns when it renews a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// Go on.
    Held,
    /// Somebody wants the job to end: end it as [`Ending::Cancelled`].
    CancelRequested,
    /// It is not this worker's any more: stop, nothing it says counts.
    Lost,
}

/// How a run ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It is done.
    Done {
        /// For whoever asks for the job.
        result: Value,
    },
    /// It is to be run again, by a stable worker.
    Retry {
        /// Why.
        reason: String,
        /// When.
        at: Timestamp,
    },
    /// The worker drains: it is to be run again at once, and this run does not count.
    GivenBack,
    /// It ended without effect, and nobody needs to look at it.
    Failed {
        /// Why.
        reason: String,
    },
    /// It needs a person: a dead letter is filed with it.
    Dead {
        /// Why, beginning with a code as in [`NewDeadLetter::reason`](crate::NewDeadLetter::reason).
        reason: String,
        /// The error, outermost first.
        error_chain: Vec<String>,
    },
    /// It ended early because somebody wanted that.
    Cancelled,
}

/// What a short job changes in the store, besides the mark that it happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Counts one job of an operator's trial; see [`Probe`].
    Probe(Probe),
}

/// Body of a job of kind [`PROBE`](tidegate_core::job::PROBE): which one it is of which trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// The trial.
    pub run: Uuid,
    /// Which job of it.
    pub n: u32,
}

/// A short job that was run, with all that it leaves.
#[derive(Clone, Debug)]
pub struct Completion {
    /// The job as it was delivered.
    pub job: Job,
    /// What it changes.
    pub effect: Option<Effect>,
    /// For whoever asks for the job; kept only if it was put by [`Jobs::enqueue`].
    pub result: Value,
    /// What is broadcast with it.
    pub notices: Vec<Notice>,
    /// What it gives rise to. With ids or keys made from the job, a repetition is harmless.
    pub follow_up: Vec<NewJob>,
}

/// Whether a completion counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completed {
    /// All of it is committed.
    New,
    /// The job ended before, in whatever way: nothing was changed.
    Duplicate,
}

/// How a wish to end a job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancel {
    /// It waited, and will not run.
    Done,
    /// It runs, and its worker was told.
    Requested,
    /// It has ended; or it is a batch, whose rows were accepted and will be applied.
    TooLate,
    /// The tenant has no such job.
    Unknown,
}

/// Which jobs to list, batches among them, newest first.
#[derive(Clone, Debug)]
pub struct JobFilter {
    /// Whose.
    pub tenant: String,
    /// Of which product.
    pub product: String,
    /// In which state.
    pub state: Option<JobState>,
    /// Of which kind.
    pub kind: Option<String>,
    /// Begin after this one.
    pub before: Option<Uuid>,
    /// At most so many; never more than [`MAX_LISTED`].
    pub limit: usize,
}

/// How a trial stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeTally {
    /// Jobs put.
    pub expected: u64,
    /// Jobs that had their effect.
    pub done: u64,
    /// Effects beyond the first of each job.
    pub duplicated: u64,
}

/// Jobs other than batches.
#[async_trait]
pub trait Jobs {
    /// Writes jobs, and the outbox lines of those due now, in one transaction.
    ///
    /// # Errors
    /// Nothing was put.
    async fn enqueue(&self, jobs: Vec<NewJob>, now: Timestamp)
    -> Result<Vec<Enqueued>, StoreError>;

    /// Takes a job for `worker` and marks, before it runs, that it does.
    ///
    /// `limit` is the most jobs of its kind that run at once, over all workers.
    ///
    /// # Errors
    /// The store can't be written; the job was not taken, as far as is known.
    async fn begin(
        &self,
        job: &Job,
        worker: &str,
        lease: Duration,
        limit: Option<u32>,
        now: Timestamp,
    ) -> Result<Begun, StoreError>;

    /// Keeps a job for another `lease`, and says how far it is.
    ///
    /// # Errors
    /// The store can't be written; the lease runs on as it was.
    async fn renew(
        &self,
        run: &JobRun,
        progress: &Progress,
        lease: Duration,
        now: Timestamp,
    ) -> Result<Renewal, StoreError>;

    /// Ends a run; `false` if it was not this worker's any more, and then nothing was changed.
    ///
    /// # Errors
    /// The store can't be written; the lease runs out by itself.
    async fn end(&self, run: &JobRun, ending: Ending, now: Timestamp) -> Result<bool, StoreError>;

    /// Commits short jobs together, each with all that it leaves or, if it ended before, nothing.
    ///
    /// # Errors
    /// Nothing was committed.
    async fn complete(
        &self,
        completions: Vec<Completion>,
        now: Timestamp,
    ) -> Result<Vec<Completed>, StoreError>;

    /// Ends a job of the tenant early.
    ///
    /// # Errors
    /// The store can't be written.
    async fn cancel(&self, tenant: &str, id: Uuid, now: Timestamp) -> Result<Cancel, StoreError>;

    /// Lists jobs and batches.
    ///
    /// # Errors
    /// The store can't be read.
    async fn list_jobs(&self, filter: &JobFilter) -> Result<Vec<JobStatus>, StoreError>;

    /// Counts the jobs of a trial by how often they had their effect.
    ///
    /// # Errors
    /// The store can't be read.
    async fn probe_tally(&self, run: Uuid) -> Result<ProbeTally, StoreError>;
}
