//! Canary releases that were revoked: their workers stop, their jobs move to stable.

use async_trait::async_trait;
use tidegate_core::clock::Timestamp;

use crate::StoreError;

/// Revocations.
#[async_trait]
pub trait Canaries {
    /// Revokes a release and tells everyone; `false` if the same or a later revocation is known.
    ///
    /// # Errors
    /// The store can't be written.
    async fn revoke_canary(
        &self,
        release: &str,
        epoch: u64,
        now: Timestamp,
    ) -> Result<bool, StoreError>;

    /// Returns revoked releases, each with the epoch of its latest revocation: for a process that
    /// starts, or that may have missed a notice.
    ///
    /// # Errors
    /// The store can't be read.
    async fn revoked_canaries(&self) -> Result<Vec<(String, u64)>, StoreError>;
}
