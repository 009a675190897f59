//! Shows how much work waits in the queue.

use std::time::Duration;

use tidegate_core::clock::Timestamp;
use tidegate_core::shutdown::Shutdown;
use tidegate_queue::SharedQueue;
use tokio::time::{MissedTickBehavior, interval};

use crate::metrics::metrics;

/// How often to look.
const EVERY: Duration = Duration::from_secs(2);

/// Samples the queue until `shutdown`.
pub(crate) async fn run(queue: SharedQueue, shutdown: Shutdown) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut blind = false;
    while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
        let depths = queue.depth().await;
        // That the queue is away, its consumers have said.
        let known = blind || queue.state().check().is_err();
        if let (Err(error), false) = (&depths, known) {
            tracing::warn!(error = %error, "Queue's depth can't be read.");
        }
        blind = depths.is_err();
        if let Ok(depths) = depths {
            metrics().depths(&depths, Timestamp::now());
        }
    }
}
