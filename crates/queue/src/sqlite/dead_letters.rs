//! Hands out what was kept aside until it is filed.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::watch;
use tokio::time::timeout;

use super::wake::Topic;
use super::{Shared, dead, within};
use crate::{DeadDelivery, DeadLetters, DeliveryTag, QueueError};

/// A look at the letters. They are nobody's: two who look get the same ones.
pub(super) struct SqliteDeadLetters {
    shared: Arc<Shared>,
    prefetch: usize,
    rung: watch::Receiver<()>,
    /// Read, not yet handed out.
    ready: VecDeque<DeadDelivery>,
    /// Read and not yet filed, handed out or not.
    unfiled: HashSet<DeliveryTag>,
}

// === impl SqliteDeadLetters ===

impl SqliteDeadLetters {
    pub(super) fn start(shared: Arc<Shared>, prefetch: usize) -> Self {
        let (rung, prefetch) = (shared.bell.hear(Topic::Messages), prefetch.max(1));
        Self { shared, prefetch, rung, ready: VecDeque::new(), unfiled: HashSet::new() }
    }

    fn read(&mut self) -> Result<(), QueueError> {
        let room = self.prefetch.saturating_sub(self.unfiled.len());
        // Those that are not filed yet stand among the others.
        let letters = self.shared.database.read(|sql| dead::read(sql, self.prefetch + room))?;
        let new = letters.into_iter().filter(|letter| !self.unfiled.contains(&letter.tag));
        self.ready.extend(new.take(room));
        self.unfiled.extend(self.ready.iter().map(|letter| letter.tag));
        Ok(())
    }
}

#[async_trait]
impl DeadLetters for SqliteDeadLetters {
    async fn next(&mut self) -> Result<DeadDelivery, QueueError> {
        loop {
            if let Some(letter) = self.ready.pop_front() {
                return Ok(letter);
            }
            if self.unfiled.len() >= self.prefetch {
                // Only filing makes room, and it needs this stream.
                std::future::pending::<()>().await;
            }
            // Before reading: a letter that comes while reading is not slept through.
            self.rung.borrow_and_update();
            self.read()?;
            if self.ready.is_empty() {
                // Either way there may be something to read.
                timeout(self.shared.options.poll, self.rung.changed()).await.ok();
            }
        }
    }

    async fn filed(&mut self, tags: Vec<DeliveryTag>) -> Result<(), QueueError> {
        let forgotten = tags.clone();
        let forget = self.shared.database.write(move |sql| dead::forget(sql, &forgotten));
        within(forget).await?;
        for tag in &tags {
            self.unfiled.remove(tag);
        }
        Ok(())
    }
}
