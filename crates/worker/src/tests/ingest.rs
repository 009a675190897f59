//! Batches, on a store without rows.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use parking_lot::Mutex;
use tidegate_core::clock::Timestamp;
use tidegate_product::contract::Contract;
use tidegate_product::rows::Rows;
use tidegate_queue::Source;
use tidegate_store::{Applied, Changes, Claim, Counts, Hold, StoreError, StoredContract};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use uuid::Uuid;

use super::*;
use crate::consume::Run;
use crate::error::JobError;
use crate::run::{Batches, Ingest};
use crate::settle::Outcome;
use crate::write_back::Purged;

/// Permits for a store that never waits.
const OPEN: usize = Semaphore::MAX_PERMITS;

/// Batches without rows.
struct Fake {
    contract: Arc<StoredContract>,
    /// Of each batch that is not applied: its fence, and how many claims never ended.
    waiting: Mutex<HashMap<Uuid, (i64, u32)>>,
    applied: Mutex<Vec<Uuid>>,
    /// How many batches each apply had.
    groups: Mutex<Vec<usize>>,
    quarantined: Mutex<Vec<Uuid>>,
    /// Batches whose sums overflow.
    impossible: HashSet<Uuid>,
    /// Batches that can't be claimed.
    corrupt: HashSet<Uuid>,
    /// Applies to refuse before the first that works.
    refusals: AtomicUsize,
    /// Each apply uses up one permit.
    gate: Semaphore,
    /// Applies that have begun.
    begun: AtomicUsize,
}

/// Ingest alone.
struct OnlyIngest {
    store: Arc<Fake>,
    ingest: Ingest<Fake>,
}

// === impl Fake ===

impl Fake {
    fn new(batches: &[Job]) -> Self {
        let contract = Contract {
            name: "air".to_owned(),
            version: "1.0.0".to_owned(),
            hash: "0".repeat(16),
            source: String::new(),
            datasets: Vec::new(),
            views: Vec::new(),
            endpoints: Vec::new(),
        };
        Self {
            contract: Arc::new(StoredContract { version: 1, contract }),
            waiting: Mutex::new(batches.iter().map(|job| (job.id, (0, 0))).collect()),
            applied: Mutex::default(),
            groups: Mutex::default(),
            quarantined: Mutex::default(),
            impossible: HashSet::new(),
            corrupt: HashSet::new(),
            refusals: AtomicUsize::new(0),
            gate: Semaphore::new(OPEN),
            begun: AtomicUsize::new(0),
        }
    }

    /// As if workers had claimed the batch so often and died.
    fn died_of(self, batch: &Job, times: u32) -> Self {
        self.waiting.lock().insert(batch.id, (i64::from(times), times));
        self
    }

    fn apply_one(&self, claim: &Claim) -> Applied {
        let id = claim.id;
        let mut waiting = self.waiting.lock();
        if waiting.get(&id).map(|(fence, _)| *fence) != Some(claim.fence) {
            return Applied::Overtaken(id);
        }
        waiting.remove(&id);
        if self.impossible.contains(&id) {
            return Applied::Failed(id, "a sum overflows".to_owned());
        }
        self.applied.lock().push(id);
        Applied::Done(id, Counts::default())
    }
}

#[async_trait]
impl Batches for Fake {
    async fn claim(&self, batches: &[Uuid], _now: Timestamp) -> Result<Vec<Claim>, JobError> {
        if batches.iter().any(|batch| self.corrupt.contains(batch)) {
            let corrupt = StoreError::Corrupt { what: "payload", reason: "it is cut".to_owned() };
            return Err(corrupt.into());
        }
        let mut waiting = self.waiting.lock();
        let claim = |id: &Uuid| {
            let (fence, unfinished) = waiting.get_mut(id)?;
            *fence += 1;
            *unfinished += 1;
            Some(Claim {
                id: *id,
                tenant: "default".to_owned(),
                contract: Arc::clone(&self.contract),
                dataset: 0,
                fence: *fence,
                attempts: *fence,
                unfinished: *unfinished,
                rows: Rows::default(),
                lines: Vec::new(),
            })
        };
        Ok(batches.iter().filter_map(claim).collect())
    }

