//! The store on PostgreSQL: one schema of a database, shared by all processes that use it.

mod address;
mod bind;
mod fault;
mod pool;
mod tls;

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

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tidegate_core::backend::ServerUrl;
use tidegate_core::clock::Timestamp;
use tidegate_core::notice::Notice;
use tidegate_core::outbox::{OutboxEntry, OutboxError, OutboxSource};
use tidegate_product::contract::Contract;
use tidegate_product::read::ReadPlan;
use tokio::sync::Notify;
use tokio::time::Instant;
use uuid::Uuid;

use crate::identity::Identity;
use crate::postgres::accept::Packed;
use crate::postgres::address::Address;
use crate::postgres::fault::{Fault, retried};
use crate::postgres::outbox::Strays;
use crate::postgres::pool::{Pool, Session};
use crate::transform::compiled::Compiled;
use crate::transform::plan::{self, Dialect, Query};
use crate::transform::prepare::prepare;
use crate::transform::space::Space;
use crate::transform::work::Work;
use crate::{
    Accepted, Backlog, Changes, Claim, GroupsPage, Hold, JobStatus, NewBatch, NewToken, ReadAnswer,
    ReadRequest, Store, StoreError, StoredContract, Swept, Token, Versions,
};

/// The longest that a small transaction may take.
const WRITE: Duration = Duration::from_secs(15);

/// The longest that a look at few rows may take.
const LOOK: Duration = Duration::from_secs(5);

/// The longest a listing of groups may take.
const PAGE_LIMIT: Duration = Duration::from_secs(10);

/// How long lines that others left behind wait for this process's relay at most.
const POLL: Duration = Duration::from_secs(1);

/// A store in one PostgreSQL database.
pub struct PostgresStore {
    /// Apart, so that slow reads keep nothing from being written.
    reads: Pool,
    writes: Pool,
    identity: Identity,
    compiled: Compiled,
    committed: Notify,
    strays: Strays,
    shown: String,
}

// === impl PostgresStore ===

impl PostgresStore {
    /// Connects to the database at `url` and creates what is missing in it.
    ///
    /// # Errors
    /// It can't be reached or used, or was made by a build that knows more than this one.
    pub async fn open(url: &ServerUrl) -> Result<Self, StoreError> {
        let address = Address::read(url)?;
        let (reads, writes) = (Pool::new(&address)?, Pool::new(&address)?);
        let identity = retried(|| schema::migrate(&writes)).await?;
        let committed = Notify::new();
        // Lines may have been left by the process before.
        committed.notify_one();
        Ok(Self {
            reads,
            writes,
            identity,
            compiled: Compiled::default(),
            committed,
            strays: Strays::new(Instant::now()),
            shown: address.shown,
        })
    }

    /// Takes a connection for a look at few rows.
    async fn look(&self) -> Result<Session<'_>, Fault> {
        self.reads.session(Instant::now() + LOOK).await
    }

    /// Takes a connection for a page of something.
    async fn page(&self) -> Result<Session<'_>, Fault> {
        self.reads.session(Instant::now() + PAGE_LIMIT).await
    }

    /// Takes a connection for one statement that writes.
    async fn write(&self) -> Result<Session<'_>, Fault> {
        self.writes.session(Instant::now() + WRITE).await
    }

    async fn read_once(
        &self,
        space: Space<'_>,
        tags: &[String],
        query: &Query,
        until: Instant,
    ) -> Result<ReadAnswer, Fault> {
        let session = self.reads.session(until).await?;
        read::read(&session, &self.identity.incarnation, space, tags, query).await
    }

    async fn read_query(
        &self,
        space: Space<'_>,
        tags: &[String],
        query: &Query,
        limit: Duration,
    ) -> Result<ReadAnswer, StoreError> {
        if limit.is_zero() {
            return Err(StoreError::Deadline);
        }
        let until = Instant::now() + limit;
        let found = retried(|| async move {
            match self.read_once(space, tags, query, until).await {
                Err(Fault::Late) => Err(StoreError::Deadline.into()),
                found => found,
            }
        });
        found.await
    }
}

impl std::fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresStore").field("server", &self.shown).finish_non_exhaustive()
    }
}

