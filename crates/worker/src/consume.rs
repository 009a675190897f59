//! Takes deliveries from the queue, hands them on in groups, and settles them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tidegate_core::backoff::Backoff;
use tidegate_core::job::Lane;
use tidegate_core::shutdown::Shutdown;
use tidegate_queue::{Consumer, Delivery, DeliveryTag, QueueError, Settlement, SharedQueue};
use tokio::sync::mpsc;
use tokio::time::sleep;

/// Deliveries handed on together.
pub(crate) const GROUP: usize = 16;

/// Settlements made together.
const SETTLEMENTS: usize = 256;

/// Pause before a new consumer is built. The bound doubles from the first to the second.
const BACKOFF: Backoff = Backoff { base: Duration::from_millis(50), cap: Duration::from_secs(5) };

/// Where deliveries come from.
pub(crate) struct Source {
    queue: SharedQueue,
    prefetch: usize,
    shutdown: Shutdown,
    connection: Connection,
}

/// Tells whether a consumer is connected.
#[derive(Clone, Debug, Default)]
pub(crate) struct Connection(Arc<AtomicBool>);

/// What the consuming task and the stages behind it tell each other.
pub(crate) struct Channels {
    /// Deliveries to work on.
    pub(crate) deliveries: mpsc::Sender<Vec<Delivery>>,
    /// How they ended. Closed when the stages have ended.
    pub(crate) settlements: mpsc::Receiver<(DeliveryTag, Settlement)>,
}

// === impl Source ===

impl Source {
    pub(crate) fn new(queue: SharedQueue, prefetch: usize, shutdown: Shutdown) -> Self {
        Self { queue, prefetch, shutdown, connection: Connection::default() }
    }

    pub(crate) fn connection(&self) -> Connection {
        self.connection.clone()
    }

    pub(crate) fn shutdown(&self) -> Shutdown {
        self.shutdown.clone()
    }
}

// === impl Connection ===

impl Connection {
    pub(crate) fn is_alive(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    fn set(&self, alive: bool) {
        self.0.store(alive, Ordering::Relaxed);
    }
}

/// Consumes until shutdown and until the stages have ended, building a new consumer whenever the
/// connection ends.
pub(crate) async fn consume(source: Source, mut channels: Channels) {
    let mut failures = 0;
    while !source.shutdown.is_cancelled() {
        let Err(error) = connect(&source, &mut channels, &mut failures).await else { break };
        source.connection.set(false);
        let pause = BACKOFF.jittered(failures);
        failures = failures.saturating_add(1);
        tracing::warn!(
            error = %error,
            consumer.failures = failures,
            consumer.pause_ms = pause.as_millis(),
            "Consumer was lost.",
        );
        tokio::select! {
            () = sleep(pause) => {}
            () = source.shutdown.cancelled() => {}
        }
    }
    source.connection.set(false);
    let Channels { deliveries, mut settlements } = channels;
    drop(deliveries);
    // What the stages finish without a consumer comes again and is found done.
    while settlements.recv().await.is_some() {}
}

/// Runs one consumer until it is lost, or drained after shutdown.
async fn connect(
    source: &Source,
    channels: &mut Channels,
    failures: &mut u32,
) -> Result<(), QueueError> {
    let mut consumer = source
        .queue
        .consume(tidegate_queue::Source::stable(Lane::Default), source.prefetch)
        .await?;
    source.connection.set(true);
    take(consumer.as_mut(), source, channels, failures).await?;
    source.connection.set(false);
    // The stages see the shutdown too: what they have not begun they give back.
    let (closed, _) = mpsc::channel(1);
    channels.deliveries = closed;
    while let Some(settlements) = some(&mut channels.settlements).await {
        consumer.settle(settlements).await?;
    }
    Ok(())
}

/// Hands deliveries on and settles, until shutdown.
async fn take(
    consumer: &mut dyn Consumer,
    source: &Source,
    channels: &mut Channels,
    failures: &mut u32,
) -> Result<(), QueueError> {
    let mut group = Vec::with_capacity(GROUP);
    loop {
        tokio::select! {
            // In this order: settle what is done, gather all that is ready, then hand it on.
            biased;
            () = source.shutdown.cancelled() => break,
            Some(settlements) = some(&mut channels.settlements) => {
                consumer.settle(settlements).await?;
            }
            delivery = consumer.next(), if group.len() < GROUP => {
                group.push(delivery?);
                *failures = 0;
            }
            Ok(permit) = channels.deliveries.reserve(), if !group.is_empty() => {
                permit.send(std::mem::take(&mut group));
            }
            // The stages have ended, which they do only if one of them panicked.
            else => break,
        }
    }
    let released = group.iter().map(|delivery| (delivery.tag, Settlement::Release)).collect();
    consumer.settle(released).await
}

/// Waits for settlements and returns all that have come; `None` when no more can come.
async fn some(
    settlements: &mut mpsc::Receiver<(DeliveryTag, Settlement)>,
) -> Option<Vec<(DeliveryTag, Settlement)>> {
    let mut come = Vec::new();
    (settlements.recv_many(&mut come, SETTLEMENTS).await > 0).then_some(come)
}
