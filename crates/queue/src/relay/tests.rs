//! What the relay promises.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use parking_lot::Mutex;
use tidegate_core::clock::Timestamp;
use tidegate_core::job::Lane;
use tokio::sync::Notify;

use super::*;
use crate::conformance::{consumer, job, listen, notice, number, soon, take};
use crate::{
    Consumer, DeadLetters, Depths, Queue, QueueError, QueueState, Source, SqliteQueue, Subscription,
};

/// An outbox in memory.
#[derive(Default)]
struct Outbox {
    unsent: Mutex<BTreeMap<i64, OutboxMessage>>,
    changed: Notify,
}

/// A queue that refuses the first calls.
struct Refusing {
    queue: SqliteQueue,
    publishes: AtomicUsize,
    broadcasts: AtomicUsize,
    blocked: AtomicBool,
    /// Notified each time someone learns that it is blocked.
    looked: Notify,
}

// === impl Outbox ===

impl Outbox {
    fn put(&self, messages: impl IntoIterator<Item = OutboxMessage>) {
        let mut unsent = self.unsent.lock();
        for message in messages {
            let id = unsent.last_key_value().map_or(1, |(id, _)| id + 1);
            unsent.insert(id, message);
        }
        self.changed.notify_one();
    }

    fn is_empty(&self) -> bool {
        self.unsent.lock().is_empty()
    }
}

#[async_trait]
impl OutboxSource for Outbox {
    async fn wait_pending(&self) {
        if self.is_empty() {
            self.changed.notified().await;
        }
    }

    async fn pending(&self, limit: usize) -> Result<Vec<OutboxEntry>, OutboxError> {
        let unsent = self.unsent.lock();
        let entry = |(id, message): (&i64, &OutboxMessage)| OutboxEntry {
            id: *id,
            message: message.clone(),
        };
        Ok(unsent.iter().take(limit).map(entry).collect())
    }

    async fn mark_sent(&self, ids: &[i64]) -> Result<(), OutboxError> {
        self.unsent.lock().retain(|id, _| !ids.contains(id));
        Ok(())
    }
}

// === impl Refusing ===

impl Refusing {
    fn new(queue: &SqliteQueue, publishes: usize, broadcasts: usize) -> Arc<Self> {
        let queue = queue.clone();
        let (publishes, broadcasts) = (publishes.into(), broadcasts.into());
        let (blocked, looked) = (AtomicBool::new(false), Notify::new());
        Arc::new(Self { queue, publishes, broadcasts, blocked, looked })
    }

    fn refuse(left: &AtomicUsize) -> Result<(), QueueError> {
        let refused =
            left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if refused.is_ok() { Err(tidegate_sqlite::Error::Full.into()) } else { Ok(()) }
    }
}

#[async_trait]
impl Queue for Refusing {
    async fn publish(&self, jobs: &[Job]) -> Result<(), QueueError> {
        Self::refuse(&self.publishes)?;
        self.queue.publish(jobs).await
    }

    async fn consume(
        &self,
        source: Source<'_>,
        prefetch: usize,
    ) -> Result<Box<dyn Consumer>, QueueError> {
        self.queue.consume(source, prefetch).await
    }

    async fn dead_letters(&self, prefetch: usize) -> Result<Box<dyn DeadLetters>, QueueError> {
        self.queue.dead_letters(prefetch).await
    }

    async fn broadcast(&self, notices: &[Notice]) -> Result<(), QueueError> {
        Self::refuse(&self.broadcasts)?;
        self.queue.broadcast(notices).await
    }

    async fn subscribe(&self) -> Result<Box<dyn Subscription>, QueueError> {
        self.queue.subscribe().await
    }

    async fn depth(&self) -> Result<Depths, QueueError> {
        self.queue.depth().await
    }

    async fn revoke_canary(&self, release: &str) -> Result<u64, QueueError> {
        self.queue.revoke_canary(release).await
    }

    fn state(&self) -> QueueState {
        if self.blocked.load(Ordering::SeqCst) {
            self.looked.notify_one();
            let (since, reason) = (Timestamp(0), "low on memory".to_owned());
            return QueueState::Blocked { since, reason };
        }
        self.queue.state()
    }
}

fn open(directory: &tempfile::TempDir) -> SqliteQueue {
    SqliteQueue::open(&directory.path().join("queue.db")).unwrap()
}

