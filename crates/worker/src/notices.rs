//! Hears what is broadcast and concerns workers: cancelled jobs and revoked canaries.

use std::time::Duration;

use tidegate_core::backoff::Backoff;
use tidegate_core::notice::Notice;
use tidegate_core::shutdown::Shutdown;
use tidegate_queue::{Heard, QueueError, SharedQueue};
use tokio::time::sleep;

use crate::canary::Revocations;
use crate::run::Cancellations;

/// Pause before a new subscription. The bound doubles from the first to the second.
const BACKOFF: Backoff = Backoff { base: Duration::from_millis(50), cap: Duration::from_secs(5) };

/// Who is told what.
pub(crate) struct Notices {
    pub(crate) queue: SharedQueue,
    pub(crate) cancellations: Cancellations,
    pub(crate) revocations: Revocations,
}

// === impl Notices ===

impl Notices {
    /// Listens until `shutdown`.
    ///
    /// What is missed while there is no subscription is found by polling: a lease's renewal says
    /// that its job was cancelled, and the store holds the revocations.
    pub(crate) async fn run(self, shutdown: Shutdown) {
        let mut failures = 0;
        while !shutdown.is_cancelled() {
            let listening = self.listen(&mut failures);
            let Some(Err(error)) = shutdown.run_until_cancelled(listening).await else { return };
            let pause = BACKOFF.jittered(failures);
            failures = failures.saturating_add(1);
            tracing::debug!(
                error = %error, notices.pause_ms = pause.as_millis(), "Subscription was lost.",
            );
            shutdown.run_until_cancelled(sleep(pause)).await;
        }
    }

    async fn listen(&self, failures: &mut u32) -> Result<(), QueueError> {
        let mut subscription = self.queue.subscribe().await?;
        loop {
            let heard = subscription.next().await?;
            *failures = 0;
            match heard {
                Heard::Notices(notices) => notices.into_iter().for_each(|notice| self.tell(notice)),
                Heard::Missed => {}
            }
        }
    }

    fn tell(&self, notice: Notice) {
        match notice {
            Notice::JobsCancelled { jobs } => self.cancellations.cancel(&jobs),
            Notice::CanaryRevoked { release, epoch } => self.revocations.heard(release, epoch),
            Notice::Purge { .. }
            | Notice::Update(_)
            | Notice::Refreshed(_)
            | Notice::JobsFinished { .. }
            | Notice::Revoked { .. } => {}
        }
    }
}
