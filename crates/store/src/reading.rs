//! What is read, and the snapshot it was read from.

use std::sync::Arc;

use tidegate_core::clock::Timestamp;
use tidegate_core::seq::DataSeq;
use tidegate_product::read::{ReadPlan, Table};

use crate::StoredContract;

/// Versions of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Versions {
    /// The product's sequence.
    pub seq: DataSeq,
    /// Newest version among the tags asked for; 0 if none was ever touched.
    pub newest: u64,
    /// When the newest applied batch was applied.
    pub applied_at: Option<Timestamp>,
}

/// A bounded read.
#[derive(Clone, Debug)]
pub struct ReadRequest {
    /// Whose data.
    pub tenant: String,
    /// By which contract.
    pub contract: Arc<StoredContract>,
    /// What.
    pub plan: ReadPlan,
    /// Tags of the response.
    pub tags: Vec<String>,
    /// When to give up.
    pub deadline: Timestamp,
}

/// A page of a view's groups.
#[derive(Clone, Debug)]
pub struct GroupsPage {
    /// Whose data.
    pub tenant: String,
    /// By which contract.
    pub contract: Arc<StoredContract>,
    /// Position of the view.
    pub view: usize,
    /// Begin after the group of these dimensions and bucket.
    pub after: Option<Vec<tidegate_product::fold::Value>>,
    /// Most groups returned.
    pub limit: usize,
}

/// What was read, and from which snapshot.
#[derive(Clone, Debug, PartialEq)]
pub struct ReadAnswer {
    /// The values.
    pub table: Table,
    /// The snapshot.
    pub versions: Versions,
}
