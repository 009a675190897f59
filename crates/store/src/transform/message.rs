//! What goes through the outbox.

use serde_json::Value;
use tidegate_core::clock::Timestamp;
use tidegate_core::job::{Arm, INGEST, Job, Lane, MAX_INLINE_BODY};
use tidegate_core::notice::Notice;
use tidegate_core::outbox::OutboxMessage;
use uuid::Uuid;

use crate::{NewBatch, StoreError};

/// Version of the body of an ingest job.
const INGEST_SCHEMA: u16 = 1;

/// What the job of a batch is made from when the batch itself is at rest.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    pub(crate) id: Uuid,
    pub(crate) tenant: String,
    pub(crate) product: String,
    pub(crate) generation: u32,
    pub(crate) release: Option<String>,
    pub(crate) cohort: Option<u16>,
    pub(crate) traceparent: Option<String>,
}

/// A body, and where it is kept.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Body {
    /// In the job's record and in its message.
    Inline(String),
    /// In the store alone: the message carries null (claim check).
    Kept(String),
}

/// A message as it is kept, made before the transaction that puts it.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) kind: &'static str,
    pub(crate) job: Option<Uuid>,
    pub(crate) body: String,
}

/// Returns the job that applies a batch for the first time.
pub(crate) fn first(batch: &NewBatch, now: Timestamp) -> Job {
    let at_rest = Batch {
        id: batch.id,
        tenant: batch.tenant.clone(),
        product: batch.contract.contract.name.clone(),
        generation: 0,
        release: batch.release.clone(),
        cohort: batch.cohort,
        traceparent: batch.traceparent.clone(),
    };
    Job { arm: batch.arm, ..again(at_rest, now) }
}

/// Returns the job that applies a batch whose first message was lost or failed: rows that were
/// accepted always move to stable.
pub(crate) fn again(batch: Batch, now: Timestamp) -> Job {
    let body = serde_json::json!({ "batch": batch.id });
    Job {
        id: batch.id,
        schema: INGEST_SCHEMA,
        generation: batch.generation,
        release: batch.release,
        cohort: batch.cohort,
        traceparent: batch.traceparent,
        ..Job::new(INGEST, Lane::Default, (&batch.tenant, &batch.product), body, now)
    }
}

/// Takes the body out of a job whose message must not carry it; returns it as text.
pub(crate) fn check_in(job: &mut Job) -> Body {
    let text = job.body.to_string();
    if text.len() <= MAX_INLINE_BODY {
        return Body::Inline(text);
    }
    job.body = Value::Null;
    Body::Kept(text)
}

/// Returns the job that a person brings back: the inbox lets it through, and its past counts for
/// nothing.
pub(crate) fn next_generation(job: Job) -> Job {
    Job {
        attempt: 0,
        generation: job.generation.saturating_add(1),
        arm: Arm::Stable,
        deadline: None,
        ..job
    }
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

// === impl Line ===

impl Line {
    /// Takes a job that carries what its message carries.
    pub(crate) fn job(job: Job) -> Result<Self, StoreError> {
        let id = job.id;
        let body = serde_json::to_string(&OutboxMessage::Job(job))?;
        Ok(Self { kind: "job", job: Some(id), body })
    }

    pub(crate) fn notice(notice: Notice) -> Result<Self, StoreError> {
        let kind = kind(&notice);
        let body = serde_json::to_string(&OutboxMessage::Notice(notice))?;
        Ok(Self { kind, job: None, body })
    }
}