#[tokio::test]
async fn what_a_failing_queue_refused_is_published_later() {
    let directory = tempfile::tempdir().unwrap();
    let queue = open(&directory);
    let mut subscription = queue.subscribe().await.unwrap();
    let mut consumer = consumer(&queue, Lane::Default, 1_000).await;
    let (outbox, shutdown) = (Arc::new(Outbox::default()), Shutdown::new());
    let relaying = tokio::spawn(relay(
        Arc::clone(&outbox) as Arc<dyn OutboxSource>,
        Refusing::new(&queue, 2, 3),
        shutdown.clone(),
    ));
    // More than two batches of both kinds.
    outbox.put((0..700).map(|n| match n % 2 {
        0 => OutboxMessage::Job(job(Lane::Default, n)),
        _ => OutboxMessage::Notice(notice(n)),
    }));
    let numbers: Vec<_> = take(&mut *consumer, 350).await.iter().map(number).collect();
    let notices = listen(&mut *subscription, 350).await;
    assert_eq!(numbers, (0..700).step_by(2).collect::<Vec<_>>());
    assert_eq!(notices, (1..700).step_by(2).map(notice).collect::<Vec<_>>());

    shutdown.cancel();
    soon(relaying).await.unwrap();
    assert!(outbox.is_empty());
}

#[tokio::test]
async fn notices_pass_jobs_that_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let queue = open(&directory);
    let mut subscription = queue.subscribe().await.unwrap();
    let (outbox, shutdown) = (Arc::new(Outbox::default()), Shutdown::new());
    outbox.put([OutboxMessage::Job(job(Lane::Default, 0)), OutboxMessage::Notice(notice(1))]);
    let relaying = tokio::spawn(relay(
        Arc::clone(&outbox) as Arc<dyn OutboxSource>,
        Refusing::new(&queue, usize::MAX, 0),
        shutdown.clone(),
    ));
    assert_eq!(listen(&mut *subscription, 1).await, [notice(1)]);
    shutdown.cancel();
    soon(relaying).await.unwrap();
    // The job was never confirmed: it stays for the next start.
    assert_eq!(outbox.pending(10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_is_pending_at_shutdown_is_published_before_the_end() {
    let directory = tempfile::tempdir().unwrap();
    let queue = open(&directory);
    let (outbox, shutdown) = (Arc::new(Outbox::default()), Shutdown::new());
    outbox.put([OutboxMessage::Job(job(Lane::Default, 7))]);
    shutdown.cancel();
    let shared: SharedQueue = Arc::new(queue.clone());
    soon(relay(Arc::clone(&outbox) as Arc<dyn OutboxSource>, shared, shutdown)).await;
    assert!(outbox.is_empty());
    let mut consumer = consumer(&queue, Lane::Default, 1).await;
    assert_eq!(number(&take(&mut *consumer, 1).await[0]), 7);
}

#[tokio::test]
async fn nothing_is_published_while_the_broker_is_blocked() {
    let directory = tempfile::tempdir().unwrap();
    let queue = open(&directory);
    let (outbox, shutdown) = (Arc::new(Outbox::default()), Shutdown::new());
    // Not one call to publish is allowed.
    let blocked = Refusing::new(&queue, usize::MAX, usize::MAX);
    blocked.blocked.store(true, Ordering::SeqCst);
    outbox.put([OutboxMessage::Job(job(Lane::Default, 0)), OutboxMessage::Notice(notice(1))]);
    let relaying = tokio::spawn(relay(
        Arc::clone(&outbox) as Arc<dyn OutboxSource>,
        Arc::clone(&blocked) as SharedQueue,
        shutdown.clone(),
    ));
    // Each look after the first follows a pass that held everything back.
    for _ in 0..4 {
        soon(blocked.looked.notified()).await;
    }
    assert_eq!(blocked.publishes.load(Ordering::SeqCst), usize::MAX, "tried to publish");
    assert_eq!(outbox.pending(10).await.unwrap().len(), 2);

    let mut consumer = consumer(&queue, Lane::Default, 1).await;
    blocked.publishes.store(0, Ordering::SeqCst);
    blocked.broadcasts.store(0, Ordering::SeqCst);
    blocked.blocked.store(false, Ordering::SeqCst);
    assert_eq!(number(&take(&mut *consumer, 1).await[0]), 0);
    shutdown.cancel();
    soon(relaying).await.unwrap();
    assert!(outbox.is_empty());
}

#[tokio::test]
async fn a_job_that_can_never_be_published_holds_up_no_other() {
    let directory = tempfile::tempdir().unwrap();
    let queue = open(&directory);
    let (outbox, shutdown) = (Arc::new(Outbox::default()), Shutdown::new());
    let mut large = job(Lane::Default, 0);
    large.body = "x".repeat(crate::MAX_MESSAGE).into();
    let jobs = [job(Lane::Default, 1), large, job(Lane::Default, 2)];
    outbox.put(jobs.map(OutboxMessage::Job));
    shutdown.cancel();
    let shared: SharedQueue = Arc::new(queue.clone());
    soon(relay(Arc::clone(&outbox) as Arc<dyn OutboxSource>, shared, shutdown)).await;
    let mut consumer = consumer(&queue, Lane::Default, 10).await;
    let numbers: Vec<_> = take(&mut *consumer, 2).await.iter().map(number).collect();
    assert_eq!(numbers, [1, 2]);
    assert_eq!(outbox.pending(10).await.unwrap().len(), 1);
}
