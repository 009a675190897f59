//! `GET /v1/jobs/{id}`: where a job stands.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Json, Response};
use http::header::{CACHE_CONTROL, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Serialize;
use tidegate_core::clock::Timestamp;
use tidegate_store::{Counts, JobState, JobStatus};
use tokio::time::Instant;
use uuid::Uuid;

use crate::app::App;
use crate::authorize;
use crate::error::{Refusal, RowProblem, row_problems};
use crate::stack::routed;

/// A job as clients see it.
#[derive(Serialize)]
struct Document<'a> {
    job: Uuid,
    kind: &'a str,
    product: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    dataset: Option<&'a str>,
    state: JobState,
    rows: u64,
    counts: Counts,
    errors: Vec<RowProblem<'a>>,
    received_at: String,
    finished_at: Option<String>,
    seq: Option<String>,
    error: Option<&'a str>,
}

/// Answers a request for a job of the token's tenant.
pub(crate) async fn get(
    State(app): State<Arc<App>>,
    id: Result<Path<Uuid>, PathRejection>,
    request: Request,
) -> Response {
    let (request, _) = request.into_parts();
    routed(find(&app, id, &request.headers).await, &app.series.job)
}

async fn find(
    app: &App,
    id: Result<Path<Uuid>, PathRejection>,
    headers: &HeaderMap,
) -> Result<Response, Refusal> {
    let principal = app.credentials.authenticate(headers, Instant::now()).await?;
    let unknown = || Refusal::NotFound("there is no such job".to_owned());
    let Path(id) = id.map_err(|_| unknown())?;
    let job = app.store.job(&principal.tenant, id).await?.ok_or_else(unknown)?;
    if authorize::knows(&principal, &job.product) { Ok(answer(&job)) } else { Err(unknown()) }
}

/// Returns the answer that describes a job.
pub(crate) fn answer(job: &JobStatus) -> Response {
    let document = Document {
        job: job.id,
        kind: &job.kind,
        product: &job.product,
        dataset: job.dataset.as_deref(),
        state: job.state,
        rows: job.rows,
        counts: job.counts,
        errors: row_problems(&job.rejected),
        received_at: job.received_at.to_rfc3339(),
        finished_at: job.finished_at.map(Timestamp::to_rfc3339),
        seq: job.seq.as_ref().map(ToString::to_string),
        error: job.error.as_deref(),
    };
    let mut response = (StatusCode::OK, Json(document)).into_response();
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if !job.state.is_final() {
        headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}
