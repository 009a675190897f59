//! Hears notices on a queue of its own, which the broker bounds.

use std::sync::Arc;

use async_trait::async_trait;
use lapin::options::{BasicAckOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, message};
use tidegate_core::notice::Notice;
use uuid::Uuid;

use super::Shared;
use super::consumer::Consuming;
use super::envelope::Incoming;
use super::headers::name;
use super::holes::{Continuity, Holes};
use super::link::Live;
use crate::{Heard, QueueError, Subscription};

/// Messages read at once.
const BATCH: usize = 256;

/// Most bytes kept for one slow subscriber.
const BYTES: i64 = 64 << 20;

/// A subscriber's queue, and a second one that tells when the first was full.
pub(super) struct AmqpSubscription {
    notices: Consuming,
    dropped: Consuming,
    holes: Holes,
    /// Read, not yet handed out.
    heard: Option<Heard>,
    /// Read, not yet acknowledged.
    settling: Option<Settling>,
}

/// Messages up to this one, on one of the queues.
#[derive(Clone, Copy, Debug)]
enum Settling {
    Notices(u64),
    Dropped(u64),
}

// === impl AmqpSubscription ===

impl AmqpSubscription {
    /// Hears what is published from now on.
    pub(super) async fn start(shared: &Shared) -> Result<Self, QueueError> {
        let live = shared.consuming().await?;
        let (names, id) = (&shared.settings.names, Uuid::now_v7().simple());
        let name: ShortString = format!("{}.notices.{id}", names.prefix()).into();
        let dropped: ShortString = format!("{}.notices.{id}.dropped", names.prefix()).into();
        let channel = live.channel().await?;
        // One is as good as many.
        let one = [("x-max-length", AMQPValue::LongLongInt(1))];
        declare(&live, &channel, dropped.clone(), &one).await?;
        let bounds = [
            ("x-max-length", AMQPValue::LongLongInt(shared.settings.notices.into())),
            ("x-max-length-bytes", AMQPValue::LongLongInt(BYTES)),
            ("x-overflow", text("drop-head")),
            // What is dropped goes through the nameless exchange to the other queue.
            ("x-dead-letter-exchange", text("")),
            ("x-dead-letter-routing-key", text(dropped.as_str())),
        ];
        declare(&live, &channel, name.clone(), &bounds).await?;
        let (options, arguments) = (QueueBindOptions::default(), FieldTable::default());
        let bound =
            channel.queue_bind(name.clone(), names.notices(), "".into(), options, arguments);
        live.within(bound).await?;
        let start = async |queue, prefetch| {
            Consuming::start(Arc::clone(&live), queue, prefetch, FieldTable::default()).await
        };
        let (dropped, notices) = (start(dropped, 1).await?, start(name, BATCH).await?);
        Ok(Self { notices, dropped, holes: Holes::default(), heard: None, settling: None })
    }

    /// Reads what has come, beginning with `first`.
    fn read(&mut self, first: message::Delivery) -> Result<(), QueueError> {
        let (mut heard, mut message, mut missed) = (Vec::new(), first, false);
        for _ in 0..BATCH {
            self.settling = Some(Settling::Notices(message.delivery_tag));
            match self.open(message) {
                Some(notices) => heard.extend(notices),
                // What was heard before goes with it: whoever hears of a hole starts anew.
                None => missed = true,
            }
            let Some(next) = self.notices.now() else { break };
            message = next?;
        }
        self.heard = Some(if missed { Heard::Missed } else { Heard::Notices(heard) });
        Ok(())
    }

    async fn settle(&mut self) -> Result<(), QueueError> {
        match self.settling {
            Some(Settling::Notices(tag)) => acknowledge(&self.notices, tag).await?,
            Some(Settling::Dropped(tag)) => acknowledge(&self.dropped, tag).await?,
            None => {}
        }
        self.settling = None;
        Ok(())
    }

    /// Returns what a message says; `None` if something is missing before it, or it can't be read.
    fn open(&mut self, message: message::Delivery) -> Option<Vec<Notice>> {
        let (properties, body) = (message.properties, message.data);
        let incoming = Incoming { key: message.routing_key, properties, body };
        let publisher = incoming.text(name::PUBLISHER).and_then(|id| Uuid::parse_str(&id).ok())?;
        let number = u64::try_from(incoming.number(name::NUMBER)?).ok()?;
        match self.holes.hear(publisher, number) {
            Continuity::Hole => return None,
            Continuity::Repeated => return Some(Vec::new()),
            Continuity::Whole => {}
        }
        match serde_json::from_slice(&incoming.body) {
            Ok(notices) => Some(notices),
            // Of a newer release. What it says is unknown, so it may concern anything.
            Err(error) => {
                tracing::warn!(error = %error, "Notice could not be read.");
                None
            }
        }
    }
}

#[async_trait]
impl Subscription for AmqpSubscription {
    async fn next(&mut self) -> Result<Heard, QueueError> {
        // What was read is kept until it is handed out: a call may be dropped while it settles.
        while self.heard.is_none() {
            tokio::select! {
                biased;
                message = self.dropped.next() => {
                    self.settling = Some(Settling::Dropped(message?.delivery_tag));
                    self.heard = Some(Heard::Missed);
                }
                message = self.notices.next() => self.read(message?)?,
            }
        }
        self.settle().await?;
        Ok(self.heard.take().unwrap_or(Heard::Missed))
    }
}

async fn acknowledge(consuming: &Consuming, tag: u64) -> Result<(), QueueError> {
    let acknowledged = consuming.channel.basic_ack(tag, BasicAckOptions { multiple: true });
    consuming.live.within(acknowledged).await
}

async fn declare(
    live: &Live,
    channel: &Channel,
    queue: ShortString,
    arguments: &[(&str, AMQPValue)],
) -> Result<(), QueueError> {
    let options = QueueDeclareOptions { exclusive: true, auto_delete: true, ..Default::default() };
    let mut table = FieldTable::default();
    for (name, value) in arguments {
        table.insert((*name).into(), value.clone());
    }
    live.within(channel.queue_declare(queue, options, table)).await.map(drop)
}

fn text(text: &str) -> AMQPValue {
    AMQPValue::LongString(text.as_bytes().to_vec().into())
}
