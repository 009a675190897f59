//! Views against their recomputation: what differs, and putting it right.

use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tidegate_core::clock::Timestamp;
use tidegate_core::seq::DataSeq;

use crate::{StoreError, StoredContract};

/// A group that was not what its rows make it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drift {
    /// The group, such as `city=oslo, bucket=2026-11-22T11:00:00Z`.
    pub group: String,
    /// What was stored; none if the group was missing.
    pub stored: Option<Value>,
    /// What its rows make it; none if there are no such rows.
    pub computed: Option<Value>,
}

/// What one step looks at.
#[derive(Clone, Debug)]
pub struct ReconcileRequest {
    /// Whose data.
    pub tenant: String,
    /// By which contract.
    pub contract: Arc<StoredContract>,
    /// Position of the view.
    pub view: usize,
    /// The first bucket from here on; none: the first of all.
    pub from: Option<i64>,
    /// Whether to put right what differs.
    pub repair: bool,
}

/// What one step has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReconcileStep {
    /// Groups that were compared.
    pub groups: u64,
    /// Those that differed.
    pub drifted: Vec<Drift>,
    /// The commit that put them right.
    pub seq: Option<DataSeq>,
    /// The bucket to go on with; none: that was all.
    pub next: Option<i64>,
    /// The newest bucket there is, for those who measure how far they are.
    pub newest: Option<i64>,
}

/// Comparing views with their base rows.
#[async_trait]
pub trait Reconcile {
    /// Compares one bucket of a view, the first from where it is asked, in one snapshot; with
    /// `repair` puts right what differs, and purges it. A view without buckets is compared as a
    /// whole.
    ///
    /// # Errors
    /// The store can't be read or written, or base rows can't be counted.
    async fn reconcile(
        &self,
        request: &ReconcileRequest,
        now: Timestamp,
    ) -> Result<ReconcileStep, StoreError>;

    /// Returns the tenants that have data of a product.
    ///
    /// # Errors
    /// The store can't be read.
    async fn tenants(&self, product: &str) -> Result<Vec<String>, StoreError>;
}
