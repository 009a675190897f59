//! Hands out what was kept aside, by a worker or by the broker.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use lapin::options::BasicAckOptions;
use lapin::types::AMQPValue;
use tidegate_core::clock::{MICROS_PER_SECOND, Timestamp};
use tidegate_core::job::Lane;

use super::acks::{Ack, acks};
use super::consumer::Consuming;
use super::envelope::Incoming;
use super::headers::{self, DEATHS, name};
use super::{Shared, next_fence};
use crate::{DeadDelivery, DeadLetters, DeliveryTag, MAX_MESSAGE, QueueError};

/// A consumer of the queue of dead letters.
pub(super) struct AmqpDeadLetters {
    shared: Arc<Shared>,
    consuming: Consuming,
    fence: i64,
    unfiled: BTreeSet<u64>,
}

// === impl AmqpDeadLetters ===

impl AmqpDeadLetters {
    pub(super) fn new(shared: Arc<Shared>, consuming: Consuming) -> Self {
        Self { fence: next_fence(), shared, consuming, unfiled: BTreeSet::new() }
    }
}

#[async_trait]
impl DeadLetters for AmqpDeadLetters {
    async fn next(&mut self) -> Result<DeadDelivery, QueueError> {
        let message = self.consuming.next().await?;
        let tag = message.delivery_tag;
        self.unfiled.insert(tag);
        self.shared.count_letters(1);
        let (properties, body) = (message.properties, message.data);
        let incoming = Incoming { key: message.routing_key, properties, body };
        let tag = DeliveryTag { message: tag.cast_signed(), fence: self.fence };
        Ok(letter(tag, incoming, Timestamp::now()))
    }

    async fn filed(&mut self, tags: Vec<DeliveryTag>) -> Result<(), QueueError> {
        let ours = tags.iter().filter(|tag| tag.fence == self.fence);
        let filed: BTreeSet<u64> = ours
            .map(|tag| tag.message.cast_unsigned())
            .filter(|tag| self.unfiled.contains(tag))
            .collect();
        for Ack { tag, multiple } in acks(self.unfiled.iter().copied(), &filed) {
            let acknowledged = self.consuming.channel.basic_ack(tag, BasicAckOptions { multiple });
            self.consuming.live.within(acknowledged).await?;
        }
        self.unfiled.retain(|tag| !filed.contains(tag));
        self.shared.count_letters(-i64::try_from(filed.len()).unwrap_or(i64::MAX));
        Ok(())
    }
}

impl Drop for AmqpDeadLetters {
    fn drop(&mut self) {
        self.shared.count_letters(-i64::try_from(self.unfiled.len()).unwrap_or(i64::MAX));
    }
}

/// Reads what a letter says of its death: a worker's own words, or else the broker's.
fn letter(tag: DeliveryTag, incoming: Incoming, now: Timestamp) -> DeadDelivery {
    let death = Death::last(&incoming);
    let arm = tidegate_core::job::Arm::Stable;
    let job = incoming.job(arm).ok();
    let key_lane = incoming.key.as_str().split('.').next().and_then(|lane| lane.parse().ok());
    let lane: Option<Lane> =
        incoming.text(name::LANE).and_then(|lane| lane.parse().ok()).or(key_lane);
    let reason = incoming.text(name::REASON).unwrap_or_else(|| death.reason());
    let died_at = incoming.number(name::DIED_AT).map(Timestamp).or(death.at).unwrap_or(now);
    DeadDelivery {
        tag,
        job,
        lane,
        reason,
        attempts: incoming.attempts().unwrap_or(0),
        headers: headers::readable(incoming.headers()),
        died_at,
        published_at: incoming.published_at(),
        body: bounded(incoming.body),
    }
}

/// What the broker says of a message that it kept aside itself.
#[derive(Debug, Default)]
struct Death {
    why: Option<String>,
    queue: Option<String>,
    at: Option<Timestamp>,
}

// === impl Death ===

impl Death {
    /// Reads the latest of a message's deaths, which comes first.
    fn last(incoming: &Incoming) -> Self {
        let deaths = incoming.headers().and_then(|headers| headers.inner().get(DEATHS));
        let Some(AMQPValue::FieldArray(deaths)) = deaths else { return Self::default() };
        let Some(AMQPValue::FieldTable(last)) = deaths.as_slice().first() else {
            return Self::default();
        };
        let last: BTreeMap<&str, &AMQPValue> =
            last.into_iter().map(|(name, value)| (name.as_str(), value)).collect();
        let text = |name| last.get(name).and_then(|value| headers::text(value));
        let seconds = last.get("time").and_then(|value| headers::number(value));
        Self {
            why: text("reason"),
            queue: text("queue"),
            at: seconds.map(|seconds| Timestamp(seconds.saturating_mul(MICROS_PER_SECOND))),
        }
    }

    fn reason(&self) -> String {
        let queue = self.queue.as_deref().unwrap_or("its queue");
        match self.why.as_deref() {
            Some("delivery_limit") => {
                format!(
                    "delivery_limit: {queue} handed it out again and again, and nobody settled it"
                )
            }
            Some("expired") => format!("expired: it waited in {queue} for too long"),
            Some("maxlen") => format!("expired: {queue} was full"),
            Some("rejected") => format!("permanent: a consumer of {queue} rejected it"),
            Some(other) => format!("permanent: the broker kept it aside ({other})"),
            None => "permanent: it does not say why".to_owned(),
        }
    }
}

/// Somebody else may have published a message of any size.
fn bounded(mut body: Vec<u8>) -> Vec<u8> {
    body.truncate(MAX_MESSAGE);
    body
}
