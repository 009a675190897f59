//! Jobs for tests.

use tidegate_core::clock::Timestamp;
use tidegate_core::job::{Arm, Job, Lane};
use uuid::Uuid;

/// Makes a job of the default lane that nobody has tried.
pub(crate) fn job(kind: &str) -> Job {
    let id = Uuid::now_v7();
    Job {
        id,
        kind: kind.to_owned(),
        schema: 1,
        lane: Lane::Default,
        attempt: 0,
        generation: 0,
        tenant: "default".to_owned(),
        product: "air".to_owned(),
        release: None,
        arm: Arm::Stable,
        cohort: None,
        traceparent: None,
        enqueued_at: Timestamp::now(),
        deadline: None,
        body: serde_json::json!({ "batch": id }),
    }
}
