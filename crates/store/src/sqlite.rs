//! The store on SQLite: one file, one writer thread with group commit, a pool of readers.

mod bind;
mod contracts;
mod fit;
mod schema;
mod tables;

mod accept;
mod claim;

mod apply;
mod commit;
mod insert;
mod merge;

mod read;
mod versions;

mod canary;
mod dead_letter;
mod hot;
mod job;
mod reconcile;
mod worker;

mod backlog;
mod outbox;
mod row;
mod status;
mod sweep;
mod tokens;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use tidegate_core::clock::Timestamp;
use tidegate_core::notice::Notice;
use tidegate_product::contract::Contract;
use tidegate_product::read::ReadPlan;
use tidegate_sqlite::Database;
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;
use uuid::Uuid;

use crate::identity::Identity;
use crate::sqlite::accept::Packed;
use crate::sqlite::outbox::Strays;
use crate::sqlite::read::{PAGE_LIMIT, ReadJob};
use crate::transform::compiled::Compiled;
use crate::transform::plan::{self, Dialect};
use crate::transform::prepare::prepare;
use crate::transform::space::Space;
use crate::transform::work::Work;
use crate::{
    Accepted, Backlog, Changes, Claim, GroupsPage, Hold, JobStatus, NewBatch, NewToken, ReadAnswer,
    ReadRequest, Store, StoreError, StoredContract, Swept, Token, Versions,
};

/// Connections for reads that end in microseconds and are made on the calling thread.
const QUICK_READERS: usize = 4;

/// Connections for reads that turned out to be long: these must never use up the others.
const LONG_READERS: usize = 4;

/// A store in one SQLite file.
pub struct SqliteStore {
    database: Database,
    identity: Identity,
    compiled: Arc<Compiled>,
    committed: Notify,
    strays: Strays,
    long_reads: Semaphore,
}

// === impl SqliteStore ===

impl SqliteStore {
    /// Opens or creates the file at `path` and creates what is missing in it.
    ///
    /// # Errors
    /// The file can't be opened, or was made by a build that knows more than this one.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let mut identity = None;
        let database = Database::open_with(path, QUICK_READERS + LONG_READERS, |sql| {
            identity = Some(schema::migrate(sql)?);
            Ok::<_, StoreError>(())
        })?;
        let identity = identity.expect("opening must have run the set-up");
        let strays = database.read(|sql| Strays::new(sql, Instant::now()))?;
        let committed = Notify::new();
        // Lines may have been left by the process before.
        committed.notify_one();
        Ok(Self {
            database,
            identity,
            compiled: Arc::default(),
            committed,
            strays,
            long_reads: Semaphore::new(LONG_READERS),
        })
    }
}

impl std::fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteStore").field("database", &self.database).finish_non_exhaustive()
    }
}

#[async_trait]
impl Store for SqliteStore {
    fn incarnation(&self) -> &str {
        &self.identity.incarnation
    }

    fn scope_secret(&self) -> &[u8] {
        &self.identity.scope_secret
    }

    async fn apply_contract(
        &self,
        contract: &Contract,
        now: Timestamp,
    ) -> Result<Arc<StoredContract>, StoreError> {
        let name = contract.name.clone();
        let contract = contract.clone();
        let version =
            self.database.write(move |sql| contracts::register(sql, &contract, now)).await?;
        let compiled = Arc::clone(&self.compiled);
        self.database.read_blocking(move |sql| contracts::get(sql, &compiled, &name, version)).await
    }

    async fn contracts(&self) -> Result<Vec<Arc<StoredContract>>, StoreError> {
        self.database.read(|sql| contracts::newest(sql, &self.compiled))
    }

    async fn create_token(&self, token: NewToken, now: Timestamp) -> Result<(), StoreError> {
        self.database.write(move |sql| tokens::create(sql, &token, now)).await
    }

    async fn find_token(&self, digest: &str) -> Result<Option<Token>, StoreError> {
        self.database.read(|sql| tokens::find(sql, digest))
    }

    async fn tokens(&self) -> Result<Vec<Token>, StoreError> {
        self.database.read_blocking(tokens::list).await
    }

    async fn revoke_token(&self, name: &str) -> Result<bool, StoreError> {
        let name = name.to_owned();
        let revoked = self.database.write(move |sql| tokens::revoke(sql, &name)).await?;
        self.committed.notify_one();
        Ok(revoked)
    }

    async fn accept(&self, batch: NewBatch, now: Timestamp) -> Result<Accepted, StoreError> {
        // The writer thread is shared by all requests: nothing is computed on it.
        let (batch, packed) = tokio::task::spawn_blocking(move || {
            let packed = Packed::of(&batch, now)?;
            Ok::<_, StoreError>((batch, packed))
        })
        .await
        .map_err(|_| stopped())??;
        let accepted =
            self.database.write(move |sql| accept::accept(sql, &batch, &packed, now)).await?;
        self.committed.notify_one();
        Ok(accepted)
    }

    async fn job(&self, tenant: &str, id: Uuid) -> Result<Option<JobStatus>, StoreError> {
        self.database.read(|sql| status::job(sql, &self.identity.incarnation, tenant, id))
    }

