//! Takes jobs of one lane from the broker, and settles them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{FutureExt as _, StreamExt as _};
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions};
use lapin::types::{FieldTable, ShortString};
use lapin::{Channel, message};
use tidegate_core::backoff::Backoff;
use tidegate_core::clock::Timestamp;
use tidegate_core::job::{Arm, Lane};
use tokio::time::{sleep, timeout};

use super::acks::{Ack, acks};
use super::envelope::{Incoming, Outgoing};
use super::link::Live;
use super::places::Place;
use super::rung::Rung;
use super::{Shared, names, next_fence};
use crate::{Consumer, Delivery, DeliveryTag, QueueError, QueueState, Settlement};

/// How long a settlement waits for the broker to take copies in. What takes longer goes on behind
/// the consumer's next calls.
const COPYING: Duration = Duration::from_secs(5);

/// Pause after copies could not be published. The bound doubles from the first to the second.
const BACKOFF: Backoff = Backoff { base: Duration::from_millis(200), cap: Duration::from_secs(5) };

/// Copies on their way. Kept until they have arrived: only then are the originals acknowledged.
type Copying = Pin<Box<dyn Future<Output = Vec<u64>> + Send>>;

/// A consumer with a channel of its own.
pub(super) struct AmqpConsumer {
    shared: Arc<Shared>,
    live: Arc<Live>,
    channel: Channel,
    deliveries: lapin::Consumer,
    lane: Lane,
    arm: Arm,
    place: Arc<Place>,
    /// Tells the deliveries of this consumer from those of others.
    fence: i64,
    /// Received, not yet handed out.
    ready: VecDeque<Delivery>,
    /// Received and not yet settled, handed out or not.
    unsettled: BTreeMap<u64, Incoming>,
    /// Copies that wait for those under way, with their originals.
    owed: Vec<(u64, Outgoing)>,
    copying: Option<Copying>,
}

/// A queue with a consumer on it.
pub(super) struct Consuming {
    pub(super) live: Arc<Live>,
    pub(super) channel: Channel,
    pub(super) deliveries: lapin::Consumer,
}

// === impl Consuming ===

impl Consuming {
    /// Starts consuming a queue on a channel of its own.
    pub(super) async fn start(
        live: Arc<Live>,
        queue: ShortString,
        prefetch: usize,
        arguments: FieldTable,
    ) -> Result<Self, QueueError> {
        let channel = live.channel().await?;
        let prefetch = u16::try_from(prefetch.max(1)).unwrap_or(u16::MAX);
        live.within(channel.basic_qos(prefetch, BasicQosOptions::default())).await?;
        let options = BasicConsumeOptions::default();
        let consuming = channel.basic_consume(queue, "".into(), options, arguments);
        let deliveries = live.within(consuming).await?;
        Ok(Self { live, channel, deliveries })
    }
}

// === impl AmqpConsumer ===

impl AmqpConsumer {
    pub(super) fn new(
        shared: Arc<Shared>,
        consuming: Consuming,
        lane: Lane,
        place: Arc<Place>,
    ) -> Self {
        let Consuming { live, channel, deliveries } = consuming;
        Self {
            fence: next_fence(),
            arm: if place.is_canary() { Arm::Canary } else { Arm::Stable },
            shared,
            live,
            channel,
            deliveries,
            lane,
            place,
            ready: VecDeque::new(),
            unsettled: BTreeMap::new(),
            owed: Vec::new(),
            copying: None,
        }
    }

    /// Takes a message in. What is no job is kept aside at once: it would come back for ever.
    fn receive(&mut self, message: message::Delivery) {
        let tag = message.delivery_tag;
        let (properties, body) = (message.properties, message.data);
        let incoming = Incoming { key: message.routing_key, properties, body };
        self.place.took(incoming.published_at());
        match incoming.job(self.arm) {
            Ok(job) => {
                let tag = DeliveryTag { message: tag.cast_signed(), fence: self.fence };
                self.ready.push_back(Delivery { tag, job, redelivered: message.redelivered });
            }
            Err(error) => {
                let reason = format!("malformed: not a job this release can read: {error}");
                tracing::warn!(error = %error, "Job could not be read.");
                self.owed.push((tag, self.dead(&incoming, &reason)));
            }
        }
        self.unsettled.insert(tag, incoming);
    }

    fn dead(&self, incoming: &Incoming, reason: &str) -> Outgoing {
        let exchange = self.shared.settings.names.dead();
        incoming.dead(exchange, self.lane, reason, Timestamp::now())
    }

    fn again(&self, incoming: &Incoming, after: Duration) -> Outgoing {
        let names = &self.shared.settings.names;
        match Rung::for_wait(after, draw()) {
            None => incoming.again(names.due(), names::due_key(self.lane)),
            Some(rung) => incoming.again(names.retry(), names::rung_key(self.lane, rung)),
        }
    }

