//! Jobs for tests.

use tidegate_core::clock::Timestamp;
use tidegate_core::job::{Job, Lane};
use uuid::Uuid;

/// Makes a job of the default lane that nobody has tried.
pub(crate) fn job(kind: &str) -> Job {
    let id = Uuid::now_v7();
    let body = serde_json::json!({ "batch": id });
    Job { id, ..Job::new(kind, Lane::Default, ("default", "air"), body, Timestamp::now()) }
}