    async fn claim(&self, batches: &[Uuid], now: Timestamp) -> Result<Vec<Claim>, StoreError> {
        let mut batches = batches.to_vec();
        // Claimed twice, a batch would be held by its second claim only.
        batches.sort_unstable();
        batches.dedup();
        let held = self
            .database
            .write(move |sql| {
                let claims = batches.into_iter().map(|batch| claim::claim(sql, batch, now));
                claims.filter_map(Result::transpose).collect::<Result<Vec<_>, StoreError>>()
            })
            .await?;
        let compiled = Arc::clone(&self.compiled);
        self.database.read_blocking(move |sql| claim::load_all(sql, &compiled, held)).await
    }

    async fn apply(&self, claims: Vec<Claim>, now: Timestamp) -> Result<Changes, StoreError> {
        let works = tokio::task::spawn_blocking(move || {
            let work = |claim: Claim| {
                let dataset = &claim.contract.contract.datasets[claim.dataset];
                Work { prepared: prepare(dataset, &claim.rows), claim }
            };
            claims.into_iter().map(work).collect::<Vec<_>>()
        })
        .await
        .map_err(|_| stopped())?;
        let incarnation = Arc::clone(&self.identity.incarnation);
        let changes =
            self.database.write(move |sql| apply::apply(sql, &incarnation, &works, now)).await?;
        self.committed.notify_one();
        Ok(changes)
    }

    async fn fail(&self, claim: &Claim, reason: &str, now: Timestamp) -> Result<(), StoreError> {
        let (ended, reason) = (commit::Ended::of(claim, now), reason.to_owned());
        self.database
            .write(move |sql| {
                if commit::mark_failed(sql, &ended, &reason)? {
                    let jobs = vec![ended.batch];
                    outbox::put_notice(sql, Notice::JobsFinished { jobs })?;
                }
                Ok::<_, StoreError>(())
            })
            .await?;
        self.committed.notify_one();
        Ok(())
    }

    async fn release(&self, holds: &[Hold]) -> Result<(), StoreError> {
        let holds = holds.to_vec();
        self.database
            .write(move |sql| holds.into_iter().try_for_each(|hold| claim::release(sql, hold)))
            .await
    }

    async fn quarantine_batch(
        &self,
        claim: &Claim,
        reason: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let (hold, reason) = (claim.hold(), reason.to_owned());
        let quarantined =
            self.database.write(move |sql| claim::quarantine(sql, hold, &reason, now)).await?;
        self.committed.notify_one();
        Ok(quarantined)
    }

    async fn sweep(&self, untouched_since: Timestamp, now: Timestamp) -> Result<Swept, StoreError> {
        let dropped = self.database.write(move |sql| sweep::drop_payloads(sql, now)).await?;
        let requeued =
            self.database.write(move |sql| sweep::requeue(sql, untouched_since, now)).await?;
        let jobs = self.database.write(move |sql| {
            let (due, expired) =
                (sweep::jobs::put_due(sql, now)?, sweep::jobs::take_back(sql, now)?);
            Ok::<_, StoreError>((due, expired, sweep::jobs::put_lost(sql, untouched_since, now)?))
        });
        let (due, expired, lost) = jobs.await?;
        self.committed.notify_one();
        let records = self.database.write(move |sql| sweep::prune::prune(sql, now)).await?;
        let batches = self.database.write(move |sql| sweep::prune::prune_batches(sql, now)).await?;
        let (requeued, pruned) = (requeued + lost, records + batches);
        Ok(Swept { requeued, due, expired, dropped, pruned })
    }

    async fn versions(
        &self,
        tenant: &str,
        product: &str,
        tags: &[String],
    ) -> Result<Versions, StoreError> {
        let space = Space { tenant, product };
        self.database.read(|sql| versions::versions(sql, &self.identity.incarnation, space, tags))
    }

    async fn read(&self, request: ReadRequest) -> Result<ReadAnswer, StoreError> {
        let contract = &request.contract.contract;
        let query = match &request.plan {
            ReadPlan::Groups(plan) => {
                plan::groups(Dialect::Sqlite, contract, &request.tenant, plan)
            }
            ReadPlan::Rows(plan) => plan::rows(Dialect::Sqlite, contract, &request.tenant, plan),
        };
        let job = ReadJob {
            incarnation: Arc::clone(&self.identity.incarnation),
            product: contract.name.clone(),
            tenant: request.tenant,
            tags: request.tags,
            query,
        };
        self.read_query(job, request.deadline.since(Timestamp::now())).await
    }

    async fn groups(&self, page: GroupsPage) -> Result<ReadAnswer, StoreError> {
        let job = ReadJob {
            incarnation: Arc::clone(&self.identity.incarnation),
            product: page.contract.contract.name.clone(),
            query: plan::page(Dialect::Sqlite, &page),
            tenant: page.tenant,
            tags: Vec::new(),
        };
        self.read_query(job, PAGE_LIMIT).await
    }

    async fn backlog(&self) -> Result<Backlog, StoreError> {
        self.database.read_blocking(backlog::backlog).await
    }
}

pub(crate) fn stopped() -> StoreError {
    tidegate_sqlite::Error::Stopped.into()
}

fn uuid(bytes: &[u8]) -> Result<Uuid, StoreError> {
    Uuid::from_slice(bytes)
        .map_err(|error| StoreError::Corrupt { what: "id", reason: error.to_string() })
}

#[cfg(test)]
mod tests;
