//! A queue on RabbitMQ.
//!
//! Two connections, because a broker that lacks memory stops reading from those that publish, and
//! acknowledgements must still reach it. Each is made again by a task of its own whenever it ends;
//! consumers and subscriptions end with theirs and are built anew by whoever uses them.
//! docs/MESSAGES.md describes what lies on the broker.

mod acks;
mod broadcast;
mod canary;
mod connect;
mod consumer;
mod dead_letters;
mod depth;
mod envelope;
mod headers;
mod holes;
mod link;
mod names;
mod places;
mod policy;
mod publisher;
mod rung;
mod settings;
mod subscription;
mod topology;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use lapin::types::FieldTable;
use parking_lot::Mutex;
use tidegate_core::backend::ServerUrl;
use tidegate_core::clock::Timestamp;
use tidegate_core::job::Job;
use tidegate_core::notice::Notice;
use tokio::task::JoinSet;
use tokio::time::timeout;

use self::broadcast::Broadcaster;
use self::consumer::{AmqpConsumer, Consuming};
use self::dead_letters::AmqpDeadLetters;
use self::envelope::Outgoing;
use self::link::{Link, Live};
use self::places::Places;
use self::publisher::Publisher;
use self::settings::Settings;
use self::subscription::AmqpSubscription;
use crate::{Consumer, DeadLetters, Depths, Queue, QueueError, QueueState, Source, Subscription};

/// How long the broker may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Tells consumers of this process apart.
static FENCES: AtomicI64 = AtomicI64::new(0);

/// A queue on RabbitMQ. Cheap to clone.
#[derive(Clone)]
pub struct AmqpQueue {
    shared: Arc<Shared>,
}

/// What handles, consumers and subscriptions share.
struct Shared {
    settings: Arc<Settings>,
    publishing: Arc<Link>,
    consuming: Arc<Link>,
    /// Set once the second connection is wanted: many processes only publish.
    consumes: AtomicBool,
    publisher: Publisher,
    broadcaster: Broadcaster,
    places: Places,
    /// Letters handed out and not yet filed.
    letters: AtomicI64,
    /// Ends the tasks when the last handle is dropped.
    tasks: Mutex<JoinSet<()>>,
}

// === impl AmqpQueue ===

impl AmqpQueue {
    /// Starts connecting to a broker, and waits for the first attempt to end. If the broker is away
    /// the queue says so, and connects when it comes.
    ///
    /// # Errors
    /// The URL is wrong.
    pub async fn open(url: &ServerUrl) -> Result<Self, QueueError> {
        let settings = Arc::new(Settings::read(url)?);
        let publishing = Arc::new(Link::new(Arc::clone(&settings), "publish"));
        let consuming = Arc::new(Link::new(Arc::clone(&settings), "consume"));
        let (publisher, writers) = Publisher::new(Arc::clone(&publishing));
        let mut tasks = JoinSet::new();
        tasks.spawn(Arc::clone(&publishing).run());
        for writer in writers {
            tasks.spawn(writer.run());
        }
        let shared = Shared {
            broadcaster: Broadcaster::new(Arc::clone(&publishing)),
            settings,
            publishing,
            consuming,
            consumes: AtomicBool::new(false),
            publisher,
            places: Places::default(),
            letters: AtomicI64::new(0),
            tasks: Mutex::new(tasks),
        };
        shared.publishing.settled().await;
        Ok(Self { shared: Arc::new(shared) })
    }
}

impl fmt::Debug for AmqpQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AmqpQueue").field("settings", &self.shared.settings).finish_non_exhaustive()
    }
}

#[async_trait]
impl Queue for AmqpQueue {
    async fn publish(&self, jobs: &[Job]) -> Result<(), QueueError> {
        if jobs.is_empty() {
            return Ok(());
        }
        let (names, now) = (&self.shared.settings.names, Timestamp::now());
        let messages = jobs.iter().map(|job| Outgoing::job(job, names, now));
        self.shared.publisher.publish(messages.collect::<Result<_, _>>()?).await
    }

    async fn consume(
        &self,
        source: Source<'_>,
        prefetch: usize,
    ) -> Result<Box<dyn Consumer>, QueueError> {
        let Source { lane, canary } = source;
        let shared = &self.shared;
        let (live, names) = (shared.consuming().await?, &shared.settings.names);
        // Thrown away afterwards: a declaration that fails ends its channel.
        let channel = live.channel().await?;
        let declared = async {
            topology::declare_rungs(&channel, names, lane).await?;
            match canary {
                Some(release) => {
                    topology::declare_canary(&channel, names, lane, release).await?;
                    Ok(names.canary_queue(lane, release))
                }
                None => Ok(names.lane_queue(lane)),
            }
        };
        let queue = match timeout(PATIENCE, declared).await {
            Ok(queue) => queue.map_err(|reason| shared.consuming.unavailable(reason))?,
            Err(_) => return Err(QueueError::TimedOut(PATIENCE)),
        };
        let consuming = Consuming::start(live, queue, prefetch, FieldTable::default()).await?;
        let place = shared.places.get(lane, canary);
        Ok(Box::new(AmqpConsumer::new(Arc::clone(shared), consuming, lane, place)))
    }

    async fn dead_letters(&self, prefetch: usize) -> Result<Box<dyn DeadLetters>, QueueError> {
        let live = self.shared.consuming().await?;
        let queue = self.shared.settings.names.dead_queue();
        let consuming = Consuming::start(live, queue, prefetch, FieldTable::default()).await?;
        Ok(Box::new(AmqpDeadLetters::new(Arc::clone(&self.shared), consuming)))
    }

    async fn broadcast(&self, notices: &[Notice]) -> Result<(), QueueError> {
        self.shared.broadcaster.broadcast(notices, &self.shared.settings.names).await
    }

    async fn subscribe(&self) -> Result<Box<dyn Subscription>, QueueError> {
        Ok(Box::new(AmqpSubscription::start(&self.shared).await?))
    }

    async fn depth(&self) -> Result<Depths, QueueError> {
        depth::depths(&self.shared).await
    }

    async fn revoke_canary(&self, release: &str) -> Result<u64, QueueError> {
        canary::revoke(&self.shared, release).await
    }

    fn state(&self) -> QueueState {
        self.shared.state()
    }
}

// === impl Shared ===

impl Shared {
    /// Returns the connection for everything but publishing, which is made on first use.
    async fn consuming(&self) -> Result<Arc<Live>, QueueError> {
        if !self.consumes.swap(true, Ordering::AcqRel) {
            self.tasks.lock().spawn(Arc::clone(&self.consuming).run());
        }
        timeout(PATIENCE, self.consuming.settled()).await.ok();
        self.consuming.live()
    }

    /// The worse of the two connections.
    fn state(&self) -> QueueState {
        let publishing = self.publishing.state();
        let consumes = self.consumes.load(Ordering::Acquire) && !self.consuming.is_new();
        match self.consuming.state() {
            lost @ QueueState::Disconnected { .. }
                if consumes && !matches!(publishing, QueueState::Disconnected { .. }) =>
            {
                lost
            }
            _ => publishing,
        }
    }

    fn letters(&self) -> u64 {
        u64::try_from(self.letters.load(Ordering::Relaxed)).unwrap_or(0)
    }

    fn count_letters(&self, change: i64) {
        self.letters.fetch_add(change, Ordering::Relaxed);
    }
}

fn next_fence() -> i64 {
    FENCES.fetch_add(1, Ordering::Relaxed)
}

#[cfg(test)]
mod tests;
