//! Work that ends as its job says.

use std::collections::HashMap;

use async_trait::async_trait;
use parking_lot::Mutex;
use serde_json::json;
use tidegate_core::clock::Timestamp;
use tidegate_core::job::{Arm, PROBE};
use tidegate_queue::{DeadDelivery, Delivery, Source};
use tokio::time::timeout;
use uuid::Uuid;

use super::*;
use crate::consume::Run;
use crate::kinds::{Kind, Timeout};
use crate::retry::Class;
use crate::settle::Outcome;

/// Ends each job as its body says.
#[derive(Default)]
struct Script {
    /// How often each job ran.
    ran: Mutex<HashMap<Uuid, u32>>,
    /// How many jobs each run had.
    runs: Mutex<Vec<usize>>,
}

// === impl Script ===

impl Script {
    async fn act(&self, delivery: &Delivery) -> Outcome {
        *self.ran.lock().entry(delivery.job.id).or_default() += 1;
        let transient = || Outcome::Error(Class::Transient, "not now".to_owned());
        match delivery.job.body.as_str() {
            Some("fail") => Outcome::Error(Class::Permanent, "never".to_owned()),
            Some("poison") => transient(),
            Some("flaky") if delivery.job.attempt == 0 => transient(),
            Some("panic") => panic!("so the test wants it"),
            Some("hang") if delivery.job.attempt == 0 => std::future::pending().await,
            _ => Outcome::Applied,
        }
    }
}

#[async_trait]
impl Runner for Script {
    async fn run(&self, run: Run) -> Vec<Outcome> {
        self.runs.lock().push(run.deliveries.len());
        let mut outcomes = Vec::new();
        for delivery in run.deliveries.iter() {
            outcomes.push(self.act(delivery).await);
        }
        outcomes
    }
}

fn acting(action: &str) -> Job {
    Job { body: json!(action), ..job(PROBE) }
}

/// Retries come at once.
fn impatient() -> Setting {
    let mut setting = Setting::default();
    for kind in Kind::ALL {
        setting.kinds.of_mut(kind).retry.backoff.cap = Duration::ZERO;
    }
    setting
}

async fn start(jobs: &[Job], setting: Setting) -> Worker<Script> {
    Worker::start(Script::default(), Shutdown::new(), jobs, setting).await
}

/// Takes what was kept aside, a letter for each job.
async fn letters<R>(stopped: &Stopped<R>, count: usize) -> HashMap<Uuid, DeadDelivery> {
    let mut letters = stopped.queue.dead_letters(100).await.unwrap();
    let mut taken = HashMap::new();
    for _ in 0..count {
        let letter = timeout(NEVER, letters.next()).await.unwrap().unwrap();
        taken.insert(letter.job.as_ref().unwrap().id, letter);
    }
    taken
}

#[tokio::test]
async fn a_job_that_fails_is_tried_again_as_often_as_its_kind_says() {
    let jobs = [acting("flaky"), acting("poison"), acting("fail"), acting("ok")];
    let worker = start(&jobs, impatient()).await;
    worker.settled((0, 0, 2)).await;
    let stopped = worker.stop().await;
    let ran: Vec<u32> = jobs.iter().map(|job| stopped.runner.ran.lock()[&job.id]).collect();
    assert_eq!(ran, [2, 3, 1, 1]);
    let letters = letters(&stopped, 2).await;
    assert_eq!(letters[&jobs[1].id].reason, "exhausted: not now");
    assert_eq!(letters[&jobs[2].id].reason, "permanent: never");
}

#[tokio::test]
async fn a_run_that_panics_ends_no_other_and_is_tried_again() {
    let jobs = [acting("panic"), Job { schema: 1, ..job(INGEST) }];
    let worker = start(&jobs, impatient()).await;
    worker.settled((0, 0, 1)).await;
    let stopped = worker.stop().await;
    assert_eq!(stopped.runner.ran.lock()[&jobs[0].id], 3);
    let letters = letters(&stopped, 1).await;
    let expected = "exhausted: the job panicked: so the test wants it";
    assert_eq!(letters[&jobs[0].id].reason, expected);
}

#[tokio::test]
async fn a_run_that_takes_too_long_is_cut_and_tried_again() {
    let mut setting = impatient();
    let short = Duration::from_millis(20);
    setting.kinds.of_mut(Kind::Probe).timeout = Timeout { soft: short, hard: short };
    let jobs = [acting("hang")];
    let worker = start(&jobs, setting).await;
    worker.settled((0, 0, 0)).await;
    assert_eq!(worker.stop().await.runner.ran.lock()[&jobs[0].id], 2);
}

#[tokio::test]
async fn a_job_past_its_deadline_is_not_run() {
    let late = Job { deadline: Some(Timestamp(1)), ..acting("ok") };
    let soon = Timestamp::now().after(NEVER);
    let jobs = [late, Job { deadline: Some(soon), ..acting("ok") }];
    let worker = start(&jobs, impatient()).await;
    worker.settled((0, 0, 0)).await;
    let stopped = worker.stop().await;
    assert_eq!(stopped.runner.ran.lock().keys().collect::<Vec<_>>(), [&jobs[1].id]);
}

#[tokio::test]
async fn what_is_ready_runs_together() {
    let jobs: Vec<_> = (0..64).map(|_| acting("ok")).collect();
    let worker = start(&jobs, Setting { prefetch: 128, ..Setting::default() }).await;
    worker.settled((0, 0, 0)).await;
    let runs = worker.stop().await.runner.runs.lock().clone();
    assert!(runs.len() <= 4, "{runs:?}");
}

#[tokio::test]
async fn a_canary_takes_only_its_own_jobs_and_stable_tries_what_it_fails() {
    let canary = |action| {
        let release = Some("r3".to_owned());
        Job { release, arm: Arm::Canary, ..acting(action) }
    };
    let strange = Job { kind: "dance".to_owned(), ..canary("ok") };
    let jobs = [canary("ok"), canary("poison"), canary("fail"), strange, acting("ok")];
    let setting = Setting { release: Some("r3"), canary: true, ..impatient() };
    let worker = start(&jobs, setting).await;
    // Besides the one that was for stable workers: those that failed.
    worker.settled((4, 0, 0)).await;
    let stopped = worker.stop().await;
    assert_eq!(stopped.runner.ran.lock().len(), 3);
    let mut stable = stopped.queue.consume(Source::stable(Lane::Default), 10).await.unwrap();
    let mut attempts = HashMap::new();
    for _ in 0..4 {
        let job = timeout(NEVER, stable.next()).await.unwrap().unwrap().job;
        assert_eq!(job.arm, Arm::Stable);
        attempts.insert(job.id, job.attempt);
    }
    let expected = jobs[1..4].iter().map(|job| (job.id, 1)).chain([(jobs[4].id, 0)]);
    assert_eq!(attempts, expected.collect());
}
