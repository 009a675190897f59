//! Notices this process acts on: finished jobs and revoked tokens.

use std::time::Duration;
use tidegate_core::backoff::Backoff;
use tidegate_core::notice::Notice;
use tidegate_core::shutdown::Shutdown;
use tidegate_queue::{Heard, Queue, QueueError};

use crate::app::App;

/// Waits between attempts to subscribe.
const BACKOFF: Backoff = Backoff { base: Duration::from_millis(100), cap: Duration::from_secs(5) };

/// Listens until `shutdown`, subscribing anew whenever the connection ends.
pub(crate) async fn hear(app: &App, queue: &dyn Queue, shutdown: &Shutdown) {
    let mut attempt = 0;
    while !shutdown.is_cancelled() {
        let ended = tokio::select! {
            ended = listen(app, queue, &mut attempt) => ended,
            () = shutdown.cancelled() => return,
        };
        let after = BACKOFF.jittered(attempt);
        // Once for each outage, however long it lasts.
        if attempt == 0 {
            tracing::warn!(error = %ended, "Subscription ended; it is made anew as soon as it can be.");
        }
        attempt = attempt.saturating_add(1);
        tokio::select! {
            () = tokio::time::sleep(after) => {}
            () = shutdown.cancelled() => return,
        }
    }
}

/// Listens until the connection ends.
async fn listen(app: &App, queue: &dyn Queue, attempt: &mut u32) -> QueueError {
    let mut subscription = match queue.subscribe().await {
        Ok(subscription) => subscription,
        Err(error) => return error,
    };
    // Notices from before the subscription are lost.
    act(app, Heard::Missed);
    loop {
        match subscription.next().await {
            Ok(heard) => {
                *attempt = 0;
                act(app, heard);
            }
            Err(error) => return error,
        }
    }
}

fn act(app: &App, heard: Heard) {
    let notices = match heard {
        Heard::Notices(notices) => notices,
        Heard::Missed => {
            app.credentials.forget();
            app.waiting.wake_all();
            return;
        }
    };
    for notice in notices {
        match notice {
            Notice::JobsFinished { jobs } => app.waiting.finish(&jobs),
            Notice::Revoked { credential } => app.credentials.revoke(&credential),
            // The api caches no responses.
            Notice::Purge { .. }
            | Notice::Update(_)
            | Notice::Refreshed(_)
            | Notice::JobsCancelled { .. }
            | Notice::CanaryRevoked { .. } => {}
        }
    }
}
