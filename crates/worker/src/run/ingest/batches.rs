//! What applying batches asks of the store, within a bounded time.

use async_trait::async_trait;
use tidegate_core::clock::Timestamp;
use tidegate_store::{Changes, Claim, Hold, Store};
use uuid::Uuid;

use crate::error::JobError;
use crate::run::step::within;

/// The part of a store that applies batches.
#[async_trait]
pub(crate) trait Batches: Send + Sync + 'static {
    /// As [`Store::claim`].
    async fn claim(&self, batches: &[Uuid], now: Timestamp) -> Result<Vec<Claim>, JobError>;

    /// As [`Store::apply`].
    async fn apply(&self, claims: Vec<Claim>, now: Timestamp) -> Result<Changes, JobError>;

    /// As [`Store::release`].
    async fn release(&self, holds: &[Hold]) -> Result<(), JobError>;

    /// As [`Store::quarantine_batch`].
    async fn quarantine(
        &self,
        claim: &Claim,
        reason: &str,
        now: Timestamp,
    ) -> Result<bool, JobError>;
}

#[async_trait]
impl<S: Store + ?Sized + 'static> Batches for S {
    async fn claim(&self, batches: &[Uuid], now: Timestamp) -> Result<Vec<Claim>, JobError> {
        within(Store::claim(self, batches, now)).await
    }

    async fn apply(&self, claims: Vec<Claim>, now: Timestamp) -> Result<Changes, JobError> {
        within(Store::apply(self, claims, now)).await
    }

    async fn release(&self, holds: &[Hold]) -> Result<(), JobError> {
        within(Store::release(self, holds)).await
    }

    async fn quarantine(
        &self,
        claim: &Claim,
        reason: &str,
        now: Timestamp,
    ) -> Result<bool, JobError> {
        within(Store::quarantine_batch(self, claim, reason, now)).await
    }
}
