//! One question to the store, within a bounded time.

use std::time::Duration;

use tidegate_store::StoreError;
use tokio::time::timeout;

use crate::error::JobError;

/// How long a step may take. Longer, and another process holds the database and hangs; the step
/// may still happen, and is found done when it is tried again.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) async fn within<T>(
    step: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, JobError> {
    match timeout(PATIENCE, step).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(JobError::Silent(PATIENCE)),
    }
}