    /// Publishes copies that are owed, and acknowledges their originals. Cancel safe.
    async fn pay(&mut self) {
        while self.copying.is_some() || !self.owed.is_empty() {
            if self.copying.is_none() {
                let owed = std::mem::take(&mut self.owed);
                self.copying = Some(copy(Arc::clone(&self.shared), owed));
            }
            let Some(copying) = &mut self.copying else { return };
            let done = copying.await;
            self.copying = None;
            self.acknowledge(done.into_iter().collect()).await;
        }
    }

    /// Acknowledges deliveries. Failing means that they come again, and tells nobody anything: the
    /// next call finds the consumer dead.
    async fn acknowledge(&mut self, done: BTreeSet<u64>) {
        for Ack { tag, multiple } in acks(self.unsettled.keys().copied(), &done) {
            let options = BasicAckOptions { multiple };
            if self.live.within(self.channel.basic_ack(tag, options)).await.is_err() {
                break;
            }
        }
        for tag in done {
            self.forget(tag);
        }
    }

    fn forget(&mut self, tag: u64) {
        if let Some(incoming) = self.unsettled.remove(&tag) {
            self.place.settled(incoming.published_at());
        }
    }

    /// Returns the tag, if it names a delivery that this consumer holds.
    fn held(&self, tag: DeliveryTag) -> Option<u64> {
        let held = tag.message.cast_unsigned();
        (tag.fence == self.fence && self.unsettled.contains_key(&held)).then_some(held)
    }
}

#[async_trait]
impl Consumer for AmqpConsumer {
    async fn next(&mut self) -> Result<Delivery, QueueError> {
        loop {
            // All that have come, so that they are counted and acknowledged together.
            while let Some(Some(Ok(message))) = self.deliveries.next().now_or_never() {
                self.receive(message);
            }
            if let Some(delivery) = self.ready.pop_front() {
                return Ok(delivery);
            }
            if self.copying.is_some() || !self.owed.is_empty() {
                let Self { deliveries, .. } = self;
                let mut deliveries = deliveries.clone();
                tokio::select! {
                    biased;
                    message = deliveries.next() => self.receive(received(message)?),
                    () = self.pay() => {}
                }
                continue;
            }
            let message = self.deliveries.next().await;
            self.receive(received(message)?);
        }
    }

    async fn settle(
        &mut self,
        settlements: Vec<(DeliveryTag, Settlement)>,
    ) -> Result<(), QueueError> {
        let (mut done, mut released) = (BTreeSet::new(), Vec::new());
        for (tag, settlement) in settlements {
            let Some(tag) = self.held(tag) else { continue };
            let incoming = &self.unsettled[&tag];
            match settlement {
                Settlement::Ack => {
                    done.insert(tag);
                }
                Settlement::Release => released.push(tag),
                Settlement::Retry { after } => self.owed.push((tag, self.again(incoming, after))),
                Settlement::DeadLetter { reason } => {
                    self.owed.push((tag, self.dead(incoming, &reason)));
                }
            }
        }
        self.acknowledge(done).await;
        for tag in released {
            let options = BasicNackOptions { requeue: true, multiple: false };
            self.live.within(self.channel.basic_nack(tag, options)).await.ok();
            self.forget(tag);
        }
        // Whoever settles has others to settle: a broker that takes nothing in must not hold it up.
        if !self.owed.is_empty() && self.shared.publishing.state() == QueueState::Connected {
            timeout(COPYING, self.pay()).await.ok();
        }
        if !self.channel.status().connected() {
            return Err(QueueError::Disconnected);
        }
        Ok(())
    }
}

impl Drop for AmqpConsumer {
    fn drop(&mut self) {
        for incoming in self.unsettled.values() {
            self.place.settled(incoming.published_at());
        }
    }
}

/// Publishes copies until the broker has them; returns the tags of their originals.
fn copy(shared: Arc<Shared>, owed: Vec<(u64, Outgoing)>) -> Copying {
    Box::pin(async move {
        let (tags, copies): (Vec<_>, Vec<_>) = owed.into_iter().unzip();
        let mut failures = 0;
        while let Err(error) = shared.publisher.publish(copies.clone()).await {
            if failures == 0 {
                tracing::warn!(error = %error, "Copies of jobs could not be published yet.");
            }
            sleep(BACKOFF.jittered(failures)).await;
            failures = failures.saturating_add(1);
        }
        crate::fail_point!("queue::copied");
        tags
    })
}

/// A stream that ends was cancelled by the broker: its queue is gone.
pub(super) fn received(
    message: Option<lapin::Result<message::Delivery>>,
) -> Result<message::Delivery, QueueError> {
    match message {
        Some(Ok(message)) => Ok(message),
        Some(Err(error)) => {
            tracing::debug!(error = %error, "Consumer was lost.");
            Err(QueueError::Disconnected)
        }
        None => Err(QueueError::Disconnected),
    }
}

fn draw() -> f64 {
    // The last bits of a random id: nobody needs better for spreading waits.
    let (_, random) = uuid::Uuid::now_v7().as_u64_pair();
    f64::from(u32::try_from(random & 0xffff_ffff).unwrap_or(0)) / (f64::from(u32::MAX) + 1.0)
}
