//! A queue whose notices a test says, and which remembers what was published.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use parking_lot::Mutex;
use tidegate_core::job::Job;
use tidegate_core::notice::Notice;
use tidegate_core::seq::DataSeq;
use tidegate_queue::{
    Consumer, DeadLetters, Depths, Heard, Queue, QueueError, QueueState, Source, Subscription,
};
use tokio::sync::{Notify, watch};

/// A queue whose notices a test says.
#[derive(Default)]
pub(super) struct ScriptedQueue {
    said: Mutex<VecDeque<Heard>>,
    news: Notify,
    taken: AtomicUsize,
    processed: watch::Sender<usize>,
    published: Mutex<Vec<Job>>,
    down: AtomicBool,
}

struct ScriptedSubscription(Arc<ScriptedQueue>);

/// Shares one queue between a test and an edge.
pub(super) struct Shared(pub(super) Arc<ScriptedQueue>);

// === impl ScriptedQueue ===

impl ScriptedQueue {
    /// Says something and waits until the edge has acted on it.
    pub(super) async fn say(&self, heard: Heard) {
        let mut processed = self.processed.subscribe();
        let target = {
            let mut said = self.said.lock();
            said.push_back(heard);
            self.taken.load(Ordering::Acquire) + said.len()
        };
        self.news.notify_waiters();
        processed.wait_for(|count| *count >= target).await.unwrap();
    }

    pub(super) async fn purge(&self, at: &DataSeq, tags: &[&str]) {
        let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
        self.tell(Notice::Purge { seq: at.clone(), tags }).await;
    }

    /// Says one thing of a worker.
    pub(super) async fn tell(&self, notice: Notice) {
        self.say(Heard::Notices(vec![notice])).await;
    }

    /// Returns the jobs that were published.
    pub(super) fn published(&self) -> Vec<Job> {
        self.published.lock().clone()
    }

    /// Ends the subscription and refuses new ones, or accepts them again.
    pub(super) fn set_down(&self, down: bool) {
        self.down.store(down, Ordering::Release);
        self.news.notify_waiters();
    }

    fn reach(&self) -> Result<(), QueueError> {
        match self.down.load(Ordering::Acquire) {
            true => Err(QueueError::Directory(std::io::Error::other("down"))),
            false => Ok(()),
        }
    }
}

#[async_trait]
impl Subscription for ScriptedSubscription {
    async fn next(&mut self) -> Result<Heard, QueueError> {
        // Whoever asks for the next one has acted on all before.
        self.0.processed.send_replace(self.0.taken.load(Ordering::Acquire));
        loop {
            let news = self.0.news.notified();
            self.0.reach()?;
            {
                let mut said = self.0.said.lock();
                if let Some(heard) = said.pop_front() {
                    self.0.taken.fetch_add(1, Ordering::AcqRel);
                    return Ok(heard);
                }
            }
            news.await;
        }
    }
}

#[async_trait]
impl Queue for Shared {
    async fn publish(&self, jobs: &[Job]) -> Result<(), QueueError> {
        self.0.reach()?;
        self.0.published.lock().extend_from_slice(jobs);
        Ok(())
    }

    async fn consume(&self, _: Source<'_>, _: usize) -> Result<Box<dyn Consumer>, QueueError> {
        unreachable!("an edge consumes nothing")
    }

    async fn dead_letters(&self, _: usize) -> Result<Box<dyn DeadLetters>, QueueError> {
        unreachable!("an edge files nothing")
    }

    async fn broadcast(&self, _: &[Notice]) -> Result<(), QueueError> {
        unreachable!("an edge broadcasts nothing")
    }

    async fn subscribe(&self) -> Result<Box<dyn Subscription>, QueueError> {
        self.0.reach()?;
        Ok(Box::new(ScriptedSubscription(Arc::clone(&self.0))))
    }

    async fn depth(&self) -> Result<Depths, QueueError> {
        unreachable!("an edge asks for no depth")
    }

    async fn revoke_canary(&self, _: &str) -> Result<u64, QueueError> {
        unreachable!("an edge revokes nothing")
    }

    fn state(&self) -> QueueState {
        QueueState::Connected
    }
}
