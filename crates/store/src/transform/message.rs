//! What goes through the outbox.

use tidegate_core::clock::Timestamp;
use tidegate_core::job::{Arm, INGEST, Job, Lane};
use tidegate_core::notice::Notice;
use tidegate_core::outbox::OutboxMessage;
use uuid::Uuid;

/// Version of the body of an ingest job.
const INGEST_SCHEMA: u16 = 1;

/// What a job line is made from.
pub(crate) struct IngestJob<'a> {
    pub(crate) batch: Uuid,
    pub(crate) tenant: &'a str,
    pub(crate) product: &'a str,
    pub(crate) traceparent: Option<String>,
}

/// Returns the job that applies a batch.
pub(crate) fn ingest(job: IngestJob<'_>, now: Timestamp) -> OutboxMessage {
    OutboxMessage::Job(Job {
        id: job.batch,
        kind: INGEST.to_owned(),
        schema: INGEST_SCHEMA,
        lane: Lane::Default,
        attempt: 0,
        generation: 0,
        tenant: job.tenant.to_owned(),
        product: job.product.to_owned(),
        release: None,
        arm: Arm::Stable,
        cohort: None,
        traceparent: job.traceparent,
        enqueued_at: now,
        deadline: None,
        body: serde_json::json!({ "batch": job.batch }),
    })
}

/// Returns what kind of line a notice is.
pub(crate) fn kind(notice: &Notice) -> &'static str {
    match notice {
        Notice::Purge { .. } => "purge",
        Notice::Update(_) | Notice::Refreshed(_) => "cache",
        Notice::JobsFinished { .. }
        | Notice::JobsCancelled { .. }
        | Notice::CanaryRevoked { .. }
        | Notice::Revoked { .. } => "event",
    }
}
