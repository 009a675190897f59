//! Brings back what was forgotten: batches whose message was lost, jobs whose time has come, and
//! those whose worker is gone.

use std::time::Duration;

use tidegate_core::clock::Timestamp;
use tidegate_core::job::Lane;
use tidegate_core::shutdown::Shutdown;
use tidegate_queue::{Depths, Queue, QueueError, SharedQueue};
use tidegate_store::{SharedStore, Store, StoreError};
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::metrics::metrics;

/// How often to look: so late a job may be that waits for its time.
const EVERY: Duration = Duration::from_secs(5);

/// A batch that waited so long may have lost its message. If it has not, the second one is found
/// done.
const WAITED: Duration = Duration::from_secs(30);

/// Longest time from accepting a batch to publishing its message, unless the queue was away.
const PUBLISHING: Duration = Duration::from_secs(5);

/// How long one look may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why a look failed.
#[derive(Debug, thiserror::Error)]
enum Blind {
    #[error("the queue could not be asked")]
    Queue(#[from] QueueError),
    #[error("the store could not be asked")]
    Store(#[from] StoreError),
    #[error("the store did not answer within {} s", PATIENCE.as_secs())]
    TimedOut,
}

/// Sweeps until `shutdown`.
pub(crate) async fn run(store: SharedStore, queue: SharedQueue, shutdown: Shutdown) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut blind = false;
    while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
        let swept = shutdown.run_until_cancelled(sweep_all(store.as_ref(), queue.as_ref())).await;
        let failed = swept.and_then(Result::err);
        // That the queue is away, its consumers have said.
        let known = blind || queue.state().check().is_err();
        if let (Some(error), false) = (&failed, known) {
            tracing::warn!(error = %error, "Forgotten jobs can't be looked for.");
        }
        blind = failed.is_some();
    }
}

/// Looks until there is nothing to do: one look is bounded.
async fn sweep_all(store: &dyn Store, queue: &dyn Queue) -> Result<(), Blind> {
    loop {
        let (depths, now) = (queue.depth().await?, Timestamp::now());
        let looked = timeout(PATIENCE, store.sweep(forgotten_since(&depths, now), now)).await;
        let swept = looked.map_err(|_| Blind::TimedOut)??;
        metrics().swept(&swept);
        if swept.requeued + swept.expired > 0 {
            tracing::info!(
                jobs.requeued = swept.requeued,
                jobs.expired = swept.expired,
                "Forgotten jobs were published again.",
            );
        }
        if swept.is_empty() {
            return Ok(());
        }
    }
}

/// Returns since when nobody has touched a batch whose message must be lost.
///
/// A lane is served in order, so a batch that was accepted after the next message was published has
/// its own behind that one. Were such batches published again, a backlog that takes longer than
/// [`WAITED`] would grow by all of itself each time. What a consumer holds says nothing: it may
/// have stopped for good.
fn forgotten_since(depths: &Depths, now: Timestamp) -> Timestamp {
    let waited = now.before(WAITED);
    let next = depths.stable(Lane::Default).and_then(|lane| lane.next);
    next.map_or(waited, |next| waited.min(next.before(PUBLISHING)))
}

#[cfg(test)]
mod tests {
    use tidegate_queue::Depth;

    use super::*;

    const NOW: i64 = 1_000;

    #[track_caller]
    fn check(lane: Lane, next: Option<i64>, expected: i64) {
        let seconds = |seconds: i64| Timestamp(seconds * 1_000_000);
        let next = next.map(seconds);
        let (canary, oldest) = (None, Some(seconds(1)));
        let depth = Depth { lane, canary, ready: 1, unacked: 0, oldest, next };
        let depths = Depths { lanes: vec![depth], ..Depths::default() };
        assert_eq!(forgotten_since(&depths, seconds(NOW)), seconds(expected), "{next:?}");
    }

    #[test]
    fn a_batch_whose_message_waits_its_turn_is_not_forgotten() {
        check(Lane::Default, None, NOW - 30);
        check(Lane::Default, Some(NOW - 1), NOW - 30);
        check(Lane::Default, Some(NOW - 100), NOW - 105);
        check(Lane::Low, Some(NOW - 100), NOW - 30);
    }
}
