//! Brings back batches whose message was lost.

use std::time::Duration;

use tidegate_core::clock::Timestamp;
use tidegate_core::shutdown::Shutdown;
use tidegate_store::{SharedStore, Store};
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::metrics::metrics;

/// How often to look.
const EVERY: Duration = Duration::from_secs(10);

/// A batch that waited so long may have lost its message. If it has not, the second one is found
/// done.
const WAITED: Duration = Duration::from_secs(30);

/// How long one look may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Sweeps until `shutdown`.
pub(crate) async fn run(store: SharedStore, shutdown: Shutdown) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = shutdown.cancelled() => return,
        }
        // One look is bounded: the next follows at once as long as there is something to do.
        while sweep(store.as_ref()).await > 0 && !shutdown.is_cancelled() {}
    }
}

async fn sweep(store: &dyn Store) -> usize {
    let now = Timestamp::now();
    match timeout(PATIENCE, store.sweep(now.before(WAITED), now)).await {
        Ok(Ok(0)) => 0,
        Ok(Ok(batches)) => {
            metrics().swept(batches);
            tracing::info!(batches, "Waiting batches were published again.");
            batches
        }
        Ok(Err(error)) => {
            tracing::warn!(error = %error, "Waiting batches could not be looked for.");
            0
        }
        Err(_) => {
            tracing::warn!("Looking for waiting batches took too long.");
            0
        }
    }
}
