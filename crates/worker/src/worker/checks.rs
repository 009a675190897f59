//! What must be so for the worker to be ready.

use std::sync::Arc;

use tidegate_core::shutdown::Shutdown;
use tidegate_ops::Check;
use tidegate_queue::SharedQueue;
use tidegate_store::SharedStore;

use crate::canary::Canary;
use crate::consume::Connections;

pub(super) fn store(store: &SharedStore) -> Check {
    let store = Arc::clone(store);
    Check::new("store", move || {
        let store = Arc::clone(&store);
        async move { store.backlog().await.map(drop).map_err(|error| error.to_string()) }
    })
}

/// A queue that takes nothing in, or is away, is named with its own words.
pub(super) fn queue(queue: &SharedQueue) -> Check {
    let queue = Arc::clone(queue);
    Check::new("queue", move || {
        let queue = Arc::clone(&queue);
        async move {
            queue.state().check()?;
            queue.depth().await.map(drop).map_err(|error| error.to_string())
        }
    })
}

pub(super) fn consumers(connections: &Connections) -> Check {
    let connections = connections.clone();
    Check::new("consumers", move || {
        let missing: Vec<_> = connections.missing().into_iter().map(|lane| lane.as_str()).collect();
        async move {
            if missing.is_empty() {
                Ok(())
            } else {
                Err(format!("no consumer for {}", missing.join(", ")))
            }
        }
    })
}

/// A canary whose release was revoked stays, and says why it does nothing.
pub(super) fn not_revoked(canary: &Canary, stop: &Shutdown, shutdown: &Shutdown) -> Check {
    let (release, stop, shutdown) = (canary.release.clone(), stop.clone(), shutdown.clone());
    Check::new("canary", move || {
        let revoked = stop.is_cancelled() && !shutdown.is_cancelled();
        let reason = format!("release {release} was revoked: its jobs go to stable workers");
        async move { if revoked { Err(reason) } else { Ok(()) } }
    })
}