    async fn apply(&self, claims: Vec<Claim>, _now: Timestamp) -> Result<Changes, JobError> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        self.gate.acquire().await.unwrap().forget();
        let left = self.refusals.load(Ordering::SeqCst);
        if left > 0 {
            self.refusals.store(left - 1, Ordering::SeqCst);
            return Err(StoreError::from(tidegate_sqlite::Error::Full).into());
        }
        self.groups.lock().push(claims.len());
        let applied = claims.iter().map(|claim| self.apply_one(claim)).collect();
        Ok(Changes { applied, purges: Vec::new() })
    }

    async fn release(&self, holds: &[Hold]) -> Result<(), JobError> {
        let mut waiting = self.waiting.lock();
        for hold in holds {
            if let Some((fence, unfinished)) = waiting.get_mut(&hold.batch)
                && *fence == hold.fence
            {
                *unfinished -= 1;
            }
        }
        Ok(())
    }

    async fn quarantine(
        &self,
        claim: &Claim,
        reason: &str,
        _now: Timestamp,
    ) -> Result<bool, JobError> {
        assert!(reason.starts_with("crashed: "), "{reason}");
        self.quarantined.lock().push(claim.id);
        Ok(self.waiting.lock().remove(&claim.id).is_some())
    }
}

// === impl OnlyIngest ===

#[async_trait]
impl Runner for OnlyIngest {
    async fn run(&self, run: Run) -> Vec<Outcome> {
        self.ingest.run(run).await
    }
}

async fn start(store: Fake, jobs: &[Job], prefetch: usize) -> Worker<OnlyIngest> {
    let (store, stop) = (Arc::new(store), Shutdown::new());
    let ingest = Ingest::new(Arc::clone(&store), 1, Purged::default(), stop.clone());
    let setting = Setting { prefetch, ..Setting::default() };
    Worker::start(OnlyIngest { store, ingest }, stop, jobs, setting).await
}

// === impl Stopped ===

impl Stopped<OnlyIngest> {
    fn applied(&self) -> HashSet<Uuid> {
        let applied = self.runner.store.applied.lock();
        let distinct: HashSet<_> = applied.iter().copied().collect();
        assert_eq!(applied.len(), distinct.len(), "a batch was applied twice");
        distinct
    }
}

fn ids(jobs: &[Job]) -> HashSet<Uuid> {
    jobs.iter().map(|job| job.id).collect()
}

#[tokio::test]
async fn every_batch_is_applied_and_its_job_acknowledged() {
    let jobs = jobs(200);
    let worker = start(Fake::new(&jobs), &jobs, 32).await;
    worker.settled((0, 0, 0)).await;
    assert_eq!(worker.stop().await.applied(), ids(&jobs));
}

#[tokio::test]
async fn a_batch_that_is_delivered_twice_is_applied_once() {
    let mut twice = jobs(20);
    twice.extend(twice.clone());
    let worker = start(Fake::new(&twice), &twice, 64).await;
    worker.settled((0, 0, 0)).await;
    assert_eq!(worker.stop().await.applied(), ids(&twice));
}

#[tokio::test]
async fn a_job_whose_batch_is_unknown_or_done_is_acknowledged() {
    let worker = start(Fake::new(&[]), &jobs(3), 8).await;
    worker.settled((0, 0, 0)).await;
    assert_eq!(worker.stop().await.applied(), HashSet::new());
}

#[tokio::test]
async fn a_batch_that_can_never_be_applied_is_acknowledged_and_holds_up_no_other() {
    let jobs = jobs(5);
    let store = Fake { impossible: [jobs[2].id].into(), ..Fake::new(&jobs) };
    let worker = start(store, &jobs, 8).await;
    worker.settled((0, 0, 0)).await;
    assert_eq!(worker.stop().await.applied().len(), 4);
}

#[tokio::test]
async fn a_batch_that_can_not_be_read_is_kept_aside_and_holds_up_no_other() {
    let jobs = jobs(5);
    let store = Fake { corrupt: [jobs[2].id].into(), ..Fake::new(&jobs) };
    let worker = start(store, &jobs, 8).await;
    worker.settled((0, 0, 1)).await;
    assert_eq!(worker.stop().await.applied().len(), 4);
}

