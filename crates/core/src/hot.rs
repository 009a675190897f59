//! Which responses are asked for most: edges tell the api, workers write those back first.

use serde::{Deserialize, Serialize};

use crate::cache_update::{Origin, Reader, Resource};

/// Path on the api's private listener: an edge posts a [`HotReport`].
pub const PATH: &str = "/internal/hot-keys";

/// Most keys of one report, and of what is kept for one product.
pub const MAX_KEYS: usize = 1_000;

/// How often an edge reports.
pub const REPORT_EVERY: std::time::Duration = std::time::Duration::from_secs(5);

/// What one edge served most since its last report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HotReport {
    /// Name of the edge.
    pub node: String,
    /// Most requested first, at most [`MAX_KEYS`].
    pub keys: Vec<HotKey>,
}

/// A response that was asked for often.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HotKey {
    /// What.
    pub resource: Resource,
    /// Under which name.
    pub origin: Origin,
    /// For whom.
    pub reader: Reader,
    /// Tags of the stored response.
    pub tags: Vec<String>,
    /// Requests since the last report.
    pub requests: u64,
}
