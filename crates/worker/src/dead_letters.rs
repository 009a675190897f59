//! Files what the queue kept aside in the store, where people find it.

use std::time::Duration;

use tidegate_core::backoff::Backoff;
use tidegate_core::clock::Timestamp;
use tidegate_core::shutdown::Shutdown;
use tidegate_queue::{DeadDelivery, DeadLetters, DeliveryTag, QueueError, SharedQueue};
use tidegate_store::{NewDeadLetter, SharedStore, StoreError};
use tokio::time::{sleep, timeout};

use crate::kinds::Kind;
use crate::metrics::metrics;

/// Letters held and filed together.
const TOGETHER: usize = 32;

/// How long filing may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Pause after a failure. The bound doubles from the first to the second.
const BACKOFF: Backoff = Backoff { base: Duration::from_millis(200), cap: Duration::from_secs(30) };

/// Why letters could not be filed; they come again.
#[derive(Debug, thiserror::Error)]
enum NotFiled {
    #[error("the queue could not be read")]
    Queue(#[from] QueueError),
    #[error("the store refused")]
    Store(#[from] StoreError),
    #[error("the store did not answer in time")]
    TimedOut,
}

/// Files letters until `shutdown`.
pub(crate) async fn run(store: SharedStore, queue: SharedQueue, shutdown: Shutdown) {
    let mut failures = 0;
    while !shutdown.is_cancelled() {
        let filing = file_all(&store, &queue, &mut failures);
        let Some(Err(error)) = shutdown.run_until_cancelled(filing).await else { return };
        let pause = BACKOFF.jittered(failures);
        failures = failures.saturating_add(1);
        // That the queue is away, its consumers have said.
        if failures == 1 && queue.state().check().is_ok() {
            tracing::warn!(error = %error, "Dead letters can't be filed for now.");
        }
        shutdown.run_until_cancelled(sleep(pause)).await;
    }
}

async fn file_all(
    store: &SharedStore,
    queue: &SharedQueue,
    failures: &mut u32,
) -> Result<(), NotFiled> {
    let mut letters = queue.dead_letters(TOGETHER).await?;
    loop {
        let mut held = vec![letters.next().await?];
        while held.len() < TOGETHER {
            // Only what is ready: a letter must not wait for the next one.
            let Ok(next) = timeout(Duration::ZERO, letters.next()).await else { break };
            held.push(next?);
        }
        file(store, letters.as_mut(), held).await?;
        *failures = 0;
    }
}

async fn file(
    store: &SharedStore,
    letters: &mut dyn DeadLetters,
    held: Vec<DeadDelivery>,
) -> Result<(), NotFiled> {
    let mut tags: Vec<DeliveryTag> = Vec::with_capacity(held.len());
    let mut new = Vec::with_capacity(held.len());
    for delivery in held {
        tags.push(delivery.tag);
        count(&delivery);
        new.push(letter(delivery));
    }
    timeout(PATIENCE, store.file(new, Timestamp::now()))
        .await
        .map_err(|_| NotFiled::TimedOut)??;
    letters.filed(tags).await?;
    Ok(())
}

fn count(delivery: &DeadDelivery) {
    let kind = delivery.job.as_ref().and_then(|job| Kind::named(&job.kind));
    metrics().dead_letter(kind.map_or("unknown", Kind::as_str), code(&delivery.reason));
}

/// Returns the code that a reason begins with, as a label.
fn code(reason: &str) -> &'static str {
    const CODES: [&str; 8] = [
        "malformed",
        "unknown_kind",
        "permanent",
        "exhausted",
        "crashed",
        "delivery_limit",
        "expired",
        "parked",
    ];
    let code = reason.split_once(':').map_or("", |(code, _)| code);
    CODES.into_iter().find(|known| *known == code).unwrap_or("other")
}

fn letter(delivery: DeadDelivery) -> NewDeadLetter {
    let DeadDelivery { body, job, lane, reason, attempts, headers, died_at, .. } = delivery;
    let error_chain = levels(&reason);
    NewDeadLetter { job, raw: body, lane, reason, attempts, headers, error_chain, died_at }
}

/// Takes a reason apart: what follows its code names every level of the error, outermost first.
fn levels(reason: &str) -> Vec<String> {
    reason.split(": ").skip(1).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_taken_apart() {
        let reason = "exhausted: the store refused: the disk is full";
        assert_eq!((code(reason), levels(reason).len()), ("exhausted", 2));
        assert_eq!(levels(reason)[1], "the disk is full");
        for other in ["", "dance: music", "no code"] {
            assert_eq!(code(other), "other", "{other}");
        }
        assert_eq!(levels("no code"), [""; 0]);
    }
}
