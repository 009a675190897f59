//! Takes deliveries of one lane from the queue, runs them in slots, and settles them.
//!
//! Each lane has a consumer of its own with its own prefetch: what one lane holds takes no room
//! from another.

mod connection;
mod running;
mod window;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tidegate_core::backoff::Backoff;
use tidegate_core::clock::Timestamp;
use tidegate_core::job::Lane;
use tidegate_core::shutdown::Shutdown;
use tidegate_queue::{Consumer, Delivery, QueueError, Settlement, SharedQueue, Source};
use tokio::sync::RwLock;
use tokio::time::sleep;

pub(crate) use self::connection::Connections;
use self::running::{Ended, Running};
use self::window::Window;
use crate::kinds::Kinds;
use crate::ledger::Ledger;
use crate::metrics::metrics;
use crate::settle::{Outcome, Settler};
use crate::slots::{Permit, Slots};

/// Pause before a new consumer is built. The bound doubles from the first to the second.
const BACKOFF: Backoff = Backoff { base: Duration::from_millis(50), cap: Duration::from_secs(5) };

/// How long a long job waits here for a slot. Then it is given up to others: a broker would take a
/// consumer for dead that holds a delivery for as long as the job before it may run.
const LONG_WAIT: Duration = Duration::from_secs(10);

/// Does the work of deliveries.
#[async_trait]
pub(crate) trait Runner: Send + Sync + 'static {
    /// Does the work of deliveries of one kind; returns how each ended, in their order.
    async fn run(&self, run: Run) -> Vec<Outcome>;
}

/// Deliveries of one kind that are run together.
#[derive(Debug)]
pub(crate) struct Run {
    /// Given back when the work is done; what goes on after the run takes it along.
    pub(crate) permit: Permit,
    pub(crate) deliveries: Arc<[Delivery]>,
    /// Read by whatever runs in the lane, written by what must run alone.
    pub(crate) gate: Arc<RwLock<()>>,
}

/// What all lanes of a process share.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) queue: SharedQueue,
    pub(crate) slots: Arc<Slots>,
    pub(crate) kinds: Arc<Kinds>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) connections: Connections,
    /// Ends consuming; what has begun is finished.
    pub(crate) stop: Shutdown,
    /// This worker's release.
    pub(crate) release: Option<String>,
    /// The release whose canary jobs it takes, instead of those of stable workers.
    pub(crate) canary: Option<String>,
}

/// One lane's consumer and what it holds.
struct Hands<R> {
    shared: Shared,
    lane: Lane,
    prefetch: usize,
    window: Window,
    running: Running<R>,
    settler: Settler,
    /// Consumers lost in a row.
    failures: u32,
}

/// Consumes `lane` until the stop and until all that was begun has ended, building a new consumer
/// whenever the connection ends.
pub(crate) async fn consume<R: Runner>(
    shared: Shared,
    lane: Lane,
    prefetch: usize,
    runner: Arc<R>,
) {
    let mut hands = Hands {
        settler: Settler::new(&shared, lane),
        running: Running::new(runner, Arc::clone(&shared.kinds)),
        window: Window::default(),
        shared,
        lane,
        prefetch,
        failures: 0,
    };
    let (stop, connections) = (hands.shared.stop.clone(), hands.shared.connections.clone());
    while !stop.is_cancelled() {
        let Err(error) = hands.connect().await else { break };
        let pause = BACKOFF.jittered(hands.failures);
        hands.failures = hands.failures.saturating_add(1);
        connections.lost(lane, &error, pause);
        // All of it comes again, also what runs now: that is found done, or runs twice.
        hands.window.clear().for_each(drop);
        hands.running.disown();
        tokio::select! {
            () = sleep(pause) => {}
            () = stop.cancelled() => {}
        }
    }
    connections.ended(lane);
    while hands.running.ended().await.is_some() {}
}

// === impl Hands ===

impl<R: Runner> Hands<R> {
    /// Runs one consumer until it is lost, or drained after the stop.
    async fn connect(&mut self) -> Result<(), QueueError> {
        let source = Source { lane: self.lane, canary: self.shared.canary.as_deref() };
        let mut consumer = self.shared.queue.consume(source, self.prefetch).await?;
        self.shared.connections.connected(self.lane);
        self.take(consumer.as_mut()).await?;
        let released = self.window.clear().map(|held| (held.tag, Settlement::Release)).collect();
        consumer.settle(released).await?;
        // The runs see the stop too: what they have not begun they give back.
        while let Some(ended) = self.running.ended().await {
            self.settle(consumer.as_mut(), ended).await?;
        }
        Ok(())
    }

    /// Takes deliveries, starts runs and settles them, until the stop.
    async fn take(&mut self, consumer: &mut dyn Consumer) -> Result<(), QueueError> {
        let (stop, slots) = (self.shared.stop.clone(), Arc::clone(&self.shared.slots));
        loop {
            let kinds = self.window.kinds();
            tokio::select! {
                // In this order: settle what is done, gather all that is ready, then run it.
                biased;
                () = stop.cancelled() => return Ok(()),
                Some(ended) = self.running.ended() => self.settle(consumer, ended).await?,
                delivery = consumer.next() => {
                    self.failures = 0;
                    self.hold(consumer, delivery?).await?;
                }
                permit = slots.start(self.lane, &kinds), if !kinds.is_empty() => {
                    let most = self.shared.kinds.of(permit.kind()).together;
                    let deliveries = self.window.take(permit.kind(), most);
                    self.running.start(permit, deliveries);
                }
                () = sleep(LONG_WAIT), if self.lane == Lane::Long && !kinds.is_empty() => {
                    self.give_up(consumer).await?;
                }
            }
        }
    }

    /// Keeps a delivery for its turn, or settles it at once if there is nothing to run.
    async fn hold(
        &mut self,
        consumer: &mut dyn Consumer,
        delivery: Delivery,
    ) -> Result<(), QueueError> {
        let outcome = match self.shared.kinds.read(&delivery.job, self.shared.release.as_deref()) {
            Ok(_) if delivery.job.deadline.is_some_and(|at| at < Timestamp::now()) => {
                Outcome::Expired
            }
            Ok(kind) => {
                self.window.push(kind, delivery);
                return Ok(());
            }
            Err(unreadable) => Outcome::Unreadable(unreadable),
        };
        let settlements = self.settler.decide(&[delivery], &[outcome]).await;
        consumer.settle(settlements).await
    }

    /// Lets others have what finds no slot here.
    async fn give_up(&mut self, consumer: &mut dyn Consumer) -> Result<(), QueueError> {
        let held: Vec<Delivery> = self.window.clear().collect();
        let settlements = self.settler.decide(&held, &vec![Outcome::Busy; held.len()]).await;
        consumer.settle(settlements).await
    }

    async fn settle(
        &mut self,
        consumer: &mut dyn Consumer,
        ended: Vec<Ended>,
    ) -> Result<(), QueueError> {
        let mut settlements = Vec::new();
        for Ended { kind, deliveries, outcomes, elapsed } in ended {
            metrics().ran(kind, elapsed);
            self.shared.ledger.ran(self.lane, outcomes.len(), elapsed);
            let finished = outcomes.iter().filter(|outcome| outcome.is_final()).count();
            self.shared.ledger.finished(kind, finished);
            settlements.append(&mut self.settler.decide(&deliveries, &outcomes).await);
        }
        consumer.settle(settlements).await
    }
}
