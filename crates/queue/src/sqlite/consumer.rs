//! Claims messages in batches, hands them out one by one, settles them together.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tidegate_core::clock::Timestamp;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::deliver::{self, Claiming};
use super::liveness::{self, Pulse};
use super::message::{self, Look, Place};
use super::wake::Topic;
use super::{PATIENCE, Shared, canary, within};
use crate::{Consumer, Delivery, DeliveryTag, QueueError, Settlement, Source};

/// Shortest wait for a delayed message: clocks have a grain.
const GRAIN: Duration = Duration::from_millis(1);

/// A registered consumer and what it holds.
pub(super) struct SqliteConsumer {
    shared: Arc<Shared>,
    owner: i64,
    pulse: Option<Pulse>,
    place: Place,
    prefetch: usize,
    rung: watch::Receiver<()>,
    claiming: Option<Claiming>,
    /// Claimed, not yet handed out.
    ready: VecDeque<Delivery>,
    /// Claimed and not yet settled, handed out or not.
    unsettled: HashSet<DeliveryTag>,
    /// When to look for dead consumers again.
    bury_at: Instant,
}

// === impl SqliteConsumer ===

impl SqliteConsumer {
    /// Registers a consumer. What consumers of a process that was killed held is given back first.
    pub(super) async fn start(
        shared: Arc<Shared>,
        source: Source<'_>,
        prefetch: usize,
    ) -> Result<Self, QueueError> {
        let place = Place::of(source);
        liveness::clear_up(&shared.consumers)?;
        // Locked before it is registered: nobody may see it without a sign of life.
        let pulse = Pulse::start(&shared.consumers)?;
        let (lock_file, now) = (pulse.name().to_owned(), Timestamp::now());
        let release = place.canary.clone();
        let registered = shared.database.write(move |sql| {
            if let Some(release) = release {
                canary::bind(sql, &release)?;
            }
            message::register(sql, &lock_file, now)
        });
        let mut consumer = Self {
            owner: within(registered).await?,
            rung: shared.bell.hear(Topic::Messages),
            shared,
            pulse: Some(pulse),
            place,
            prefetch: prefetch.max(1),
            claiming: None,
            ready: VecDeque::new(),
            unsettled: HashSet::new(),
            bury_at: Instant::now(),
        };
        consumer.bury_the_dead().await?;
        Ok(consumer)
    }

    /// Gives back what dead consumers hold. Dropping the call half way does no harm: each step
    /// may be done twice.
    async fn bury_the_dead(&mut self) -> Result<(), QueueError> {
        let owner = self.owner;
        for other in self.shared.database.read(|sql| message::others(sql, owner))? {
            if !liveness::is_dead(&self.shared.consumers, &other.lock_file)? {
                continue;
            }
            let unregistered =
                self.shared.database.write(move |sql| message::unregister(sql, other.owner));
            let messages = within(unregistered).await?;
            tracing::info!(
                consumer.id = other.owner,
                consumer.messages = messages,
                "Dead consumer's messages were given back.",
            );
            self.shared.bell.ring(Topic::Messages);
        }
        self.bury_at = Instant::now() + self.shared.options.poll;
        Ok(())
    }

    fn look(&self) -> Result<Look, QueueError> {
        let now = Timestamp::now();
        Ok(self.shared.database.read(|sql| message::look(sql, self.owner, &self.place, now))?)
    }

    /// Claims as many messages as there is room for.
    async fn claim(&mut self) -> Result<(), QueueError> {
        let room = self.prefetch.saturating_sub(self.unsettled.len());
        let claiming = self.claiming.get_or_insert_with(|| {
            let shared = Arc::clone(&self.shared);
            deliver::claim(shared, self.owner, self.place.clone(), room)
        });
        let answer = timeout(PATIENCE, claiming).await;
        let deliveries = answer.map_err(|_| QueueError::TimedOut(PATIENCE))?;
        self.claiming = None;
        let deliveries = deliveries?;
        self.unsettled.extend(deliveries.iter().map(|delivery| delivery.tag));
        self.ready.extend(deliveries);
        Ok(())
    }

    /// Waits until there may be something to claim, or to bury.
    async fn wait(&mut self, look: Look) {
        let mut wait = self.bury_at.saturating_duration_since(Instant::now());
        if let Look::NotBefore(due) = look {
            wait = wait.min(due.since(Timestamp::now()).max(GRAIN));
        }
        // Either way the next step is to look.
        timeout(wait, self.rung.changed()).await.ok();
    }
}

#[async_trait]
impl Consumer for SqliteConsumer {
    async fn next(&mut self) -> Result<Delivery, QueueError> {
        loop {
            if let Some(delivery) = self.ready.pop_front() {
                return Ok(delivery);
            }
            if self.claiming.is_some() {
                self.claim().await?;
                continue;
            }
            if self.unsettled.len() >= self.prefetch {
                // Only a settlement makes room, and it needs this consumer.
                std::future::pending::<()>().await;
            }
            if self.bury_at <= Instant::now() {
                self.bury_the_dead().await?;
            }
            // Before looking: a message that comes while looking is not slept through.
            self.rung.borrow_and_update();
            match self.look()? {
                Look::Ready => self.claim().await?,
                Look::NotRegistered => return Err(QueueError::Disconnected),
                look @ (Look::NotBefore(_) | Look::Empty) => self.wait(look).await,
            }
        }
    }

    async fn settle(
        &mut self,
        settlements: Vec<(DeliveryTag, Settlement)>,
    ) -> Result<(), QueueError> {
        if settlements.is_empty() {
            return Ok(());
        }
        let tags: Vec<_> = settlements.iter().map(|(tag, _)| *tag).collect();
        // Others may take what is given back, must set their timers anew, or file letters.
        let rings = settlements.iter().any(|(_, settlement)| match settlement {
            Settlement::Release
            | Settlement::Retry { .. }
            | Settlement::Defer { .. }
            | Settlement::DeadLetter { .. } => true,
            Settlement::Ack => false,
        });
        let (owner, now) = (self.owner, Timestamp::now());
        let settled =
            self.shared.database.write(move |sql| message::settle(sql, owner, &settlements, now));
        let lost = within(settled).await?;
        for tag in &tags {
            self.unsettled.remove(tag);
        }
        if lost > 0 {
            tracing::debug!(
                consumer.id = owner,
                settlements.lost = lost,
                "Settlements of deliveries no longer held were ignored.",
            );
        }
        if rings {
            self.shared.bell.ring(Topic::Messages);
        }
        Ok(())
    }
}

impl Drop for SqliteConsumer {
    fn drop(&mut self) {
        // Without a runtime the file's lock ends here, and another consumer gives back.
        let Ok(runtime) = Handle::try_current() else { return };
        let untouched: Vec<_> =
            self.ready.iter().map(|delivery| (delivery.tag, Settlement::Release)).collect();
        let (shared, owner, pulse) = (Arc::clone(&self.shared), self.owner, self.pulse.take());
        // The one task nobody waits for: it is short, and if the process ends first, its messages
        // are given back as those of a consumer that was killed.
        runtime.spawn(async move {
            let given_back = shared.database.write(move |sql| {
                message::settle(sql, owner, &untouched, Timestamp::now())?;
                message::unregister(sql, owner)
            });
            match within(given_back).await {
                Ok(_) => shared.bell.ring(Topic::Messages),
                Err(error) => {
                    tracing::debug!(error = %error, "Consumer could not be unregistered.")
                }
            }
            // Only now: while the lock is held nobody takes this consumer for dead.
            drop(pulse);
        });
    }
}
