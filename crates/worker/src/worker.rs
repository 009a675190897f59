//! Starts the worker's parts, and ends them in order.

mod assemble;
mod checks;
mod connect;

use tidegate_core::shutdown::{DRAIN, Shutdown};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use self::assemble::Assembly;
use crate::config::Config;
use crate::error::Error;

/// Parts of the process, by name.
type Parts = JoinSet<&'static str>;

/// Runs jobs until `shutdown`, then finishes what it has begun and gives back the rest.
///
/// # Errors
/// It can't start, or a part of it ended without being asked to.
pub async fn run(config: Config, shutdown: Shutdown) -> Result<(), Error> {
    let listener = tidegate_ops::listen::bind(config.private).map_err(Error::Listen)?;
    let Some(store) = connect::store(&config.store, &shutdown).await? else { return Ok(()) };
    let queue = tidegate_queue::open(&config.queue).await.map_err(Error::Queue)?;
    let (private, mut assembly) = (config.private, Assembly::new(config, store, queue, &shutdown));

    let mut pipeline = Parts::new();
    let tracker = assembly.start_lanes(&mut pipeline);
    assembly.start_duties(&mut pipeline);
    // Ends after the pipeline: the relay publishes what its last commits left behind, and
    // operators see the drain.
    let background = Shutdown::new();
    let mut support = Parts::new();
    assembly.start_support(&background, &mut support);
    let router = tidegate_ops::router(assembly.checks());
    let listening = tidegate_ops::serve(listener, router, background.clone());
    support.spawn(named("private listener", listening));
    tracing::info!(listen.private = %private, "Worker started.");

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
    tracker.close();
    if timeout_at(deadline, tracker.wait()).await.is_err() {
        tracing::warn!(jobs = tracker.len(), "Long jobs were cut: their leases run out.");
    }
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
async fn named(name: &'static str, part: impl Future<Output = ()>) -> &'static str {
    part.await;
    name
}

#[cfg(test)]
mod tests;
