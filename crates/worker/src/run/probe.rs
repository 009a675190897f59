//! Probes: jobs by which an operator, or a test, tries the whole path of a job.
//!
//! Each counts itself in the store. Those that succeed are committed together, a whole run in one
//! transaction, as any short job is.

use std::panic::{AssertUnwindSafe, catch_unwind};

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::json;
use tidegate_core::clock::Timestamp;
use tidegate_core::job::Job;
use tidegate_core::shutdown::Shutdown;
use tidegate_queue::Delivery;
use tidegate_store::{Completed, Completion, Effect, SharedStore};

use super::alone::{self, Work};
use super::step::within;
use crate::consume::Run;
use crate::error::JobError;
use crate::faults;
use crate::settle::Outcome;

/// Runs probes.
pub(crate) struct Probe {
    store: SharedStore,
    /// A probe may ask to end the process.
    allow_crash: bool,
    stop: Shutdown,
}

/// The body of a probe.
#[derive(Clone, Copy, Debug, Deserialize)]
struct Body {
    #[serde(flatten)]
    probe: tidegate_store::Probe,
    #[serde(default)]
    outcome: Wanted,
}

/// How a probe is to end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Wanted {
    /// It succeeds.
    #[default]
    Ok,
    /// It can't succeed.
    Fail,
    /// It fails the first time.
    Flaky,
    /// It fails each time.
    Poison,
    /// It panics.
    Panic,
    /// It ends its process.
    Crash,
}

// === impl Probe ===

impl Probe {
    pub(crate) fn new(store: SharedStore, allow_crash: bool, stop: Shutdown) -> Self {
        Self { store, allow_crash, stop }
    }

    pub(crate) async fn run(&self, run: Run) -> Vec<Outcome> {
        alone::run(&self.store, &run.gate, &run.deliveries, self).await
    }

    /// Does what the body asks for; one that panics takes no other with it.
    fn try_one(&self, job: &Job) -> Result<Completion, JobError> {
        let tried = catch_unwind(AssertUnwindSafe(|| self.attempt(job)));
        tried.unwrap_or_else(|panic| Err(JobError::panicked(panic.as_ref())))
    }

    #[expect(clippy::panic, reason = "an operator asked to see what a panic does")]
    fn attempt(&self, job: &Job) -> Result<Completion, JobError> {
        let body: Body = serde_json::from_value(job.body.clone()).map_err(JobError::Malformed)?;
        match body.outcome {
            Wanted::Ok => {}
            Wanted::Flaky if job.attempt > 0 => {}
            Wanted::Flaky => return Err(JobError::Unavailable("the first attempt fails".into())),
            Wanted::Poison => return Err(JobError::Unavailable("each attempt fails".into())),
            Wanted::Fail => return Err(JobError::Impossible("it was to fail".into())),
            Wanted::Panic => panic!("it was to panic"),
            Wanted::Crash if self.allow_crash => std::process::abort(),
            Wanted::Crash => {
                let reason = "no probe may end this worker: `[probe] allow_crash` is not set";
                return Err(JobError::Impossible(reason.into()));
            }
        }
        Ok(Completion {
            job: job.clone(),
            effect: Some(Effect::Probe(body.probe)),
            result: json!({ "attempts": job.attempt + 1 }),
            notices: Vec::new(),
            follow_up: Vec::new(),
        })
    }

    /// Commits all that succeeded; returns how each ended.
    async fn commit(&self, completions: Vec<Completion>) -> Vec<Outcome> {
        let count = completions.len();
        if count == 0 {
            return Vec::new();
        }
        faults::point(faults::BEFORE_COMMIT);
        match within(self.store.complete(completions, Timestamp::now())).await {
            Ok(completed) => {
                faults::point(faults::AFTER_COMMIT);
                completed.into_iter().map(Outcome::from).collect()
            }
            Err(error) => vec![Outcome::from(&error); count],
        }
    }
}

#[async_trait]
impl Work for Probe {
    async fn work(&self, deliveries: &[&Delivery]) -> Vec<Outcome> {
        if self.stop.is_cancelled() {
            return vec![Outcome::NotBegun; deliveries.len()];
        }
        faults::point(faults::AFTER_CLAIM);
        let mut completions = Vec::with_capacity(deliveries.len());
        let mut failed: Vec<Option<Outcome>> = Vec::with_capacity(deliveries.len());
        for delivery in deliveries {
            match self.try_one(&delivery.job) {
                Ok(completion) => {
                    completions.push(completion);
                    failed.push(None);
                }
                Err(error) => failed.push(Some(Outcome::from(&error))),
            }
        }
        let mut committed = self.commit(completions).await.into_iter();
        let next = |failed: Option<Outcome>| failed.or_else(|| committed.next());
        failed.into_iter().map(next).map(|end| end.unwrap_or(Outcome::NotBegun)).collect()
    }
}

impl From<Completed> for Outcome {
    fn from(completed: Completed) -> Self {
        match completed {
            Completed::New => Self::Applied,
            Completed::Duplicate => Self::Finished,
        }
    }
}
