//! What the stages ask of the store, within a bounded time.

use std::time::Duration;

use async_trait::async_trait;
use tidegate_core::clock::Timestamp;
use tidegate_store::{Changes, Claim, Store, StoreError};
use tokio::time::timeout;
use uuid::Uuid;

use crate::error::StepError;

/// How long a step may take. Longer, and another process holds the database and hangs; the step
/// may still happen, and is found done when it is tried again.
const PATIENCE: Duration = Duration::from_secs(30);

/// The part of a store that applies batches.
#[async_trait]
pub(crate) trait Batches: Send + Sync + 'static {
    /// As [`Store::claim`].
    async fn claim(&self, batches: &[Uuid], now: Timestamp) -> Result<Vec<Claim>, StepError>;

    /// As [`Store::apply`].
    async fn apply(&self, claims: Vec<Claim>, now: Timestamp) -> Result<Changes, StepError>;
}

#[async_trait]
impl<S: Store + ?Sized + 'static> Batches for S {
    async fn claim(&self, batches: &[Uuid], now: Timestamp) -> Result<Vec<Claim>, StepError> {
        within(Store::claim(self, batches, now)).await
    }

    async fn apply(&self, claims: Vec<Claim>, now: Timestamp) -> Result<Changes, StepError> {
        within(Store::apply(self, claims, now)).await
    }
}

async fn within<T>(step: impl Future<Output = Result<T, StoreError>>) -> Result<T, StepError> {
    match timeout(PATIENCE, step).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(StepError::TimedOut(PATIENCE)),
    }
}