#[tokio::test]
async fn while_the_store_can_not_be_used_jobs_come_again() {
    let jobs = jobs(4);
    let store = Fake { refusals: AtomicUsize::new(3), ..Fake::new(&jobs) };
    let worker = start(store, &jobs, 8).await;
    worker.settled((0, 0, 0)).await;
    let stopped = worker.stop().await;
    assert_eq!(stopped.applied(), ids(&jobs));
    // None of them came to be suspected: each claim was given back.
    assert!(stopped.runner.store.quarantined.lock().is_empty());
}

#[tokio::test]
async fn a_batch_that_workers_died_of_is_applied_alone() {
    let jobs = jobs(6);
    let store = Fake::new(&jobs).died_of(&jobs[1], 2).died_of(&jobs[4], 4);
    let worker = start(store, &jobs, 8).await;
    worker.settled((0, 0, 0)).await;
    let stopped = worker.stop().await;
    assert_eq!(stopped.applied(), ids(&jobs));
    assert_eq!(*stopped.runner.store.groups.lock(), [4, 1, 1]);
}

#[tokio::test]
async fn a_batch_that_too_many_workers_died_of_is_kept_aside() {
    let jobs = jobs(3);
    let store = Fake::new(&jobs).died_of(&jobs[1], tidegate_store::MAX_CRASHES);
    let worker = start(store, &jobs, 8).await;
    worker.settled((0, 0, 1)).await;
    let stopped = worker.stop().await;
    assert_eq!(stopped.applied().len(), 2);
    assert_eq!(*stopped.runner.store.quarantined.lock(), [jobs[1].id]);
}

#[tokio::test]
async fn a_job_of_a_kind_nobody_knows_is_kept_aside() {
    let jobs = [job("dance"), job(INGEST)];
    let worker = start(Fake::new(&jobs), &jobs, 8).await;
    worker.settled((0, 0, 1)).await;
    assert_eq!(worker.stop().await.applied(), ids(&jobs[1..]));
}

#[tokio::test]
async fn a_drain_finishes_the_group_in_hand_and_gives_back_the_rest() {
    let jobs = jobs(100);
    let store = Fake { gate: Semaphore::new(0), ..Fake::new(&jobs) };
    let worker = start(store, &jobs, 64).await;
    let begun = async {
        while worker.runner.store.begun.load(Ordering::SeqCst) == 0 {
            tokio::time::sleep(LOOK).await;
        }
    };
    timeout(NEVER, begun).await.unwrap();
    worker.stop.cancel();
    worker.runner.store.gate.add_permits(1);
    let stopped = worker.stop().await;
    let applied = stopped.applied().len();
    assert!((1..=16).contains(&applied), "{applied}");
    assert_eq!(stopped.runner.store.begun.load(Ordering::SeqCst), 1);

    // Given back untouched: nothing waits for a retry, nothing counts as tried.
    let left = jobs.len() - applied;
    let mut consumer = stopped.queue.consume(Source::stable(Lane::Default), 100).await.unwrap();
    for _ in 0..left {
        let delivery = timeout(NEVER, consumer.next()).await.unwrap().unwrap();
        assert_eq!((delivery.job.attempt, delivery.redelivered), (0, false));
    }
    let untouched = |unfinished: &(i64, u32)| unfinished.1 == 0;
    assert!(stopped.runner.store.waiting.lock().values().all(untouched));
}

#[tokio::test]
async fn a_worker_taken_for_dead_connects_again() {
    let (first, second) = (jobs(3), jobs(3));
    let known: Vec<_> = first.iter().chain(&second).cloned().collect();
    let worker = start(Fake::new(&known), &first, 8).await;
    worker.settled((0, 0, 0)).await;
    let path = worker.directory.path().join("queue.db");
    let database = tidegate_sqlite::Database::open(&path, 1).unwrap();
    let forgotten = database.write(|sql| {
        sql.execute("delete from consumer", ())?;
        Ok::<_, tidegate_sqlite::Error>(())
    });
    forgotten.await.unwrap();
    worker.queue.publish(&second).await.unwrap();
    worker.settled((0, 0, 0)).await;
    assert_eq!(worker.stop().await.applied(), ids(&known));
}
