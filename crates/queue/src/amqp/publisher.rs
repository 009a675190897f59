//! Publishes in groups and waits for the broker to confirm each group.
//!
//! One group at a time is under way on a channel. The client library hands a message that came back
//! to whichever confirmation arrives next, so only when all of a group have arrived is it known
//! whose messages came back.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{Channel, Confirmation};
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::time::timeout;

use super::PATIENCE;
use super::envelope::{self, Outgoing};
use super::link::{Link, Live};
use crate::QueueError;

/// Groups under way at a time: while one waits for its confirmations, the next is written.
pub(super) const WRITERS: usize = 2;

/// Most messages in a group.
const GROUP: usize = 512;

/// Most calls that wait for a writer.
const WAITING: usize = 256;

/// Longest a call waits: for those before it, and then for its own confirmations.
const CALL: Duration = Duration::from_secs(30);

/// Where calls wait for a writer.
pub(super) struct Publisher {
    link: Arc<Link>,
    calls: mpsc::Sender<Call>,
}

/// The other end.
pub(super) struct Writer {
    link: Arc<Link>,
    calls: Arc<Mutex<mpsc::Receiver<Call>>>,
    /// Made on first use, and anew when its connection ends or a group fails.
    channel: Option<(Arc<Live>, Channel)>,
}

/// Messages to publish together.
struct Call {
    messages: Vec<Outgoing>,
    done: oneshot::Sender<Result<(), QueueError>>,
}

/// How a group ended.
struct Ended {
    /// Ids of messages that no queue takes.
    returned: HashSet<String>,
    /// The broker took not all of them.
    refused: bool,
}

// === impl Publisher ===

impl Publisher {
    /// Makes a publisher and its writers, which somebody has to run.
    pub(super) fn new(link: Arc<Link>) -> (Self, Vec<Writer>) {
        let (calls, receiver) = mpsc::channel(WAITING);
        let receiver = Arc::new(Mutex::new(receiver));
        let writer =
            || Writer { link: Arc::clone(&link), calls: Arc::clone(&receiver), channel: None };
        let writers = std::iter::repeat_with(writer).take(WRITERS).collect();
        (Self { link, calls }, writers)
    }

    /// Publishes messages and waits until the broker has them on disk.
    pub(super) async fn publish(&self, messages: Vec<Outgoing>) -> Result<(), QueueError> {
        // Fails at once: whoever publishes has an outbox and comes again.
        self.link.open()?;
        let (done, answer) = oneshot::channel();
        let published = async {
            let lost = || self.link.unavailable("the publisher has ended".to_owned());
            self.calls.send(Call { messages, done }).await.map_err(|_| lost())?;
            answer.await.map_err(|_| lost())?
        };
        timeout(CALL, published).await.unwrap_or(Err(QueueError::TimedOut(CALL)))
    }
}

// === impl Writer ===

impl Writer {
    /// Publishes until nobody can call any more.
    pub(super) async fn run(mut self) {
        while let Some(calls) = self.gather().await {
            let ended = self.write(&calls).await;
            if !matches!(&ended, Ok(ended) if ended.returned.is_empty() && !ended.refused) {
                // What comes late on the old channel must not be taken for the next group's, and a
                // channel that was refused once, because the queue's leader died, may be for ever.
                self.channel = None;
            }
            answer(calls, &ended);
        }
    }

    /// Waits for a call, and takes those that wait with it.
    async fn gather(&self) -> Option<Vec<Call>> {
        let mut waiting = self.calls.lock().await;
        let first = waiting.recv().await?;
        let mut size = first.messages.len();
        let mut calls = vec![first];
        while size < GROUP {
            let Ok(next) = waiting.try_recv() else { break };
            size += next.messages.len();
            calls.push(next);
        }
        Some(calls)
    }

    async fn write(&mut self, calls: &[Call]) -> Result<Ended, QueueError> {
        let (live, channel) = self.channel().await?;
        let mut ended = Ended { returned: HashSet::new(), refused: false };
        let messages: Vec<_> = calls.iter().flat_map(|call| &call.messages).collect();
        for group in messages.chunks(GROUP) {
            for confirmation in publish_group(&live, &channel, group).await? {
                ended.refused |= !confirmation.is_ack();
                if let Some(message) = confirmation.take_message() {
                    ended.returned.insert(envelope::id(&message.delivery.properties).to_owned());
                }
            }
        }
        if !ended.returned.is_empty() {
            // Somebody deleted a queue. Its messages come again, and find a new one.
            live.declare_again(&self.link).await;
        }
        Ok(ended)
    }

    async fn channel(&mut self) -> Result<(Arc<Live>, Channel), QueueError> {
        let live = self.link.open()?;
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

async fn publish_group(
    live: &Live,
    channel: &Channel,
    group: &[&Outgoing],
) -> Result<Vec<Confirmation>, QueueError> {
    let confirmed = async {
        let mut confirmations = Vec::with_capacity(group.len());
        for Outgoing { exchange, key, properties, body } in group {
            let options = BasicPublishOptions { mandatory: true, ..Default::default() };
            let (exchange, key) = (exchange.clone(), key.clone());
            let published =
                channel.basic_publish(exchange, key, options, body, properties.clone()).await?;
            confirmations.push(published);
        }
        crate::fail_point!("queue::published");
        try_join_all(confirmations).await
    };
    match timeout(PATIENCE, confirmed).await {
        Ok(Ok(confirmations)) => Ok(confirmations),
        Ok(Err(error)) => {
            tracing::debug!(error = %error, "Messages could not be published.");
            Err(QueueError::Disconnected)
        }
        Err(_) => {
            // A blocked broker answers late, and the connection is as good as before.
            if !live.is_blocked() {
                live.give_up();
            }
            Err(QueueError::TimedOut(PATIENCE))
        }
    }
}

/// Tells each call how its messages ended.
fn answer(calls: Vec<Call>, ended: &Result<Ended, QueueError>) {
    for Call { messages, done } in calls {
        let result = match ended {
            Ok(ended) => result(&messages, ended),
            Err(QueueError::TimedOut(patience)) => Err(QueueError::TimedOut(*patience)),
            Err(QueueError::Unavailable { server, reason }) => {
                Err(QueueError::Unavailable { server: server.clone(), reason: reason.clone() })
            }
            Err(_) => Err(QueueError::Disconnected),
        };
        // Who waits no longer publishes again.
        done.send(result).ok();
    }
}

fn result(messages: &[Outgoing], ended: &Ended) -> Result<(), QueueError> {
    if let Some(message) = messages.iter().find(|message| ended.returned.contains(message.id())) {
        return Err(QueueError::Unroutable { key: message.key.to_string() });
    }
    // Which of them was refused is not worth knowing: all come again.
    if ended.refused { Err(QueueError::Refused) } else { Ok(()) }
}
