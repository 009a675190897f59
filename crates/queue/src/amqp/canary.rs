//! Moves the jobs of a canary that was revoked to stable workers.

use std::sync::Arc;
use std::time::Duration;

use lapin::options::BasicAckOptions;
use lapin::types::{AMQPValue, FieldTable};
use tidegate_core::job::Lane;
use tokio::time::timeout;

use super::consumer::Consuming;
use super::envelope::Incoming;
use super::link::Live;
use super::{Shared, depth, topology};
use crate::QueueError;

/// Jobs moved together.
const BATCH: usize = 256;

/// The broker hands out what is ready within this time.
const IDLE: Duration = Duration::from_millis(200);

/// The canary's own consumers have none: this one comes before them.
const PRIORITY: i32 = 10;

/// Lets a canary's jobs go to stable workers, and moves those that wait.
pub(super) async fn revoke(shared: &Shared, release: &str) -> Result<u64, QueueError> {
    let live = shared.consuming().await?;
    // Before anything moves: otherwise more would come.
    let mut lanes = Vec::new();
    for lane in Lane::ALL {
        if unbind(shared, &live, lane, release).await? {
            lanes.push(lane);
        }
    }
    let mut moved = 0;
    for lane in lanes {
        moved += move_waiting(shared, &live, lane, release).await?;
    }
    shared.places.forget(release);
    Ok(moved)
}

/// Returns whether the canary has such a queue.
async fn unbind(
    shared: &Shared,
    live: &Live,
    lane: Lane,
    release: &str,
) -> Result<bool, QueueError> {
    let names = &shared.settings.names;
    let channel = live.channel().await?;
    let queue = names.canary_queue(lane, release);
    if depth::count(live, &channel, queue).await?.is_none() {
        return Ok(false);
    }
    live.within(topology::unbind_canary(&channel, names, lane, release)).await?;
    Ok(true)
}

async fn move_waiting(
    shared: &Shared,
    live: &Arc<Live>,
    lane: Lane,
    release: &str,
) -> Result<u64, QueueError> {
    let queue = shared.settings.names.canary_queue(lane, release);
    let mut arguments = FieldTable::default();
    arguments.insert("x-priority".into(), AMQPValue::LongInt(PRIORITY));
    let mut consuming = Consuming::start(Arc::clone(live), queue, BATCH, arguments).await?;
    let mut moved = 0;
    loop {
        let batch = batch(&mut consuming).await?;
        if batch.is_empty() {
            break;
        }
        moved += forward(shared, &consuming, batch).await?;
    }
    // What is on its way here already would otherwise go back.
    consuming.cancel().await?;
    let mut late = Vec::new();
    while let Ok(message) = consuming.next().await {
        late.push(message);
    }
    if !late.is_empty() {
        moved += forward(shared, &consuming, late).await?;
    }
    Ok(moved)
}

/// Takes what the broker hands out, until it hands out nothing for a while.
async fn batch(consuming: &mut Consuming) -> Result<Vec<lapin::message::Delivery>, QueueError> {
    let mut batch = Vec::new();
    while batch.len() < BATCH {
        match timeout(IDLE, consuming.next()).await {
            Ok(message) => batch.push(message?),
            Err(_) => break,
        }
    }
    Ok(batch)
}

/// Publishes copies, and acknowledges once the broker has them.
async fn forward(
    shared: &Shared,
    consuming: &Consuming,
    batch: Vec<lapin::message::Delivery>,
) -> Result<u64, QueueError> {
    let last = batch.last().map_or(0, |message| message.delivery_tag);
    let exchange = shared.settings.names.jobs();
    let copies: Vec<_> = batch
        .into_iter()
        .map(|message| {
            let (properties, body) = (message.properties, message.data);
            Incoming { key: message.routing_key, properties, body }.moved(exchange.clone())
        })
        .collect();
    let count = u64::try_from(copies.len()).unwrap_or(u64::MAX);
    shared.publisher.publish(copies).await?;
    let acknowledged = consuming.channel.basic_ack(last, BasicAckOptions { multiple: true });
    consuming.live.within(acknowledged).await?;
    Ok(count)
}
