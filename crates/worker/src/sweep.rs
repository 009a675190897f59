//! Brings back batches whose message was lost.

use std::time::Duration;

use tidegate_core::clock::Timestamp;
use tidegate_core::job::Lane;
use tidegate_core::shutdown::Shutdown;
use tidegate_queue::{Depths, Queue, SharedQueue};
use tidegate_store::{SharedStore, Store, Swept};
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::metrics::metrics;

/// How often to look.
const EVERY: Duration = Duration::from_secs(10);

/// A batch that waited so long may have lost its message. If it has not, the second one is found
/// done.
const WAITED: Duration = Duration::from_secs(30);

/// Longest time from accepting a batch to publishing its message, unless the queue was away.
const PUBLISHING: Duration = Duration::from_secs(5);

/// How long one look may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Sweeps until `shutdown`.
pub(crate) async fn run(store: SharedStore, queue: SharedQueue, shutdown: Shutdown) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = shutdown.cancelled() => return,
        }
        // One look is bounded: the next follows at once as long as there is something to do.
        while !sweep(store.as_ref(), queue.as_ref()).await.is_empty() && !shutdown.is_cancelled() {}
    }
}

async fn sweep(store: &dyn Store, queue: &dyn Queue) -> Swept {
    let depths = match queue.depth().await {
        Ok(depths) => depths,
        Err(error) => {
            tracing::warn!(error = %error, "Waiting batches could not be looked for.");
            return Swept::default();
        }
    };
    let now = Timestamp::now();
    match timeout(PATIENCE, store.sweep(forgotten_since(&depths, now), now)).await {
        Ok(Ok(swept)) => {
            if swept.requeued > 0 {
                metrics().swept(swept.requeued);
                tracing::info!(batches = swept.requeued, "Waiting batches were published again.");
            }
            swept
        }
        Ok(Err(error)) => {
            tracing::warn!(error = %error, "Waiting batches could not be looked for.");
            Swept::default()
        }
        Err(_) => {
            tracing::warn!("Looking for waiting batches took too long.");
            Swept::default()
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
