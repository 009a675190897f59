//! Reconcile jobs: compare a view with its recomputation, step by step, and repair what differs.
//!
//! A job holds a lease in the store, not a delivery, and notes after each step how far it is: a
//! worker that ends, or dies, leaves the rest to another.

mod walk;

use std::sync::Arc;

use serde_json::json;
use tidegate_core::backoff::draw;
use tidegate_core::clock::Timestamp;
use tidegate_core::job::Job;
use tidegate_core::shutdown::{Shutdown, TaskTracker};
use tidegate_store::{Begun, Ending, JobRun, SharedStore};
use tokio::time::{Instant, timeout};

use self::walk::Walk;
pub(crate) use super::lease::Cancellations;
use super::lease::{Interrupt, LEASE, Lease};
use super::step::within;
use crate::consume::Run;
use crate::error::JobError;
use crate::faults;
use crate::kinds::KindSpec;
use crate::ledger::Ledger;
use crate::metrics::metrics;
use crate::retry::{Class, Next};
use crate::settle::Outcome;
use crate::slots::Permit;

/// Runs reconcile jobs.
#[derive(Clone)]
pub(crate) struct Reconcile {
    pub(crate) store: SharedStore,
    /// This worker's name.
    pub(crate) worker: Arc<str>,
    pub(crate) spec: KindSpec,
    /// Part of the time that a job may work.
    pub(crate) share_percent: u32,
    pub(crate) cancellations: Cancellations,
    pub(crate) stop: Shutdown,
    pub(crate) ledger: Arc<Ledger>,
    /// Jobs that go on without a delivery.
    pub(crate) tracker: TaskTracker,
}

// === impl Reconcile ===

impl Reconcile {
    /// Takes jobs; each that is taken goes on by itself.
    pub(crate) async fn run(&self, run: Run) -> Vec<Outcome> {
        let Run { permit, deliveries, .. } = run;
        let (Some(first), true) = (deliveries.first(), deliveries.len() == 1) else {
            // One job, one lease: runs of this kind hold a single delivery.
            return vec![Outcome::NotBegun; deliveries.len()];
        };
        vec![self.begin(&first.job, permit).await]
    }

    async fn begin(&self, job: &Job, permit: Permit) -> Outcome {
        if self.stop.is_cancelled() {
            return Outcome::NotBegun;
        }
        let limit = self.spec.everywhere;
        let begun = self.store.begin(job, &self.worker, LEASE, limit, Timestamp::now());
        match within(begun).await {
            Ok(Begun::Run(run)) => {
                faults::point(faults::AFTER_CLAIM);
                self.start(job.clone(), run, permit);
                Outcome::Begun
            }
            Ok(Begun::Finished | Begun::Cancelled) => Outcome::Finished,
            Ok(Begun::Held { .. }) => Outcome::Overtaken,
            Ok(Begun::Busy) => Outcome::Busy,
            Ok(Begun::Crashed { crashes }) => {
                Outcome::Crashed(format!("{crashes} workers that ran the job have died"))
            }
            Err(error) => Outcome::from(&error),
        }
    }

    /// Runs a job in a task of its own. Its slot is given back when it ends.
    fn start(&self, job: Job, run: JobRun, permit: Permit) {
        let (this, started) = (self.clone(), Instant::now());
        self.tracker.spawn(async move {
            let soft = this.spec.timeout.soft;
            let (stop, all) = (this.stop.clone(), &this.cancellations);
            let lease = Arc::new(Lease::new(Arc::clone(&this.store), run, all, stop, soft));
            // A task within: a panic ends the run, not the process, and the job's end is noted.
            let work = tokio::spawn({
                let (this, lease) = (this.clone(), Arc::clone(&lease));
                async move { this.work(job, &lease).await }
            });
            let ended = work.await.unwrap_or_else(|error| Err(JobError::from(error)));
            if let Some(ending) = this.ending(ended, &lease.run) {
                metrics().long(&ending);
                lease.end(ending).await;
            }
            this.ledger.ran(this.spec.lane, 1, started.elapsed());
            drop(permit);
        });
    }

    /// Works until the job is done or must end; `None` if nothing is to be said about it any more.
    async fn work(&self, job: Job, lease: &Lease) -> Result<Option<Ending>, JobError> {
        let limit = self.spec.timeout.hard;
        let walk = timeout(limit, self.walk(&job, lease));
        let interrupt = tokio::select! {
            walked = walk => match walked {
                Ok(Ok(ended)) => return Ok(Some(ended)),
                Ok(Err(Stopped::Failed(error))) => return Err(error),
                Ok(Err(Stopped::Interrupted(interrupt))) => interrupt,
                Err(_) => return Err(JobError::TimedOut(limit)),
            },
            interrupt = lease.keep() => interrupt,
        };
        Ok(match interrupt {
            Interrupt::Cancelled => Some(Ending::Cancelled),
            Interrupt::Draining | Interrupt::TooLong => Some(Ending::GivenBack),
            Interrupt::Lost => None,
        })
    }

    async fn walk(&self, job: &Job, lease: &Lease) -> Result<Ending, Stopped> {
        let mut walk = Walk::begin(&self.store, job, &lease.run).await?;
        loop {
            let started = Instant::now();
            let more = walk.step(&self.store).await?;
            lease.progress(walk.progress());
            if !more {
                return Ok(Ending::Done { result: json!(walk.totals()) });
            }
            if Instant::now() >= lease.soft {
                return Err(Stopped::Interrupted(Interrupt::TooLong));
            }
            lease.rest(started.elapsed(), self.share_percent).await;
        }
    }

    /// Returns how a run ends, by the kind's policy if it failed.
    fn ending(&self, ended: Result<Option<Ending>, JobError>, run: &JobRun) -> Option<Ending> {
        let error = match ended {
            Ok(ending) => return ending,
            Err(error) => error,
        };
        let (class, reason) = (error.class(), error.chain());
        let failures = run.attempts.saturating_sub(1);
        tracing::warn!(
            job.id = %run.job, job.kind = "reconcile", job.attempt = failures, job.reason = reason,
            "Job failed.",
        );
        let code = match self.spec.retry.after(failures, class, true, draw()) {
            Next::Retry(after) | Next::Defer(after) => {
                return Some(Ending::Retry { reason, at: Timestamp::now().after(after) });
            }
            Next::Exhausted => "exhausted",
            Next::GiveUp if class == Class::Malformed => "malformed",
            Next::GiveUp => "permanent",
        };
        let reason = format!("{code}: {reason}");
        Some(Ending::Dead { reason, error_chain: error.levels() })
    }
}

/// Why a walk stopped before its end.
enum Stopped {
    Failed(JobError),
    Interrupted(Interrupt),
}

impl From<JobError> for Stopped {
    fn from(error: JobError) -> Self {
        Self::Failed(error)
    }
}
