//! `POST /internal/canaries/revoke`: a canary release takes no more jobs.

use std::sync::Arc;

use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::response::{Json, Response};
use serde::Deserialize;
use serde_json::json;
use tidegate_core::clock::Timestamp;

use crate::admin::{body, document};
use crate::app::App;
use crate::error::Refusal;

/// Which release, and which revocation of it: an epoch that is not newer changes nothing.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Revocation {
    release: String,
    epoch: u64,
}

/// Revokes; workers hear of it within seconds.
pub(crate) async fn revoke(
    State(app): State<Arc<App>>,
    revocation: Result<Json<Revocation>, JsonRejection>,
) -> Result<Response, Refusal> {
    let Revocation { release, epoch } = body(revocation)?;
    let newer = app.store.revoke_canary(&release, epoch, Timestamp::now()).await?;
    Ok(document(json!({ "release": release, "epoch": epoch, "newer": newer })))
}
