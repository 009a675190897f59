//! Jobs other than batches.

mod begin;
mod cancel;
mod complete;
mod end;
mod enqueue;

use std::time::Duration;

use async_trait::async_trait;
use tidegate_core::clock::Timestamp;
use tidegate_core::job::Job;
use uuid::Uuid;

use self::begin::Asked;
pub(super) use self::cancel::end as end_early;
use crate::postgres::fault::retried;
use crate::postgres::{PostgresStore, status};
use crate::transform::job::{Prepared, Ready, Update};
use crate::{
    Begun, Cancel, Completed, Completion, Ending, Enqueued, JobFilter, JobRun, JobStatus, Jobs,
    NewJob, ProbeTally, Progress, Renewal, StoreError,
};

#[async_trait]
impl Jobs for PostgresStore {
    async fn enqueue(
        &self,
        jobs: Vec<NewJob>,
        now: Timestamp,
    ) -> Result<Vec<Enqueued>, StoreError> {
        let prepared = jobs.into_iter().map(|new| Prepared::of(new, now));
        let prepared = prepared.collect::<Result<Vec<_>, _>>()?;
        let enqueued = retried(|| enqueue::enqueue(&self.writes, &prepared, now)).await?;
        self.committed.notify_one();
        Ok(enqueued)
    }

    async fn begin(
        &self,
        job: &Job,
        worker: &str,
        lease: Duration,
        limit: Option<u32>,
        now: Timestamp,
    ) -> Result<Begun, StoreError> {
        let asked = Asked {
            job: job.id,
            generation: job.generation,
            worker,
            until: now.after(lease),
            limit,
        };
        let begun = retried(|| begin::begin(&self.writes, &asked, now)).await?;
        // A job that was cancelled leaves a notice.
        self.committed.notify_one();
        Ok(begun)
    }

    async fn renew(
        &self,
        run: &JobRun,
        progress: &Progress,
        lease: Duration,
        now: Timestamp,
    ) -> Result<Renewal, StoreError> {
        let until = now.after(lease);
        let progress = serde_json::to_string(progress)?;
        let progress = progress.as_str();
        retried(|| async move {
            begin::renew(&self.write().await?, (run.job, run.fence), progress, until).await
        })
        .await
    }

    async fn end(&self, run: &JobRun, ending: Ending, now: Timestamp) -> Result<bool, StoreError> {
        let update = Update::of(run, ending, now)?;
        let ended = retried(|| end::end(&self.writes, &update, now)).await?;
        self.committed.notify_one();
        Ok(ended)
    }

    async fn complete(
        &self,
        completions: Vec<Completion>,
        now: Timestamp,
    ) -> Result<Vec<Completed>, StoreError> {
        let ready = completions.into_iter().map(|completion| Ready::of(completion, now));
        let ready = ready.collect::<Result<Vec<_>, _>>()?;
        let completed = retried(|| complete::complete(&self.writes, &ready, now)).await?;
        self.committed.notify_one();
        Ok(completed)
    }

    async fn cancel(&self, tenant: &str, id: Uuid, now: Timestamp) -> Result<Cancel, StoreError> {
        let cancel = retried(|| cancel::cancel(&self.writes, tenant, id, now)).await?;
        self.committed.notify_one();
        Ok(cancel)
    }

    async fn list_jobs(&self, filter: &JobFilter) -> Result<Vec<JobStatus>, StoreError> {
        let incarnation = &self.identity.incarnation;
        retried(|| async move { status::list(&self.page().await?, incarnation, filter).await })
            .await
    }

    async fn probe_tally(&self, run: Uuid) -> Result<ProbeTally, StoreError> {
        retried(|| async move { complete::tally(&self.page().await?, run).await }).await
    }
}
