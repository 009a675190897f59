//! What the pipeline promises, on a real queue and a store whose failures are chosen.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tempfile::TempDir;
use tidegate_core::clock::Timestamp;
use tidegate_core::job::{Arm, INGEST, Job, Lane};
use tidegate_core::shutdown::Shutdown;
use tidegate_product::contract::Contract;
use tidegate_product::rows::Rows;
use tidegate_queue::{Depth, SharedQueue, SqliteQueue};
use tidegate_store::{Applied, Changes, Claim, Counts, StoreError, StoredContract};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::consume::Source;
use crate::error::StepError;
use crate::ingest::{self, Batches};

/// Longer than any step takes; reached only by what never happens.
const NEVER: Duration = Duration::from_secs(20);

/// Between two looks at a condition.
const LOOK: Duration = Duration::from_millis(2);

/// Permits for a store that never waits.
const OPEN: usize = Semaphore::MAX_PERMITS;

/// Batches without rows.
struct Fake {
    contract: Arc<StoredContract>,
    fences: Mutex<HashMap<Uuid, i64>>,
    applied: Mutex<Vec<Uuid>>,
    /// Batches whose sums overflow.
    impossible: HashSet<Uuid>,
    /// Applies to refuse before the first that works.
    refusals: AtomicUsize,
    /// Each apply uses up one permit.
    gate: Semaphore,
    /// Applies that have begun.
    begun: AtomicUsize,
}

struct Worker {
    directory: TempDir,
    queue: SharedQueue,
    store: Arc<Fake>,
    shutdown: Shutdown,
    parts: JoinSet<&'static str>,
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
            fences: Mutex::new(batches.iter().map(|job| (job.id, 0)).collect()),
            applied: Mutex::default(),
            impossible: HashSet::new(),
            refusals: AtomicUsize::new(0),
            gate: Semaphore::new(OPEN),
            begun: AtomicUsize::new(0),
        }
    }

    fn apply_one(&self, claim: &Claim) -> Applied {
        let id = claim.id;
        let mut fences = self.fences.lock();
        if fences.get(&id) != Some(&claim.fence) {
            return Applied::Overtaken(id);
        }
        fences.remove(&id);
        if self.impossible.contains(&id) {
            return Applied::Failed(id, "a sum overflows".to_owned());
        }
        self.applied.lock().push(id);
        Applied::Done(id, Counts::default())
    }
}

#[async_trait]
impl Batches for Fake {
    async fn claim(&self, batches: &[Uuid], _now: Timestamp) -> Result<Vec<Claim>, StepError> {
        let mut fences = self.fences.lock();
        let claim = |id: &Uuid| {
            let fence = fences.get_mut(id)?;
            *fence += 1;
            Some(Claim {
                id: *id,
                tenant: "default".to_owned(),
                contract: Arc::clone(&self.contract),
                dataset: 0,
                fence: *fence,
                attempts: *fence,
                unfinished: 1,
                rows: Rows::default(),
                lines: Vec::new(),
            })
        };
        Ok(batches.iter().filter_map(claim).collect())
    }

    async fn apply(&self, claims: Vec<Claim>, _now: Timestamp) -> Result<Changes, StepError> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        self.gate.acquire().await.unwrap().forget();
        let left = self.refusals.load(Ordering::SeqCst);
        if left > 0 {
            self.refusals.store(left - 1, Ordering::SeqCst);
            return Err(StoreError::from(tidegate_sqlite::Error::Full).into());
        }
        let applied = claims.iter().map(|claim| self.apply_one(claim)).collect();
        Ok(Changes { applied, purges: Vec::new() })
    }
}

// === impl Worker ===

impl Worker {
    /// Starts a pipeline on a new queue that holds `jobs`.
    async fn start(store: Fake, jobs: &[Job], prefetch: usize) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let queue = SqliteQueue::open(&directory.path().join("queue.db")).unwrap();
        let queue: SharedQueue = Arc::new(queue);
        queue.publish(jobs).await.unwrap();
        let (store, shutdown) = (Arc::new(store), Shutdown::new());
        let source = Source::new(Arc::clone(&queue), prefetch, shutdown.clone());
        let mut parts = JoinSet::new();
        ingest::start(Arc::clone(&store), source, &mut parts);
        Self { directory, queue, store, shutdown, parts }
    }

    async fn depth(&self) -> (u64, u64, u64) {
        let depths = self.queue.depth().await.unwrap();
        let Depth { ready, unacked, .. } = *depths.stable(Lane::Default).unwrap();
        (ready, unacked, depths.unfiled)
    }

    /// Waits until the queue holds so many ready, unacked and dead jobs.
    #[track_caller]
    fn settled(&self, expected: (u64, u64, u64)) -> impl Future<Output = ()> {
        let caller = std::panic::Location::caller();
        async move {
            let reached = async {
                while self.depth().await != expected {
                    tokio::time::sleep(LOOK).await;
                }
            };
            if tokio::time::timeout(NEVER, reached).await.is_err() {
                panic!("{:?} instead of {expected:?} at {caller}", self.depth().await);
            }
        }
    }

    async fn stop(mut self) -> Self {
        self.shutdown.cancel();
        let ended = async {
            while let Some(part) = self.parts.join_next().await {
                part.unwrap();
            }
        };
        tokio::time::timeout(NEVER, ended).await.unwrap();
        self
    }

    fn applied(&self) -> HashSet<Uuid> {
        let applied = self.store.applied.lock();
        let distinct: HashSet<_> = applied.iter().copied().collect();
        assert_eq!(applied.len(), distinct.len(), "a batch was applied twice");
        distinct
    }
}

