//! Publishes notices, numbered, so that a subscriber sees what it missed.

use std::sync::Arc;

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::AMQPValue;
use lapin::{BasicProperties, Channel};
use tidegate_core::notice::Notice;
use tokio::sync::Mutex;
use tokio::time::timeout;
use uuid::Uuid;

use super::PATIENCE;
use super::envelope::Outgoing;
use super::headers::name;
use super::link::{Link, Live};
use super::names::Names;
use super::publisher::publish_group;
use crate::QueueError;

/// Most notices in a message.
const NOTICES: usize = 64;

/// A message that holds as much takes no more notices.
const BYTES: usize = 64 << 10;

/// Most messages under way.
const GROUP: usize = 64;

/// Publishes the notices of this process.
pub(super) struct Broadcaster {
    link: Arc<Link>,
    /// Its numbers begin with 1.
    publisher: Uuid,
    /// One call at a time, so that numbers are published in order.
    turn: Mutex<Turn>,
}

struct Turn {
    last: u64,
    channel: Option<(Arc<Live>, Channel)>,
}

// === impl Broadcaster ===

impl Broadcaster {
    pub(super) fn new(link: Arc<Link>) -> Self {
        let turn = Mutex::new(Turn { last: 0, channel: None });
        Self { link, publisher: Uuid::now_v7(), turn }
    }

    /// Publishes notices, in order; returns once the broker has handed them to all subscribers.
    pub(super) async fn broadcast(
        &self,
        notices: &[Notice],
        names: &Names,
    ) -> Result<(), QueueError> {
        self.link.open()?;
        let bodies = bodies(notices)?;
        let waiting = timeout(PATIENCE, self.turn.lock()).await;
        let mut turn = waiting.map_err(|_| QueueError::TimedOut(PATIENCE))?;
        let (live, channel) = turn.channel(&self.link).await?;
        let publisher = self.publisher.to_string();
        for group in bodies.chunks(GROUP) {
            let messages = group.iter().map(|body| {
                // A number that is not confirmed is never used again: it may have been heard.
                turn.last += 1;
                message(&publisher, turn.last, body, names)
            });
            let published = tokio::select! {
                biased;
                published = publish(&live, &channel, messages.collect()) => published,
                error = self.link.blocked() => Err(error),
            };
            if published.is_err() {
                turn.channel = None;
            }
            published?;
        }
        Ok(())
    }
}

// === impl Turn ===

impl Turn {
    async fn channel(&mut self, link: &Link) -> Result<(Arc<Live>, Channel), QueueError> {
        let live = link.open()?;
        if let Some((of, channel)) = &self.channel
            && Arc::ptr_eq(of, &live)
            && channel.status().connected()
        {
            return Ok((live, channel.clone()));
        }
        let channel = live.channel().await?;
        live.within(channel.confirm_select(ConfirmSelectOptions::default())).await?;
        self.channel = Some((Arc::clone(&live), channel.clone()));
        Ok((live, channel))
    }
}

/// Returns the bodies of messages: arrays of notices.
fn bodies(notices: &[Notice]) -> Result<Vec<Vec<u8>>, QueueError> {
    let mut bodies: Vec<Vec<u8>> = Vec::new();
    let mut count = 0;
    for notice in notices {
        match bodies.last_mut() {
            Some(body) if count < NOTICES && body.len() < BYTES => body.push(b','),
            Some(_) | None => {
                bodies.push(b"[".to_vec());
                count = 0;
            }
        }
        count += 1;
        if let Some(body) = bodies.last_mut() {
            serde_json::to_writer(body, notice)?;
        }
    }
    for body in &mut bodies {
        body.push(b']');
    }
    Ok(bodies)
}

fn message(publisher: &str, number: u64, body: &[u8], names: &Names) -> Outgoing {
    let number = AMQPValue::LongLongInt(i64::try_from(number).unwrap_or(i64::MAX));
    let publisher = AMQPValue::LongString(publisher.as_bytes().to_vec().into());
    let mut headers = lapin::types::FieldTable::default();
    headers.insert(name::PUBLISHER.into(), publisher);
    headers.insert(name::NUMBER.into(), number);
    let properties = BasicProperties::default()
        .with_content_type("application/json".into())
        .with_headers(headers);
    Outgoing { exchange: names.notices(), key: "".into(), properties, body: body.to_vec() }
}

async fn publish(
    live: &Live,
    channel: &Channel,
    messages: Vec<Outgoing>,
) -> Result<(), QueueError> {
    let messages: Vec<_> = messages.iter().collect();
    // Not mandatory: nobody may listen.
    let options = BasicPublishOptions::default();
    let confirmations = publish_group(live, channel, &messages, options).await?;
    let all = confirmations.iter().all(lapin::Confirmation::is_ack);
    if all { Ok(()) } else { Err(QueueError::Refused) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::notice;

    #[test]
    fn notices_travel_together_but_not_too_many() {
        assert!(bodies(&[]).unwrap().is_empty());
        let notices: Vec<_> = (0..130).map(notice).collect();
        let read: Vec<Vec<Notice>> = bodies(&notices)
            .unwrap()
            .iter()
            .map(|body| serde_json::from_slice(body).unwrap())
            .collect();
        assert_eq!(read.iter().map(Vec::len).collect::<Vec<_>>(), [64, 64, 2]);
        assert_eq!(read.concat(), notices);
    }
}
