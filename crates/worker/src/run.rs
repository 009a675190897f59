//! Starts the worker's parts, and ends them in order.

use std::sync::Arc;

use tidegate_core::outbox::OutboxSource;
use tidegate_core::shutdown::{DRAIN, Shutdown};
use tidegate_ops::Check;
use tidegate_queue::SharedQueue;
use tidegate_store::SharedStore;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use crate::config::Config;
use crate::consume::Source;
use crate::error::Error;
use crate::{backlog, ingest, sweep};

/// Parts of the process, by name.
type Parts = JoinSet<&'static str>;

/// Applies batches until `shutdown`, then finishes what it has begun and gives back the rest.
///
/// # Errors
/// It can't start, or a part of it ended without being asked to.
pub async fn run(config: Config, shutdown: Shutdown) -> Result<(), Error> {
    let store = tidegate_store::open(&config.store).await.map_err(Error::Store)?;
    let queue = tidegate_queue::open(&config.queue).await.map_err(Error::Queue)?;
    let listener = tidegate_ops::listen::bind(config.private).map_err(Error::Listen)?;

    let source =
        Source::new(Arc::clone(&queue), usize::from(config.prefetch.get()), shutdown.clone());
    let checks = checks(Arc::clone(&store), &queue, &source, &shutdown);
    let mut pipeline = Parts::new();
    ingest::start(Arc::clone(&store), source, &mut pipeline);
    let sweeping = sweep::run(Arc::clone(&store), Arc::clone(&queue), shutdown.clone());
    pipeline.spawn(named("sweep", sweeping));

    // Ends after the pipeline: the relay publishes what its last commits left behind, and
    // operators see the drain.
    let background = Shutdown::new();
    let mut support = Parts::new();
    let outbox: Arc<dyn OutboxSource> = store;
    let relay = tidegate_queue::relay(outbox, Arc::clone(&queue), background.clone());
    support.spawn(named("relay", relay));
    support.spawn(named("queue gauges", backlog::run(queue, background.clone())));
    let router = tidegate_ops::router(checks);
    let listening = tidegate_ops::serve(listener, router, background.clone());
    support.spawn(named("private listener", listening));
    tracing::info!(listen.private = %config.private, "Worker started.");

    let ended = tokio::select! {
        // First: after it the parts end because they were asked to.
        biased;
        () = shutdown.cancelled() => None,
        Some(part) = pipeline.join_next() => Some(part),
        Some(part) = support.join_next() => Some(part),
    };
    shutdown.cancel();
    let deadline = Instant::now() + DRAIN;
    finish("pipeline", pipeline, deadline).await;
    background.cancel();
    finish("support", support, deadline).await;
    tracing::info!("Worker stopped.");
    ended.map_or(Ok(()), |part| Err(Error::Ended(part.unwrap_or("part that panicked"))))
}

/// Waits for parts to end; what has not ended at the deadline is cut, which loses no work.
async fn finish(name: &'static str, mut parts: Parts, deadline: Instant) {
    let ended = timeout_at(deadline, async { while parts.join_next().await.is_some() {} }).await;
    if ended.is_err() {
        tracing::warn!(parts = name, "Drain was cut at its deadline.");
    }
}

/// Gives a part the name by which its end is reported.
pub(crate) async fn named(name: &'static str, part: impl Future<Output = ()>) -> &'static str {
    part.await;
    name
}

fn checks(
    store: SharedStore,
    queue: &SharedQueue,
    source: &Source,
    shutdown: &Shutdown,
) -> Vec<Check> {
    let (queue, connection) = (Arc::clone(queue), source.connection());
    vec![
        Check::new("store", move || {
            let store = Arc::clone(&store);
            async move { store.backlog().await.map(drop).map_err(|error| error.to_string()) }
        }),
        Check::new("queue", move || {
            let queue = Arc::clone(&queue);
            async move { queue.depth().await.map(drop).map_err(|error| error.to_string()) }
        }),
        Check::new("consumer", move || {
            let alive = connection.is_alive();
            async move { if alive { Ok(()) } else { Err("no consumer is connected".to_owned()) } }
        }),
        Check::accepting(shutdown),
    ]
}

#[cfg(test)]
mod tests;
