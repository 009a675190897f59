//! The job envelope: what a message on the work queues says about the work.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::clock::Timestamp;

/// Kind of the job that applies one accepted batch.
pub const INGEST: &str = "ingest";

/// Which queue a job waits in. Lanes are separate queues, so a full one does not delay another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lane {
    /// Someone waits for it.
    High,
    /// Ingest.
    Default,
    /// Can wait.
    Low,
    /// Runs for minutes.
    Long,
}

/// One unit of work. Delivered at least once; effects commit together with the mark that they
/// happened, so they are exactly once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// The job; for ingest also the batch.
    pub id: Uuid,
    /// What to do, such as [`INGEST`].
    pub kind: String,
    /// Version of `body`'s shape for this kind.
    pub schema: u16,
    /// The queue it waits in.
    pub lane: Lane,
    /// Deliveries that ended in a failure; counted by us, a broker forgets.
    pub attempt: u32,
    /// Raised when a person requeues a dead job, so that the inbox lets it through.
    pub generation: u32,
    /// Whose data.
    pub tenant: String,
    /// Which product.
    pub product: String,
    /// Release that created the job, copied from the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
    /// Cohort of the request, in basis points.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cohort: Option<u16>,
    /// W3C trace context of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// When it was first enqueued.
    pub enqueued_at: Timestamp,
    /// The work itself, small: large payloads stay in the store and are named here.
    pub body: serde_json::Value,
}

// === impl Lane ===

impl Lane {
    /// All lanes, most urgent first.
    pub const ALL: [Self; 4] = [Self::High, Self::Default, Self::Low, Self::Long];

    /// Returns the lane's name in queue names and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::High => "high",
            Self::Default => "default",
            Self::Low => "low",
            Self::Long => "long",
        }
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
