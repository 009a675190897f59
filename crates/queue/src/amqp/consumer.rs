//! Takes jobs of one lane from the broker, and settles them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{FutureExt as _, StreamExt as _};
use lapin::options::{
    BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions,
};
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
    consuming: Consuming,
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
    deliveries: lapin::Consumer,
    /// The stream says so once, and is silent afterwards.
    ended: bool,
}

/// What a consumer waited for.
enum Event {
    Message(Box<message::Delivery>),
    Copied(Vec<u64>),
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
        Ok(Self { live, channel, deliveries, ended: false })
    }

    /// Waits for a message. Cancel safe.
    ///
    /// # Errors
    /// The connection or the channel was lost, or the queue is gone.
    pub(super) async fn next(&mut self) -> Result<message::Delivery, QueueError> {
        if self.ended {
            return Err(QueueError::Disconnected);
        }
        let message = self.deliveries.next().await;
        self.received(message)
    }

    /// Returns a message that has come already.
    pub(super) fn now(&mut self) -> Option<Result<message::Delivery, QueueError>> {
        if self.ended {
            return Some(Err(QueueError::Disconnected));
        }
        let message = self.deliveries.next().now_or_never()?;
        Some(self.received(message))
    }

    /// Takes no more messages; those that are on their way still come, and then the end.
    pub(super) async fn cancel(&self) -> Result<(), QueueError> {
        let options = BasicCancelOptions::default();
        self.live.within(self.channel.basic_cancel(self.deliveries.tag(), options)).await
    }

    fn received(
        &mut self,
        message: Option<lapin::Result<message::Delivery>>,
    ) -> Result<message::Delivery, QueueError> {
        match message {
            Some(Ok(message)) => return Ok(message),
            Some(Err(error)) => tracing::debug!(error = %error, "Consumer was lost."),
            None => tracing::debug!("Consumer was ended by the broker."),
        }
        self.ended = true;
        Err(QueueError::Disconnected)
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
        Self {
            shared,
            consuming,
            lane,
            arm: if place.is_canary() { Arm::Canary } else { Arm::Stable },
            place,
            fence: next_fence(),
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

    fn again(&self, incoming: &Incoming, failures: u32, after: Duration) -> Outgoing {
        let names = &self.shared.settings.names;
        match Rung::for_wait(after, draw()) {
            None => incoming.again(failures, names.due(), names::due_key(self.lane)),
            Some(rung) => incoming.again(failures, names.retry(), names::rung_key(self.lane, rung)),
        }
    }

    /// Lets copies that are owed go, unless others are under way.
    fn start_copying(&mut self) {
        if self.copying.is_none() && !self.owed.is_empty() {
            let owed = std::mem::take(&mut self.owed);
            self.copying = Some(copy(Arc::clone(&self.shared), owed));
        }
    }

    /// Publishes all copies that are owed, and acknowledges their originals. Cancel safe.
    async fn pay(&mut self) {
        self.start_copying();
        while let Some(copying) = &mut self.copying {
            let copied = copying.await;
            self.copied(copied);
            self.start_copying();
        }
    }

    /// Acknowledges the originals of copies that have arrived. Not to wait here keeps the callers
    /// cancel safe: the frames are on their way.
    fn copied(&mut self, originals: Vec<u64>) {
        self.copying = None;
        for Ack { tag, multiple } in self.settled(&originals.into_iter().collect()) {
            let acknowledged = self.consuming.channel.basic_ack(tag, BasicAckOptions { multiple });
            acknowledged.now_or_never();
        }
    }

    /// Forgets deliveries, and returns what tells the broker. First this, so that none is told of
    /// twice: that would end the channel.
    fn settled(&mut self, done: &BTreeSet<u64>) -> Vec<Ack> {
        let acks = acks(self.unsettled.keys().copied(), done);
        for tag in done {
            self.forget(*tag);
        }
        acks
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
            while let Some(message) = self.consuming.now() {
                self.receive(message?);
            }
            if let Some(delivery) = self.ready.pop_front() {
                return Ok(delivery);
            }
            self.start_copying();
            let event = match &mut self.copying {
                Some(copying) => tokio::select! {
                    biased;
                    message = self.consuming.next() => Event::Message(Box::new(message?)),
                    copied = copying => Event::Copied(copied),
                },
                None => Event::Message(Box::new(self.consuming.next().await?)),
            };
            match event {
                Event::Message(message) => self.receive(*message),
                Event::Copied(originals) => self.copied(originals),
            }
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
                Settlement::Retry { after } => {
                    self.owed.push((tag, self.again(incoming, 1, after)));
                }
                Settlement::Defer { after } => {
                    self.owed.push((tag, self.again(incoming, 0, after)));
                }
                Settlement::DeadLetter { reason } => {
                    self.owed.push((tag, self.dead(incoming, &reason)));
                }
            }
        }
        // Failing means that they come again, and tells nobody anything.
        let (live, channel) = (Arc::clone(&self.consuming.live), self.consuming.channel.clone());
        for Ack { tag, multiple } in self.settled(&done) {
            live.within(channel.basic_ack(tag, BasicAckOptions { multiple })).await.ok();
        }
        for tag in released {
            self.forget(tag);
            let options = BasicNackOptions { requeue: true, multiple: false };
            live.within(channel.basic_nack(tag, options)).await.ok();
        }
        // Whoever settles has others to settle: a broker that takes nothing in must not hold it up.
        let copies = self.copying.is_some() || !self.owed.is_empty();
        if copies && self.shared.publishing.state() == QueueState::Connected {
            timeout(COPYING, self.pay()).await.ok();
        }
        if channel.status().connected() { Ok(()) } else { Err(QueueError::Disconnected) }
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

fn draw() -> f64 {
    // The last bits of a random id: nobody needs better for spreading waits.
    let (_, random) = uuid::Uuid::now_v7().as_u64_pair();
    f64::from(u32::try_from(random & 0xffff_ffff).unwrap_or(0)) / (f64::from(u32::MAX) + 1.0)
}
