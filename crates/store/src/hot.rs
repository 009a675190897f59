//! Which responses are asked for most, over all edges.

use std::time::Duration;

use async_trait::async_trait;
use tidegate_core::clock::Timestamp;
use tidegate_core::hot::{HotKey, HotReport};

use crate::StoreError;

/// In this time a request counts half.
pub const HALF_LIFE: Duration = Duration::from_secs(60);

/// Most tags kept for a key; a response with more is found by the first ones.
pub const MAX_TAGS: usize = 64;

/// Hot keys, bounded and decayed.
#[async_trait]
pub trait HotKeys {
    /// Adds what an edge reports. For each product the
    /// [`MAX_KEYS`](tidegate_core::hot::MAX_KEYS) best are kept.
    ///
    /// # Errors
    /// The store can't be written.
    async fn record_hot(
        &self,
        product: &str,
        report: &HotReport,
        now: Timestamp,
    ) -> Result<(), StoreError>;

    /// Returns keys that carry any of `tags`, which are the tenant's, most requested first;
    /// `requests` is their decayed count as of the product's last report.
    ///
    /// # Errors
    /// The store can't be read.
    async fn hot(
        &self,
        tenant: &str,
        product: &str,
        tags: &[String],
        limit: usize,
    ) -> Result<Vec<HotKey>, StoreError>;
}
