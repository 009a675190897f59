//! Jobs as the claims make them.

use std::time::Duration;

use serde_json::{Value, json};
use tidegate_core::clock::Timestamp;
use tidegate_core::job::{Job, Lane, PROBE, RECONCILE};
use tidegate_core::notice::Notice;
use tidegate_core::outbox::OutboxMessage;
use uuid::Uuid;

use crate::conformance::{Fixture, NOW, TENANT};
use crate::{
    Begun, Completed, Completion, DeadFilter, DeadLetter, Effect, Enqueued, JobRun, JobState,
    JobStatus, NewDeadLetter, NewJob, Probe,
};

pub(super) const LEASE: Duration = Duration::from_secs(30);

pub(super) fn after(seconds: u64) -> Timestamp {
    NOW.after(Duration::from_secs(seconds))
}

pub(super) fn job(kind: &str, body: Value) -> Job {
    Job::new(kind, Lane::Low, (TENANT, "air"), body, NOW)
}

/// A short job.
pub(super) fn probe(run: Uuid, n: u32) -> Job {
    job(PROBE, json!({ "run": run, "n": n }))
}

/// A long job.
pub(super) fn reconcile() -> Job {
    Job { lane: Lane::Long, ..job(RECONCILE, json!({ "view": "city_hour" })) }
}

pub(super) fn at_once(job: Job) -> NewJob {
    NewJob { job, run_at: None, idempotency_key: None }
}

/// A job that was run, with the effect of a probe.
pub(super) fn ran(job: &Job) -> Completion {
    let probe: Option<Probe> = serde_json::from_value(job.body.clone()).ok();
    Completion {
        job: job.clone(),
        effect: probe.map(Effect::Probe),
        result: json!({ "ok": true }),
        notices: Vec::new(),
        follow_up: Vec::new(),
    }
}

pub(super) fn letter(job: &Job, reason: &str) -> NewDeadLetter {
    NewDeadLetter {
        raw: serde_json::to_vec(job).unwrap(),
        lane: Some(job.lane),
        attempts: 5,
        headers: json!({ "x-death": 1 }),
        error_chain: vec!["the outer one".to_owned(), "the cause".to_owned()],
        died_at: NOW,
        reason: reason.to_owned(),
        job: Some(job.clone()),
    }
}

// === impl Fixture ===

impl Fixture {
    /// Puts a job and takes its message.
    pub(super) async fn put(&self, job: Job) -> Job {
        let enqueued = self.store.enqueue(vec![at_once(job)], NOW).await.unwrap();
        assert_eq!(enqueued, [Enqueued::New]);
        self.take_jobs().await.pop().unwrap()
    }

    /// Takes all outbox lines and returns the jobs among them.
    pub(super) async fn take_jobs(&self) -> Vec<Job> {
        let job = |message| match message {
            OutboxMessage::Job(job) => Some(job),
            OutboxMessage::Notice(_) => None,
        };
        self.take_outbox().await.into_iter().filter_map(job).collect()
    }

    /// Takes all outbox lines and returns the notices among them.
    pub(super) async fn take_notices(&self) -> Vec<Notice> {
        let notice = |message| match message {
            OutboxMessage::Notice(notice) => Some(notice),
            OutboxMessage::Job(_) => None,
        };
        self.take_outbox().await.into_iter().filter_map(notice).collect()
    }

    pub(super) async fn status(&self, job: Uuid) -> JobStatus {
        self.store.job(TENANT, job).await.unwrap().unwrap()
    }

    pub(super) async fn state(&self, job: Uuid) -> JobState {
        self.status(job).await.state
    }

    pub(super) async fn complete(&self, job: &Job) -> Completed {
        self.store.complete(vec![ran(job)], NOW).await.unwrap().pop().unwrap()
    }

    pub(super) async fn begin(&self, job: &Job, now: Timestamp) -> Begun {
        self.store.begin(job, "w1", LEASE, None, now).await.unwrap()
    }

    pub(super) async fn run(&self, job: &Job, now: Timestamp) -> JobRun {
        match self.begin(job, now).await {
            Begun::Run(run) => run,
            other => panic!("{other:?}"),
        }
    }

    pub(super) async fn letters(&self, filter: DeadFilter) -> Vec<DeadLetter> {
        self.store.dead_letters(&filter).await.unwrap()
    }

    pub(super) async fn requeue(&self) -> u64 {
        self.store.requeue_dead(&DeadFilter::default(), "ada", NOW).await.unwrap()
    }
}
