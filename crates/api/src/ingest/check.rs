//! From the bytes of a body to checked rows. CPU work: large bodies leave the runtime's threads.

use std::sync::Arc;

use sha2::{Digest, Sha256};
use tidegate_core::clock::Timestamp;
use tidegate_product::contract::{Dataset, OnError};
use tidegate_product::error::BodyError;
use tidegate_product::validate::{Parsed, json_array, ndjson};

use super::Target;
use super::asked::BodyFormat;
use crate::app::App;
use crate::body::{self, Coding, Reservation};
use crate::error::Refusal;

/// A body up to this length is checked at once: a handover would cost more.
const INLINE_BYTES: usize = 16 << 10;

/// A body as it was sent.
pub(super) struct Sent {
    pub(super) bytes: Vec<u8>,
    pub(super) coding: Coding,
    pub(super) format: BodyFormat,
    pub(super) reservation: Reservation,
}

/// A batch that passed.
pub(super) struct Checked {
    pub(super) parsed: Parsed,
    /// SHA-256 of the decoded body.
    pub(super) fingerprint: [u8; 32],
}

/// Decodes and validates a body.
pub(super) async fn check(app: &App, target: &Target, sent: Sent) -> Result<Checked, Refusal> {
    if sent.bytes.len() <= INLINE_BYTES && sent.coding == Coding::Identity {
        return judge(target, sent, Timestamp::now());
    }
    // Waiting here holds the body in memory that is accounted for.
    let permit = Arc::clone(&app.validating)
        .acquire_owned()
        .await
        .expect("the semaphore must stay open: nothing closes it");
    let target = target.clone();
    let work = tokio::task::spawn_blocking(move || {
        // Held by the work rather than the request: a client that leaves does not end the work.
        let _permit = permit;
        judge(&target, sent, Timestamp::now())
    });
    work.await.map_err(|panic| Refusal::Internal(panic.to_string()))?
}

fn judge(target: &Target, sent: Sent, now: Timestamp) -> Result<Checked, Refusal> {
    let Sent { bytes, coding, format, mut reservation } = sent;
    let dataset = target.dataset();
    let bytes = body::decode(coding, bytes, dataset.max_body_bytes, &mut reservation)?;
    let parsed = match format {
        BodyFormat::JsonArray => json_array(dataset, &bytes, now),
        BodyFormat::Ndjson => ndjson(dataset, &bytes, now),
    };
    let parsed = admit(dataset, parsed.map_err(refuse)?)?;
    Ok(Checked { parsed, fingerprint: Sha256::digest(&bytes).into() })
}

/// Refuses what must not be accepted even in part.
fn admit(dataset: &Dataset, parsed: Parsed) -> Result<Parsed, Refusal> {
    if parsed.total == 0 {
        return Err(Refusal::MalformedBody("the body holds no rows".to_owned()));
    }
    let detail = match (dataset.on_error, parsed.rejected.len()) {
        (_, 0) => return Ok(parsed),
        (_, rejected) if rejected == parsed.total => {
            "no row is valid; nothing was accepted".to_owned()
        }
        (OnError::Quarantine, _) => return Ok(parsed),
        (OnError::Reject, rejected) => format!(
            "{rejected} of {} rows are not valid and dataset '{}' takes whole batches only; \
             nothing was accepted",
            parsed.total, dataset.name
        ),
    };
    Err(Refusal::RowsRejected(detail, parsed.rejected))
}

fn refuse(error: BodyError) -> Refusal {
    match error {
        BodyError::Syntax { .. } | BodyError::NotUtf8 { .. } => {
            Refusal::MalformedBody(error.to_string())
        }
        BodyError::TooManyRows { .. } => Refusal::TooManyRows(error.to_string()),
    }
}
