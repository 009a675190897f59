//! Opens the store, and waits for a server that is not there yet.

use std::time::Duration;

use tidegate_core::backend::StoreBackend;
use tidegate_core::backoff::Backoff;
use tidegate_core::shutdown::Shutdown;
use tidegate_store::{SharedStore, StoreError};
use tokio::time::{Instant, sleep};

use crate::error::Error;

/// How long a server may be away at the start: where everything starts at once, it is the last.
const PATIENCE: Duration = Duration::from_secs(60);

/// Pause between attempts. The bound doubles from the first to the second.
const BACKOFF: Backoff = Backoff { base: Duration::from_millis(200), cap: Duration::from_secs(5) };

/// Opens the store; `None` if the shutdown came first.
pub(super) async fn store(
    backend: &StoreBackend,
    shutdown: &Shutdown,
) -> Result<Option<SharedStore>, Error> {
    let (give_up_at, mut attempt) = (Instant::now() + PATIENCE, 0);
    loop {
        let opening = tidegate_store::open(backend);
        let Some(opened) = shutdown.run_until_cancelled(opening).await else { return Ok(None) };
        let error = match opened {
            Ok(store) => return Ok(Some(store)),
            Err(error) => error,
        };
        if Instant::now() >= give_up_at || !may_come(backend, &error) {
            return Err(Error::Store(error));
        }
        if attempt == 0 {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                store.patience_s = PATIENCE.as_secs(),
                "Store can't be reached; waiting for it.",
            );
        }
        shutdown.run_until_cancelled(sleep(BACKOFF.jittered(attempt))).await;
        attempt += 1;
    }
}

/// Returns whether waiting may help: a file that can't be opened now can't be opened later.
fn may_come(backend: &StoreBackend, error: &StoreError) -> bool {
    let is_server = match backend {
        StoreBackend::Sqlite(_) => false,
        StoreBackend::Postgres(_) => true,
    };
    is_server && matches!(error, StoreError::Unavailable(_) | StoreError::Deadline)
}
