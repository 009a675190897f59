//! Empties an outbox into the queue.

use std::sync::Arc;
use std::time::Duration;

use tidegate_core::backoff::Backoff;
use tidegate_core::job::Job;
use tidegate_core::notice::Notice;
use tidegate_core::outbox::{OutboxEntry, OutboxError, OutboxMessage, OutboxSource};
use tidegate_core::shutdown::Shutdown;
use tokio::time::timeout;

use crate::{QueueError, SharedQueue};

/// Lines published and marked together.
const BATCH: usize = 256;

/// How long the outbox may take to read or mark lines.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long the last lines may take once the process ends; what is left goes out at the next start.
const LAST_FLUSH: Duration = Duration::from_secs(5);

/// Pause after a failure. The bound doubles from the first to the second.
const BACKOFF: Backoff = Backoff { base: Duration::from_millis(50), cap: Duration::from_secs(5) };

/// Publishes what the outbox holds until `shutdown`, and then what the last transactions left.
///
/// A line is marked as sent after the queue has confirmed it, so every line is published at least
/// once. Jobs and notices may overtake each other: consumers order by sequence.
pub async fn relay(source: Arc<dyn OutboxSource>, queue: SharedQueue, shutdown: Shutdown) {
    let mut failures = 0;
    while !shutdown.is_cancelled() {
        let pause = match empty(&source, &queue).await {
            Ok(()) => {
                failures = 0;
                None
            }
            Err(error) => {
                let pause = BACKOFF.jittered(failures);
                failures = failures.saturating_add(1);
                tracing::warn!(
                    error = %error,
                    relay.failures = failures,
                    relay.pause_ms = pause.as_millis(),
                    "Outbox could not be emptied.",
                );
                Some(pause)
            }
        };
        let wait = async {
            match pause {
                Some(pause) => tokio::time::sleep(pause).await,
                None => source.wait_pending().await,
            }
        };
        tokio::select! {
            () = wait => {}
            () = shutdown.cancelled() => {}
        }
    }
    match timeout(LAST_FLUSH, empty(&source, &queue)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(error = %error, "Outbox was left for the next start."),
        Err(_) => tracing::warn!("Outbox was left for the next start."),
    }
}

/// Publishes until nothing is pending.
async fn empty(source: &Arc<dyn OutboxSource>, queue: &SharedQueue) -> Result<(), OutboxError> {
    loop {
        // A broker that is away or takes nothing in must not be asked again and again, and what is
        // read from the outbox meanwhile is read in vain.
        queue.state().check()?;
        let entries = timeout(PATIENCE, source.pending(BATCH)).await??;
        let read = entries.len();
        if read > 0 {
            forward(entries, source, queue).await?;
        }
        if read < BATCH {
            return Ok(());
        }
    }
}

/// Publishes one batch and marks what the queue confirmed: a failure of one kind of message does
/// not hold up the other.
async fn forward(
    entries: Vec<OutboxEntry>,
    source: &Arc<dyn OutboxSource>,
    queue: &SharedQueue,
) -> Result<(), OutboxError> {
    let mut jobs: (Vec<i64>, Vec<Job>) = Default::default();
    let mut notices: (Vec<i64>, Vec<Notice>) = Default::default();
    for OutboxEntry { id, message } in entries {
        match message {
            OutboxMessage::Job(job) => {
                jobs.0.push(id);
                jobs.1.push(job);
            }
            OutboxMessage::Notice(notice) => {
                notices.0.push(id);
                notices.1.push(notice);
            }
        }
    }
    // Notices first: a reader waits for a purge, nobody waits for a single job.
    let heard = if notices.0.is_empty() { Ok(()) } else { queue.broadcast(&notices.1).await };
    let mut sent = Vec::with_capacity(jobs.0.len() + notices.0.len());
    if heard.is_ok() {
        sent.append(&mut notices.0);
    }
    let published = publish(jobs, queue, &mut sent).await;
    crate::fail_point!("queue::confirmed");
    if !sent.is_empty() {
        timeout(PATIENCE, source.mark_sent(&sent)).await??;
    }
    heard?;
    published?;
    Ok(())
}

/// Publishes jobs and adds those to `sent` that the queue has confirmed.
async fn publish(
    (mut ids, jobs): (Vec<i64>, Vec<Job>),
    queue: &SharedQueue,
    sent: &mut Vec<i64>,
) -> Result<(), QueueError> {
    if jobs.is_empty() {
        return Ok(());
    }
    match queue.publish(&jobs).await {
        Ok(()) => {
            sent.append(&mut ids);
            Ok(())
        }
        Err(error) if error.is_permanent() => {
            let mut refused = Ok(());
            // One of them can never be published, and must not hold up the others.
            for (id, job) in ids.into_iter().zip(&jobs) {
                match queue.publish(std::slice::from_ref(job)).await {
                    Ok(()) => sent.push(id),
                    Err(error) if error.is_permanent() => refused = Err(error),
                    Err(error) => return Err(error),
                }
            }
            refused
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;
