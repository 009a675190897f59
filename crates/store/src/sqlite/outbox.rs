//! The outbox: messages that leave in the transaction that gave rise to them.

use rusqlite::Connection;
use tidegate_core::clock::Timestamp;
use tidegate_core::job::{INGEST, Job, Lane};
use tidegate_core::notice::Notice;
use tidegate_core::outbox::{OutboxEntry, OutboxMessage};
use uuid::Uuid;

use crate::StoreError;

/// Version of the body of an ingest job.
const INGEST_SCHEMA: u16 = 1;

/// What a job line is made from.
pub(super) struct IngestJob<'a> {
    pub(super) batch: Uuid,
    pub(super) tenant: &'a str,
    pub(super) product: &'a str,
    pub(super) traceparent: Option<String>,
}

/// Puts the job that applies a batch.
pub(super) fn put_job(
    sql: &Connection,
    job: IngestJob<'_>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let batch = job.batch;
    let message = OutboxMessage::Job(Job {
        id: batch,
        kind: INGEST.to_owned(),
        schema: INGEST_SCHEMA,
        lane: Lane::Default,
        attempt: 0,
        generation: 0,
        tenant: job.tenant.to_owned(),
        product: job.product.to_owned(),
        release: None,
        cohort: None,
        traceparent: job.traceparent,
        enqueued_at: now,
        body: serde_json::json!({ "batch": batch }),
    });
    put(sql, "job", Some(batch), &message)
}

/// Puts a notice.
pub(super) fn put_notice(sql: &Connection, notice: Notice) -> Result<(), StoreError> {
    let kind = match &notice {
        Notice::Purge { .. } => "purge",
        Notice::JobsFinished { .. } | Notice::Revoked { .. } => "event",
    };
    put(sql, kind, None, &OutboxMessage::Notice(notice))
}

fn put(
    sql: &Connection,
    kind: &str,
    batch: Option<Uuid>,
    message: &OutboxMessage,
) -> Result<(), StoreError> {
    let body = serde_json::to_string(message)?;
    sql.prepare_cached("insert into dp_outbox(kind, batch, body) values(?1, ?2, ?3)")?
        .execute((kind, batch.as_ref().map(Uuid::as_bytes), body))?;
    Ok(())
}

/// Returns the oldest lines.
///
/// A line that this build can't read stays for one that can: after a release has begun, an older
/// process may meet messages of a newer one.
pub(super) fn pending(sql: &Connection, limit: usize) -> Result<Vec<OutboxEntry>, StoreError> {
    let mut entries = Vec::new();
    let mut select = sql.prepare_cached("select id, body from dp_outbox order by id")?;
    let mut rows = select.query(())?;
    while let Some(row) = rows.next()? {
        let (id, body) = (row.get(0)?, row.get_ref(1)?.as_str().map_err(rusqlite::Error::from)?);
        match serde_json::from_str(body) {
            Ok(message) => entries.push(OutboxEntry { id, message }),
            Err(error) => {
                tracing::warn!(outbox.id = id, error = %error, "Outbox line was skipped.");
            }
        }
        if entries.len() >= limit {
            break;
        }
    }
    Ok(entries)
}

/// Deletes lines that were published.
pub(super) fn mark_sent(sql: &Connection, ids: &[i64]) -> Result<(), StoreError> {
    let mut delete = sql.prepare_cached("delete from dp_outbox where id = ?1")?;
    for id in ids {
        delete.execute((id,))?;
    }
    Ok(())
}
