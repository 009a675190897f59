//! The trait that every database engine implements.

use std::sync::Arc;

use async_trait::async_trait;
use tidegate_core::clock::Timestamp;
use tidegate_core::outbox::OutboxSource;
use tidegate_product::contract::Contract;
use uuid::Uuid;

use crate::{
    Accepted, Backlog, Canaries, Changes, Claim, DeadLetters, GroupsPage, Hold, HotKeys, JobStatus,
    Jobs, NewBatch, NewToken, ReadAnswer, ReadRequest, Reconcile, StoreError, StoredContract,
    Swept, Token, Versions, Workers,
};

/// All that the tiers ask of the database.
#[async_trait]
pub trait Store:
    OutboxSource + Jobs + DeadLetters + HotKeys + Canaries + Workers + Reconcile
{
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

    /// Finds a token by the digest of the credential.
    ///
    /// # Errors
    /// The store can't be read.
    async fn find_token(&self, digest: &str) -> Result<Option<Token>, StoreError>;

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

    /// Returns a job of the tenant, whether it is a batch or another.
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
    async fn apply(&self, claims: Vec<Claim>, now: Timestamp) -> Result<Changes, StoreError>;

    /// Marks a claimed batch as failed for good.
    ///
    /// # Errors
    /// The store can't be written.
    async fn fail(&self, claim: &Claim, reason: &str, now: Timestamp) -> Result<(), StoreError>;

    /// Gives claims back in order: the worker drains, or could not apply them for want of the
    /// database. They don't count as unfinished then, and whoever claims the batches next is
    /// not held up.
    ///
    /// # Errors
    /// The store can't be written.
    async fn release(&self, holds: &[Hold]) -> Result<(), StoreError>;

    /// Takes a claimed batch out of the way because it kills its workers: it is
    /// [`Dead`](crate::JobState::Dead), its dead letter is filed, and its payload is kept. `false`
    /// if the claim was overtaken, and then nothing was changed.
    ///
    /// # Errors
    /// The store can't be written.
    async fn quarantine_batch(
        &self,
        claim: &Claim,
        reason: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError>;

    /// Brings back what was forgotten and forgets what is past its time. Bounded work: call again
    /// as long as something was done.
    ///
    /// Puts outbox lines for batches that wait and that nobody has touched since `untouched_since`,
    /// for other jobs that nobody has touched for much longer, for scheduled ones whose time has
    /// come, and for those whose run has lost its lease. Drops payloads past their replay time and
    /// records past theirs.
    ///
    /// # Errors
    /// The store can't be written.
    async fn sweep(&self, untouched_since: Timestamp, now: Timestamp) -> Result<Swept, StoreError>;

    // --- reads -----------------------------------------------------------------------------

    /// Returns the sequence of a product and the newest version among `tags`, in one snapshot.
    ///
    /// # Errors
    /// The store can't be read.
    async fn versions(
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
