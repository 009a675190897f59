//! A job that runs under a lease in the store: kept while it works, given back when it must end.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tidegate_core::clock::Timestamp;
use tidegate_core::shutdown::Shutdown;
use tidegate_store::{Ending, JobRun, Progress, Renewal, SharedStore};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use uuid::Uuid;

use super::step::within;

/// How long a worker that is gone keeps its jobs.
pub(crate) const LEASE: Duration = Duration::from_secs(30);

/// Renewals within one lease: two may fail.
const RENEWALS: u32 = 3;

/// How long the last word about a job may take.
const LAST_WORD: Duration = Duration::from_secs(10);

/// Jobs of this process that somebody may want to end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cancellations(Arc<Mutex<HashMap<Uuid, Shutdown>>>);

/// Why a job must end before it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Interrupt {
    /// Somebody wants it to.
    Cancelled,
    /// It is another worker's now, or may be.
    Lost,
    /// This worker ends.
    Draining,
    /// It ran so long that others must have their turn.
    TooLong,
}

/// A job and its lease.
pub(super) struct Lease {
    pub(super) store: SharedStore,
    pub(super) run: JobRun,
    pub(super) stop: Shutdown,
    /// When to let others in.
    pub(super) soft: Instant,
    cancelled: Cancelled,
    progress: watch::Sender<Progress>,
}

/// Registered for cancellation until dropped.
struct Cancelled {
    job: Uuid,
    token: Shutdown,
    all: Cancellations,
}

// === impl Cancellations ===

impl Cancellations {
    /// Ends those of `jobs` that run here.
    pub(crate) fn cancel(&self, jobs: &[Uuid]) {
        let running = self.0.lock();
        jobs.iter().filter_map(|job| running.get(job)).for_each(Shutdown::cancel);
    }

    fn register(&self, job: Uuid) -> Cancelled {
        let token = Shutdown::new();
        self.0.lock().insert(job, token.clone());
        Cancelled { job, token, all: self.clone() }
    }
}

// === impl Cancelled ===

impl Drop for Cancelled {
    fn drop(&mut self) {
        self.all.0.lock().remove(&self.job);
    }
}

// === impl Lease ===

impl Lease {
    pub(super) fn new(
        store: SharedStore,
        run: JobRun,
        all: &Cancellations,
        stop: Shutdown,
        soft: Duration,
    ) -> Self {
        let (progress, _) = watch::channel(run.progress.clone().unwrap_or_default());
        let cancelled = all.register(run.job);
        Self { store, run, stop, soft: Instant::now() + soft, cancelled, progress }
    }

    /// Says how far the job is; the next renewal writes it down.
    pub(super) fn progress(&self, progress: Progress) {
        self.progress.send_replace(progress);
    }

    /// Renews the lease until the job must end, and returns why.
    pub(super) async fn keep(&self) -> Interrupt {
        let mut ticks = interval(LEASE / RENEWALS);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut held_until = Instant::now() + LEASE;
        loop {
            tokio::select! {
                () = self.cancelled.token.cancelled() => return Interrupt::Cancelled,
                () = self.stop.cancelled() => return Interrupt::Draining,
                () = tokio::time::sleep_until(held_until) => return Interrupt::Lost,
                _ = ticks.tick() => {}
            }
            let asked = Instant::now();
            match self.renew().await {
                Some(Renewal::Held) => held_until = asked + LEASE,
                Some(Renewal::CancelRequested) => return Interrupt::Cancelled,
                Some(Renewal::Lost) => return Interrupt::Lost,
                None => {}
            }
        }
    }

    /// Writes the progress down; `None` if the store could not be asked.
    async fn renew(&self) -> Option<Renewal> {
        let progress = self.progress.borrow().clone();
        let renewed = self.store.renew(&self.run, &progress, LEASE, Timestamp::now());
        match timeout(LEASE / RENEWALS, renewed).await {
            Ok(Ok(renewal)) => Some(renewal),
            Ok(Err(error)) => {
                tracing::warn!(job.id = %self.run.job, error = %error, "Lease was not renewed.");
                None
            }
            Err(_) => {
                tracing::warn!(job.id = %self.run.job, "Renewing the lease took too long.");
                None
            }
        }
    }

    /// Says how the run ended. If that fails, the lease runs out and another worker goes on.
    pub(super) async fn end(&self, ending: Ending) {
        if matches!(ending, Ending::Retry { .. } | Ending::GivenBack) {
            // Whoever goes on begins where this run ends.
            self.renew().await;
        }
        let ended = within(self.store.end(&self.run, ending, Timestamp::now()));
        match timeout(LAST_WORD, ended).await {
            Ok(Ok(true)) => {}
            Ok(Ok(false)) => {
                tracing::info!(job.id = %self.run.job, "Job had been taken over by another worker.");
            }
            Ok(Err(error)) => {
                tracing::warn!(job.id = %self.run.job, error = error.chain(), "End was not noted.");
            }
            Err(_) => tracing::warn!(job.id = %self.run.job, "Noting the end took too long."),
        }
    }

    /// Rests after a step, so that the database has time for others.
    pub(super) async fn rest(&self, worked: Duration, share_percent: u32) {
        let share = share_percent.clamp(1, 100);
        sleep(worked * (100 - share) / share).await;
    }
}
