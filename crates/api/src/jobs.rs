//! `/v1/jobs`: where jobs stand, and the wish to end one early.

use std::sync::Arc;

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, Request, State};
use axum::response::{IntoResponse, Response};
use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tidegate_core::clock::Timestamp;
use tidegate_core::job::Lane;
use tidegate_store::{Cancel, Counts, JobFilter, JobState, JobStatus, Progress};
use tokio::time::Instant;
use uuid::Uuid;

use crate::admin::document;
use crate::app::App;
use crate::authenticate::Principal;
use crate::authorize::{self, WRITE};
use crate::error::{Refusal, RowProblem, row_problems};
use crate::stack::routed;

/// Jobs of one answer, unless the request says how many.
const PAGE: usize = 100;

/// Which jobs to list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Listing {
    product: String,
    state: Option<JobState>,
    kind: Option<String>,
    before: Option<Uuid>,
    limit: Option<usize>,
}

/// A job as clients see it.
#[derive(Serialize)]
struct Document<'a> {
    job: Uuid,
    kind: &'a str,
    product: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    dataset: Option<&'a str>,
    lane: Lane,
    state: JobState,
    attempts: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    run_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    progress: Option<&'a Progress>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'a Value>,
    rows: u64,
    counts: Counts,
    errors: Vec<RowProblem<'a>>,
    received_at: String,
    finished_at: Option<String>,
    seq: Option<String>,
    error: Option<&'a str>,
}

#[derive(Serialize)]
struct Page<'a> {
    jobs: Vec<Document<'a>>,
    /// `before` of the next page, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<Uuid>,
}

/// Answers a request for a job of the token's tenant.
pub(crate) async fn get(
    State(app): State<Arc<App>>,
    id: Result<Path<Uuid>, PathRejection>,
    request: Request,
) -> Response {
    let (request, _) = request.into_parts();
    routed(answer_one(&app, id.ok(), &request.headers).await, &app.series.job)
}

/// Lists jobs of one product, newest first.
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    listing: Result<Query<Listing>, QueryRejection>,
    headers: HeaderMap,
) -> Response {
    routed(page(&app, listing, &headers).await, &app.series.job)
}

/// Ends a job early: 204 if it had not begun, 202 if its worker was told.
pub(crate) async fn cancel(
    State(app): State<Arc<App>>,
    id: Result<Path<Uuid>, PathRejection>,
    headers: HeaderMap,
) -> Response {
    routed(end(&app, id.ok(), &headers).await, &app.series.job)
}

async fn answer_one(
    app: &App,
    id: Option<Path<Uuid>>,
    headers: &HeaderMap,
) -> Result<Response, Refusal> {
    let (_, job) = find(app, id, headers).await?;
    Ok(answer(&job))
}

async fn page(
    app: &App,
    listing: Result<Query<Listing>, QueryRejection>,
    headers: &HeaderMap,
) -> Result<Response, Refusal> {
    let principal = app.credentials.authenticate(headers, Instant::now()).await?;
    let Query(asked) =
        listing.map_err(|rejection| Refusal::MalformedBody(rejection.body_text()))?;
    if !authorize::knows(&principal, &asked.product) {
        return Err(Refusal::Forbidden {
            subject: principal.subject.clone(),
            needed: format!("{}:{}", authorize::READ, asked.product),
        });
    }
    let limit = asked.limit.unwrap_or(PAGE).clamp(1, tidegate_store::MAX_LISTED);
    let filter = JobFilter {
        tenant: principal.tenant.clone(),
        product: asked.product,
        state: asked.state,
        kind: asked.kind,
        before: asked.before,
        limit,
    };
    let jobs = app.store.list_jobs(&filter).await?;
    let next = jobs.last().filter(|_| jobs.len() == limit).map(|job| job.id);
    Ok(document(Page { jobs: jobs.iter().map(Document::of).collect(), next }))
}

async fn end(app: &App, id: Option<Path<Uuid>>, headers: &HeaderMap) -> Result<Response, Refusal> {
    let (principal, job) = find(app, id, headers).await?;
    authorize::check(&principal, WRITE, &job.product)?;
    match app.store.cancel(&principal.tenant, job.id, Timestamp::now()).await? {
        Cancel::Done => Ok(StatusCode::NO_CONTENT.into_response()),
        Cancel::Requested => Ok(StatusCode::ACCEPTED.into_response()),
        Cancel::TooLate => Err(Refusal::TooLate(
            "it has ended, or its rows were accepted and will be applied".to_owned(),
        )),
        Cancel::Unknown => Err(unknown()),
    }
}

async fn find(
    app: &App,
    id: Option<Path<Uuid>>,
    headers: &HeaderMap,
) -> Result<(Arc<Principal>, JobStatus), Refusal> {
    let principal = app.credentials.authenticate(headers, Instant::now()).await?;
    let Path(id) = id.ok_or_else(unknown)?;
    let job = app.store.job(&principal.tenant, id).await?.ok_or_else(unknown)?;
    if authorize::knows(&principal, &job.product) { Ok((principal, job)) } else { Err(unknown()) }
}

fn unknown() -> Refusal {
    Refusal::NotFound("there is no such job".to_owned())
}

/// Returns the answer that describes a job.
pub(crate) fn answer(job: &JobStatus) -> Response {
    let mut response = document(Document::of(job));
    if !job.state.is_final() {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

// === impl Document ===

impl<'a> Document<'a> {
    fn of(job: &'a JobStatus) -> Self {
        Self {
            job: job.id,
            kind: &job.kind,
            product: &job.product,
            dataset: job.dataset.as_deref(),
            lane: job.lane,
            state: job.state,
            attempts: job.attempts,
            run_at: job.run_at.map(Timestamp::to_rfc3339),
            progress: job.progress.as_ref(),
            result: job.result.as_ref(),
            rows: job.rows,
            counts: job.counts,
            errors: row_problems(&job.rejected),
            received_at: job.received_at.to_rfc3339(),
            finished_at: job.finished_at.map(Timestamp::to_rfc3339),
            seq: job.seq.as_ref().map(ToString::to_string),
            error: job.error.as_deref(),
        }
    }
}
