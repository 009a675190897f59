//! Jobs other than batches.

mod begin;
pub(super) mod cancel;
mod complete;
mod end;
mod enqueue;

use std::time::Duration;

use async_trait::async_trait;
use tidegate_core::clock::Timestamp;
use tidegate_core::job::Job;
use uuid::Uuid;

use self::begin::Asked;
use crate::sqlite::{SqliteStore, status};
use crate::transform::job::{Prepared, Ready, Update};
use crate::{
    Begun, Cancel, Completed, Completion, Ending, Enqueued, JobFilter, JobRun, JobStatus, Jobs,
    NewJob, ProbeTally, Progress, Renewal, StoreError,
};

#[async_trait]
impl Jobs for SqliteStore {
    async fn enqueue(
        &self,
        jobs: Vec<NewJob>,
        now: Timestamp,
    ) -> Result<Vec<Enqueued>, StoreError> {
        let prepared = jobs.into_iter().map(|new| Prepared::of(new, now));
        let prepared = prepared.collect::<Result<Vec<_>, _>>()?;
        let enqueued = self
            .database
            .write(move |sql| {
                let put = |prepared: &Prepared| enqueue::put(sql, prepared, now);
                prepared.iter().map(put).collect::<Result<Vec<_>, StoreError>>()
            })
            .await?;
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
            worker: worker.to_owned(),
            until: now.after(lease),
            limit,
        };
        let answer = self.database.write(move |sql| begin::begin(sql, &asked, now)).await?;
        // A job that was cancelled leaves a notice.
        self.committed.notify_one();
        answer.into_begun()
    }

    async fn renew(
        &self,
        run: &JobRun,
        progress: &Progress,
        lease: Duration,
        now: Timestamp,
    ) -> Result<Renewal, StoreError> {
        let (job, fence, until) = (run.job, run.fence, now.after(lease));
        let progress = serde_json::to_string(progress)?;
        self.database.write(move |sql| begin::renew(sql, (job, fence), &progress, until)).await
    }

    async fn end(&self, run: &JobRun, ending: Ending, now: Timestamp) -> Result<bool, StoreError> {
        let update = Update::of(run, ending, now)?;
        let ended = self.database.write(move |sql| end::end(sql, &update, now)).await?;
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
        let completed =
            self.database.write(move |sql| complete::complete(sql, &ready, now)).await?;
        self.committed.notify_one();
        Ok(completed)
    }

    async fn cancel(&self, tenant: &str, id: Uuid, now: Timestamp) -> Result<Cancel, StoreError> {
        let tenant = tenant.to_owned();
        let cancel = self.database.write(move |sql| cancel::cancel(sql, &tenant, id, now)).await?;
        self.committed.notify_one();
        Ok(cancel)
    }

    async fn list_jobs(&self, filter: &JobFilter) -> Result<Vec<JobStatus>, StoreError> {
        let (filter, incarnation) = (filter.clone(), self.identity.incarnation.clone());
        self.read_page(move |sql| status::list(sql, &incarnation, &filter)).await
    }

    async fn probe_tally(&self, run: Uuid) -> Result<ProbeTally, StoreError> {
        self.read_page(move |sql| complete::tally(sql, run)).await
    }
}