#[async_trait]
impl Store for PostgresStore {
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
        let version = retried(|| contracts::register(&self.writes, contract, now)).await?;
        retried(|| async move {
            let session = self.look().await?;
            contracts::get(&session, &self.compiled, &contract.name, version).await
        })
        .await
    }

    async fn contracts(&self) -> Result<Vec<Arc<StoredContract>>, StoreError> {
        retried(|| async { contracts::newest(&self.look().await?, &self.compiled).await }).await
    }

    async fn create_token(&self, token: NewToken, now: Timestamp) -> Result<(), StoreError> {
        // Not retried: done twice, the second time would find the name taken by the first.
        let session = self.write().await?;
        Ok(tokens::create(&session, &token, now).await?)
    }

    async fn find_token(&self, digest: &str) -> Result<Option<Token>, StoreError> {
        retried(|| async { tokens::find(&self.look().await?, digest).await }).await
    }

    async fn tokens(&self) -> Result<Vec<Token>, StoreError> {
        retried(|| async { tokens::list(&self.look().await?).await }).await
    }

    async fn revoke_token(&self, name: &str) -> Result<bool, StoreError> {
        let revoked = retried(|| tokens::revoke(&self.writes, name)).await?;
        self.committed.notify_one();
        Ok(revoked)
    }

    async fn accept(&self, batch: NewBatch, now: Timestamp) -> Result<Accepted, StoreError> {
        let (batch, packed) = tokio::task::spawn_blocking(move || {
            let packed = Packed::of(&batch, now)?;
            Ok::<_, StoreError>((batch, packed))
        })
        .await
        .map_err(|_| stopped())??;
        let accepted = retried(|| accept::accept(&self.writes, &batch, &packed, now)).await?;
        self.committed.notify_one();
        Ok(accepted)
    }

    async fn job(&self, tenant: &str, id: Uuid) -> Result<Option<JobStatus>, StoreError> {
        let incarnation = &self.identity.incarnation;
        retried(|| async move { status::job(&self.look().await?, incarnation, tenant, id).await })
            .await
    }

    async fn claim(&self, batches: &[Uuid], now: Timestamp) -> Result<Vec<Claim>, StoreError> {
        let held = retried(|| claim::claim(&self.writes, &self.compiled, batches, now)).await?;
        tokio::task::spawn_blocking(move || claim::unpack(held)).await.map_err(|_| stopped())
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
        let incarnation = &self.identity.incarnation;
        let changes = retried(|| apply::apply(&self.writes, incarnation, &works, now)).await?;
        self.committed.notify_one();
        Ok(changes)
    }

    async fn fail(&self, claim: &Claim, reason: &str, now: Timestamp) -> Result<(), StoreError> {
        let ended = commit::Ended::of(claim, now);
        retried(|| async {
            let session = self.writes.begin(WRITE).await?;
            if commit::mark_failed(&session, &ended, reason).await? {
                let jobs = vec![ended.batch];
                outbox::put_notice(&session, Notice::JobsFinished { jobs }).await?;
            }
            session.commit().await
        })
        .await?;
        self.committed.notify_one();
        Ok(())
    }

    async fn release(&self, holds: &[Hold]) -> Result<(), StoreError> {
        retried(|| async { claim::release(&self.write().await?, holds).await }).await
    }

    async fn quarantine_batch(
        &self,
        claim: &Claim,
        reason: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let hold = claim.hold();
        let quarantined = retried(|| claim::quarantine(&self.writes, hold, reason, now)).await?;
        self.committed.notify_one();
        Ok(quarantined)
    }

    async fn sweep(&self, untouched_since: Timestamp, now: Timestamp) -> Result<Swept, StoreError> {
        let pool = &self.writes;
        let dropped =
            retried(|| async { sweep::drop_payloads(&self.write().await?, now).await }).await?;
        let requeued = retried(|| sweep::requeue(pool, untouched_since, now)).await?;
        let due = retried(|| sweep::jobs::put_due(pool, now)).await?;
        let expired = retried(|| sweep::jobs::take_back(pool, now)).await?;
        let lost = retried(|| sweep::jobs::put_lost(pool, untouched_since, now)).await?;
        self.committed.notify_one();
        let records =
            retried(|| async { sweep::prune::prune(&self.write().await?, now).await }).await?;
        let batches = retried(|| sweep::prune::prune_batches(pool, now)).await?;
        let (requeued, pruned) = (requeued + lost, records + batches);
        Ok(Swept { requeued, due, expired, dropped, pruned })
    }

    async fn versions(
        &self,
        tenant: &str,
        product: &str,
        tags: &[String],
    ) -> Result<Versions, StoreError> {
        let (incarnation, space) = (&self.identity.incarnation, Space { tenant, product });
        retried(
            || async move { read::versions(&self.look().await?, incarnation, space, tags).await },
        )
        .await
    }

    async fn read(&self, request: ReadRequest) -> Result<ReadAnswer, StoreError> {
        let contract = &request.contract.contract;
        let tenant = &request.tenant;
        let query = match &request.plan {
            ReadPlan::Groups(plan) => plan::groups(Dialect::Postgres, contract, tenant, plan),
            ReadPlan::Rows(plan) => plan::rows(Dialect::Postgres, contract, tenant, plan),
        };
        let space = Space { tenant, product: &contract.name };
        let limit = request.deadline.since(Timestamp::now());
        self.read_query(space, &request.tags, &query, limit).await
    }

    async fn groups(&self, page: GroupsPage) -> Result<ReadAnswer, StoreError> {
        let query = plan::page(Dialect::Postgres, &page);
        let space = Space { tenant: &page.tenant, product: &page.contract.contract.name };
        self.read_query(space, &[], &query, PAGE_LIMIT).await
    }

    async fn backlog(&self) -> Result<Backlog, StoreError> {
        retried(|| async { backlog::backlog(&self.look().await?).await }).await
    }
}

#[async_trait]
impl OutboxSource for PostgresStore {
    async fn wait_pending(&self) {
        // A time-out says that there may be lines of another process.
        tokio::time::timeout(POLL, self.committed.notified()).await.ok();
    }

    async fn pending(&self, limit: usize) -> Result<Vec<OutboxEntry>, OutboxError> {
        let lines = retried(|| async {
            let session = self.write().await?;
            outbox::pending(&session, &self.strays, limit, Instant::now()).await
        });
        Ok(lines.await?)
    }

    async fn mark_sent(&self, ids: &[i64]) -> Result<(), OutboxError> {
        let marked = retried(|| async {
            let session = self.write().await?;
            outbox::mark_sent(&session, ids).await
        });
        Ok(marked.await?)
    }
}

fn stopped() -> StoreError {
    fault::unusable("the process is shutting down")
}

#[cfg(test)]
mod tests;
