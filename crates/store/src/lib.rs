//! Semantic storage operations: accept a batch, apply it, read a view.

use std::sync::Arc;

use async_trait::async_trait;
use tidegate_core::clock::Timestamp;
use tidegate_core::outbox::OutboxSource;
use tidegate_core::seq::DataSeq;
use tidegate_product::contract::Contract;
use tidegate_product::read::{ReadPlan, Table};
use tidegate_product::rows::{RejectedRow, Rows};
use uuid::Uuid;

/// A store that this process is connected to.
pub type SharedStore = Arc<dyn Store>;

/// All that the tiers ask of the database.
#[async_trait]
pub trait Store: OutboxSource {
    /// Returns the store's incarnation, part of every data sequence.
    fn incarnation(&self) -> &str;

    /// Returns the secret that scope keys are made with, shared by all api instances.
    fn scope_secret(&self) -> &[u8];

    // --- contracts -------------------------------------------------------------------------

    /// Registers a contract and creates what it needs; the same contract again changes nothing.
    ///
    /// # Errors
    /// [`StoreError::Incompatible`] if stored data does not fit it.
    async fn apply_contract(
        &self,
        contract: &Contract,
        now: Timestamp,
    ) -> Result<Arc<StoredContract>, StoreError>;

    /// Returns the newest contract of every product. Cached; reloaded after a change.
    ///
    /// # Errors
    /// The store can't be read.
    async fn contracts(&self) -> Result<Vec<Arc<StoredContract>>, StoreError>;

    // --- tokens ----------------------------------------------------------------------------

    /// Keeps a token by its digest.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if the name is taken.
    async fn create_token(&self, token: NewToken, now: Timestamp) -> Result<(), StoreError>;

    /// Finds a token by the digest of the credential; runs on the calling thread in microseconds.
    ///
    /// # Errors
    /// The store can't be read.
    fn find_token(&self, digest: &str) -> Result<Option<Token>, StoreError>;

    /// Lists the tokens, without digests.
    ///
    /// # Errors
    /// The store can't be read.
    async fn tokens(&self) -> Result<Vec<Token>, StoreError>;

    /// Revokes a token by name, with a notice to the edges; `false` if there is none.
    ///
    /// # Errors
    /// The store can't be written.
    async fn revoke_token(&self, name: &str) -> Result<bool, StoreError>;

    // --- ingest ----------------------------------------------------------------------------

    /// T0: writes batch, quarantined rows, job and outbox line in one transaction.
    ///
    /// # Errors
    /// The store can't be written; nothing was accepted.
    async fn accept(&self, batch: NewBatch, now: Timestamp) -> Result<Accepted, StoreError>;

    /// Returns a job of the tenant.
    ///
    /// # Errors
    /// The store can't be read.
    async fn job(&self, tenant: &str, id: Uuid) -> Result<Option<JobStatus>, StoreError>;

    /// T1: claims a batch with a new fence; a batch that is already applied or failed, or unknown,
    /// is none to claim.
    ///
    /// # Errors
    /// The store can't be written.
    async fn claim(&self, batches: &[Uuid], now: Timestamp) -> Result<Vec<Claim>, StoreError>;

    /// T2: applies claimed batches in one transaction, each with all its effects or, if its claim
    /// was overtaken, none.
    ///
    /// # Errors
    /// Nothing was applied.
    async fn apply(&self, claims: Vec<Claim>, now: Timestamp) -> Result<Vec<Applied>, StoreError>;

    /// Marks a claimed batch as failed for good.
    ///
    /// # Errors
    /// The store can't be written.
    async fn fail(&self, claim: &Claim, reason: &str, now: Timestamp) -> Result<(), StoreError>;

    /// Puts an outbox line for every batch that has waited since before `accepted_before`, and
    /// drops payloads past their replay time; bounded work. Returns how many were put.
    ///
    /// # Errors
    /// The store can't be written.
    async fn sweep(&self, accepted_before: Timestamp, now: Timestamp) -> Result<usize, StoreError>;

    // --- reads -----------------------------------------------------------------------------

    /// Returns the sequence of a product and the newest version among `tags`, in one snapshot;
    /// runs on the calling thread in microseconds.
    ///
    /// # Errors
    /// The store can't be read.
    fn versions(
        &self,
        tenant: &str,
        product: &str,
        tags: &[String],
    ) -> Result<Versions, StoreError>;

    /// Reads groups or rows with the versions of `tags`, all in one snapshot.
    ///
    /// # Errors
    /// The store can't be read, or the deadline passed.
    async fn read(&self, request: ReadRequest) -> Result<ReadAnswer, StoreError>;

    /// Reads all groups of a view in the order of their names, page by page.
    ///
    /// # Errors
    /// The store can't be read.
    async fn groups(&self, page: GroupsPage) -> Result<ReadAnswer, StoreError>;

    /// Returns counts that monitoring shows.
    ///
    /// # Errors
    /// The store can't be read.
    async fn backlog(&self) -> Result<Backlog, StoreError>;
}

/// A contract as registered.
#[derive(Debug)]
pub struct StoredContract {
    /// Number of this contract among the product's, from 1.
    pub version: i64,
    /// The contract.
    pub contract: Contract,
}

/// A token to keep.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// Unique name.
    pub name: String,
    /// SHA-256 of the credential, hex.
    pub digest: String,
    /// Whose data.
    pub tenant: String,
    /// What it may do.
    pub scopes: Vec<String>,
}

/// A token as kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Unique name.
    pub name: String,
    /// Whose data.
    pub tenant: String,
    /// What it may do: `read:air`, `write:air`, `admin:air`; `*` stands for any product.
    pub scopes: Vec<String>,
    /// When it was made.
    pub created_at: Timestamp,
}

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
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
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

/// Versions of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Versions {
    /// The product's sequence.
    pub seq: DataSeq,
    /// Newest version among the tags asked for; 0 if none was ever touched.
    pub newest: u64,
    /// When the newest applied batch was applied.
    pub applied_at: Option<Timestamp>,
}

/// A bounded read.
#[derive(Clone, Debug)]
pub struct ReadRequest {
    /// Whose data.
    pub tenant: String,
    /// By which contract.
    pub contract: Arc<StoredContract>,
    /// What.
    pub plan: ReadPlan,
    /// Tags of the response.
    pub tags: Vec<String>,
    /// When to give up.
    pub deadline: Timestamp,
}

/// A page of a view's groups.
#[derive(Clone, Debug)]
pub struct GroupsPage {
    /// Whose data.
    pub tenant: String,
    /// By which contract.
    pub contract: Arc<StoredContract>,
    /// Position of the view.
    pub view: usize,
    /// Begin after the group of these dimensions and bucket.
    pub after: Option<Vec<tidegate_product::fold::Value>>,
    /// Most groups returned.
    pub limit: usize,
}

/// What was read, and from which snapshot.
#[derive(Clone, Debug, PartialEq)]
pub struct ReadAnswer {
    /// The values.
    pub table: Table,
    /// The snapshot.
    pub versions: Versions,
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

/// Why a store operation failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database can't be used at present: try again later.
    #[error("the store can't be used")]
    Unavailable(#[from] tidegate_sqlite::Error),
    /// The read took longer than its deadline.
    #[error("the read took too long")]
    Deadline,
    /// A name is taken.
    #[error("{0} exists")]
    Conflict(String),
    /// Stored data does not fit the contract.
    #[error("the contract does not fit what is stored: {0}")]
    Incompatible(String),
    /// What is stored is not of a shape this build knows.
    #[error("stored {what} can't be read: {reason}")]
    Corrupt {
        /// Which record.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}