fn jobs(count: usize) -> Vec<Job> {
    (0..count).map(|_| job(INGEST)).collect()
}

fn job(kind: &str) -> Job {
    let id = Uuid::now_v7();
    Job {
        id,
        kind: kind.to_owned(),
        schema: 1,
        lane: Lane::Default,
        attempt: 0,
        generation: 0,
        tenant: "default".to_owned(),
        product: "air".to_owned(),
        release: None,
        arm: Arm::Stable,
        cohort: None,
        traceparent: None,
        enqueued_at: Timestamp::now(),
        deadline: None,
        body: serde_json::json!({ "batch": id }),
    }
}

fn ids(jobs: &[Job]) -> HashSet<Uuid> {
    jobs.iter().map(|job| job.id).collect()
}

#[tokio::test]
async fn every_batch_is_applied_and_its_job_acknowledged() {
    let jobs = jobs(200);
    let worker = Worker::start(Fake::new(&jobs), &jobs, 32).await;
    worker.settled((0, 0, 0)).await;
    assert_eq!(worker.stop().await.applied(), ids(&jobs));
}

#[tokio::test]
async fn a_batch_that_is_delivered_twice_is_applied_once() {
    let mut twice = jobs(20);
    twice.extend(twice.clone());
    let worker = Worker::start(Fake::new(&twice), &twice, 64).await;
    worker.settled((0, 0, 0)).await;
    assert_eq!(worker.stop().await.applied(), ids(&twice));
}

#[tokio::test]
async fn a_job_whose_batch_is_unknown_or_done_is_acknowledged() {
    let worker = Worker::start(Fake::new(&[]), &jobs(3), 8).await;
    worker.settled((0, 0, 0)).await;
    assert_eq!(worker.stop().await.applied(), HashSet::new());
}

#[tokio::test]
async fn a_batch_that_can_never_be_applied_is_acknowledged_and_holds_up_no_other() {
    let jobs = jobs(5);
    let store = Fake { impossible: [jobs[2].id].into(), ..Fake::new(&jobs) };
    let worker = Worker::start(store, &jobs, 8).await;
    worker.settled((0, 0, 0)).await;
    assert_eq!(worker.stop().await.applied().len(), 4);
}

#[tokio::test]
async fn while_the_store_can_not_be_used_jobs_come_again() {
    let jobs = jobs(4);
    let store = Fake { refusals: AtomicUsize::new(3), ..Fake::new(&jobs) };
    let worker = Worker::start(store, &jobs, 8).await;
    worker.settled((0, 0, 0)).await;
    assert_eq!(worker.stop().await.applied(), ids(&jobs));
}

#[tokio::test]
async fn a_job_of_a_kind_nobody_knows_is_kept_aside() {
    let jobs = [job("dance"), job(INGEST)];
    let worker = Worker::start(Fake::new(&jobs), &jobs, 8).await;
    worker.settled((0, 0, 1)).await;
    assert_eq!(worker.stop().await.applied(), ids(&jobs[1..]));
}

#[tokio::test]
async fn a_drain_finishes_the_group_in_hand_and_gives_back_the_rest() {
    let jobs = jobs(100);
    let store = Fake { gate: Semaphore::new(0), ..Fake::new(&jobs) };
    let worker = Worker::start(store, &jobs, 64).await;
    let begun = async {
        while worker.store.begun.load(Ordering::SeqCst) == 0 {
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::time::timeout(NEVER, begun).await.unwrap();
    worker.shutdown.cancel();
    worker.store.gate.add_permits(1);
    let worker = worker.stop().await;
    let applied = worker.applied().len();
    assert!((1..=16).contains(&applied), "{applied}");
    assert_eq!(worker.store.begun.load(Ordering::SeqCst), 1);

    // Given back untouched: nothing waits for a retry, nothing counts as tried.
    let left = jobs.len() - applied;
    worker.settled((u64::try_from(left).unwrap(), 0, 0)).await;
    let mut consumer =
        worker.queue.consume(tidegate_queue::Source::stable(Lane::Default), 100).await.unwrap();
    for _ in 0..left {
        let delivery = tokio::time::timeout(NEVER, consumer.next()).await.unwrap().unwrap();
        assert_eq!((delivery.job.attempt, delivery.redelivered), (0, false));
    }
}

#[tokio::test]
async fn a_worker_taken_for_dead_connects_again() {
    let (first, second) = (jobs(3), jobs(3));
    let known: Vec<_> = first.iter().chain(&second).cloned().collect();
    let worker = Worker::start(Fake::new(&known), &first, 8).await;
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
