//! The job envelope: what a message on the work queues says about the work.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::clock::Timestamp;

/// Kind of the job that applies one accepted batch.
pub const INGEST: &str = "ingest";

/// Kind of the job that brings one cached response up to date; its body is a
/// [`RefreshOrder`](crate::cache_update::RefreshOrder).
pub const REFRESH: &str = "refresh";

/// Kind of the job that compares a view with its recomputation and repairs it.
pub const RECONCILE: &str = "reconcile";

/// Kind of the job by which an operator tries the whole path of a job.
pub const PROBE: &str = "probe";

/// Most bytes of a body within a message. A larger one stays in the store (claim check) and the
/// message only names the job.
pub const MAX_INLINE_BODY: usize = 64 << 10;

/// Tenant of a job that works for the whole deployment. No token names it.
pub const EVERY_TENANT: &str = "*";

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

/// Which workers a job is meant for.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Arm {
    /// Those of the stable release.
    #[default]
    Stable,
    /// Those of the canary release that the job names.
    Canary,
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
    /// Whose workers take it.
    #[serde(default)]
    pub arm: Arm,
    /// Cohort of the request, in basis points.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cohort: Option<u16>,
    /// W3C trace context of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// When it was first enqueued.
    pub enqueued_at: Timestamp,
    /// After this time nobody wants the result any more: it is dropped, not run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
    /// The work itself, small; null if it is larger than [`MAX_INLINE_BODY`] and stays in the store.
    pub body: Value,
}

/// The text names no lane.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("not a lane; write high, default, low or long")]
pub struct NotALane;

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

impl FromStr for Lane {
    type Err = NotALane;

    fn from_str(text: &str) -> Result<Self, NotALane> {
        Self::ALL.into_iter().find(|lane| lane.as_str() == text).ok_or(NotALane)
    }
}

// === impl Arm ===

impl Arm {
    /// Returns the arm's name in configuration and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stable => "stable",
            Self::Canary => "canary",
        }
    }
}

// === impl Job ===

impl Job {
    /// Makes a job that nobody has tried, of the first shape of its kind, for stable workers.
    pub fn new(
        kind: &str,
        lane: Lane,
        (tenant, product): (&str, &str),
        body: Value,
        now: Timestamp,
    ) -> Self {
        Self {
            id: Uuid::now_v7(),
            kind: kind.to_owned(),
            schema: 1,
            lane,
            attempt: 0,
            generation: 0,
            tenant: tenant.to_owned(),
            product: product.to_owned(),
            release: None,
            arm: Arm::Stable,
            cohort: None,
            traceparent: None,
            enqueued_at: now,
            deadline: None,
            body,
        }
    }

    /// Returns the release whose canary workers are meant, if any are.
    pub fn canary(&self) -> Option<&str> {
        match self.arm {
            Arm::Canary => self.release.as_deref(),
            Arm::Stable => None,
        }
    }
}
