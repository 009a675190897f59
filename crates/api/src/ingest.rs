//! `POST /v1/{product}/datasets/{dataset}/rows`: takes rows in.

mod asked;
mod check;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Json, Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde::Serialize;
use tidegate_core::clock::Timestamp;
use tidegate_core::job::{INGEST, Lane};
use tidegate_product::contract::Dataset;
use tidegate_store::{Accepted, JobState, JobStatus, NewBatch};
use tokio::time::Instant;
use uuid::Uuid;

use crate::app::App;
use crate::authorize;
use crate::body::{self, Bounds};
use crate::catalog::Product;
use crate::error::{MAX_ROW_PROBLEMS, Refusal, RowProblem, row_problems};
use crate::faults;
use crate::ingest::asked::Asked;
use crate::ingest::check::{Checked, Sent, check};
use crate::jobs;
use crate::stack::routed;
use crate::waiting::Ticket;

const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");
const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// Where rows go: whose data, and which dataset of which contract.
#[derive(Clone)]
struct Target {
    tenant: String,
    product: Arc<Product>,
    /// Position of the dataset.
    dataset: usize,
}

/// The answer to a batch that waits to be applied.
#[derive(Serialize)]
struct Receipt<'a> {
    job: Uuid,
    state: JobState,
    rows: u64,
    rejected: u64,
    errors: Vec<RowProblem<'a>>,
}

/// A batch on disk.
struct Taken {
    job: JobStatus,
    replayed: bool,
}

/// Takes rows in; answers when they are on disk or, if the client prefers, when they are applied.
pub(crate) async fn post(
    State(app): State<Arc<App>>,
    path: Result<Path<(String, String)>, PathRejection>,
    request: Request,
) -> Response {
    let (parts, mut body) = request.into_parts();
    let answer = accept(&app, path.ok(), &parts.headers, &mut body).await;
    if answer.is_err() {
        body::discard(&parts.headers, body).await;
    }
    routed(answer, &app.series.ingest)
}

async fn accept(
    app: &App,
    path: Option<Path<(String, String)>>,
    headers: &HeaderMap,
    body: &mut axum::body::Body,
) -> Result<Response, Refusal> {
    let Path((product, dataset)) =
        path.ok_or_else(|| Refusal::NotFound("the path is not UTF-8".to_owned()))?;
    let target = find(app, headers, &product, &dataset).await?;
    app.backlog.admit()?;
    let asked = Asked::parse(headers)?;

    let bounds =
        Bounds { max_bytes: target.dataset().max_body_bytes, pause: app.limits.body_timeout };
    let mut reservation = app.bodies.reservation();
    let bytes = body::read(headers, body, bounds, &mut reservation).await?;
    let sent = Sent { bytes, coding: asked.coding, format: asked.format, reservation };
    let checked = check(app, &target, sent).await?;
    target.count(&checked);

    // Half of the time is left for the batch itself.
    let wait = asked.wait.map(|wait| wait.min(app.limits.request_timeout / 2));
    let id = Uuid::now_v7();
    // Taken before the batch is on disk: its job may finish before we look.
    let ticket = wait.and_then(|_| app.waiting.join(id));
    let taken = store(app, &target, asked, checked, id).await?;
    match (wait, ticket) {
        (Some(wait), Some(ticket)) => after_wait(app, &target.tenant, taken, ticket, wait).await,
        _ => Ok(receipt(&taken)),
    }
}

/// Finds the dataset, telling only those who may write what there is.
async fn find(
    app: &App,
    headers: &HeaderMap,
    product: &str,
    dataset: &str,
) -> Result<Target, Refusal> {
    let principal = app.credentials.authenticate(headers, Instant::now()).await?;
    authorize::check(&principal, authorize::WRITE, product)?;
    let product = app.catalog.load().find(product, &principal)?;
    let Some((position, _)) = product.contract().dataset(dataset) else {
        let known: Vec<_> = product.contract().datasets.iter().map(|known| &*known.name).collect();
        return Err(Refusal::NotFound(format!(
            "product '{}' has no dataset '{dataset}'; its datasets are {}",
            product.contract().name,
            known.join(", ")
        )));
    };
    let tenant = principal.tenant.clone();
    Ok(Target { tenant, product, dataset: position })
}

/// T0: from here on the rows survive whatever happens.
async fn store(
    app: &App,
    target: &Target,
    asked: Asked,
    checked: Checked,
    id: Uuid,
) -> Result<Taken, Refusal> {
    let Checked { parsed, fingerprint } = checked;
    let now = Timestamp::now();
    let contract = target.product.contract();
    let job = JobStatus {
        id,
        kind: INGEST.to_owned(),
        product: contract.name.clone(),
        dataset: Some(target.dataset().name.clone()),
        lane: Lane::Default,
        state: JobState::Accepted,
        attempts: 0,
        run_at: None,
        progress: None,
        result: None,
        rows: count(parsed.total),
        counts: tidegate_store::Counts {
            rejected: count(parsed.rejected.len()),
            ..Default::default()
        },
        rejected: parsed.rejected.iter().take(MAX_ROW_PROBLEMS).cloned().collect(),
        received_at: now,
        finished_at: None,
        seq: None,
        error: None,
    };
    let batch = NewBatch {
        id,
        tenant: target.tenant.clone(),
        contract: Arc::clone(&target.product.stored),
        dataset: target.dataset,
        idempotency_key: asked.idempotency_key,
        fingerprint,
        rows: parsed.rows,
        lines: parsed.lines,
        rejected: parsed.rejected,
        traceparent: asked.traceparent,
        arm: app.release.arm_of(asked.stamp.release.as_deref()),
        release: asked.stamp.release,
        cohort: asked.stamp.cohort,
    };
    let accepted = app.store.accept(batch, now).await?;
    faults::point(faults::AFTER_OUTBOX_INSERT);
    match accepted {
        Accepted::New => Ok(Taken { job, replayed: false }),
        Accepted::KeyReused => Err(Refusal::KeyReused),
        Accepted::Replayed(earlier) => {
            let job = app.store.job(&target.tenant, earlier).await?;
            let job = job.ok_or_else(|| {
                Refusal::Internal("the job of an idempotency key is gone".to_owned())
            })?;
            Ok(Taken { job, replayed: true })
        }
    }
}

/// Holds the answer back until the job is final, or the wait is over.
async fn after_wait(
    app: &App,
    tenant: &str,
    taken: Taken,
    ticket: Ticket,
    wait: Duration,
) -> Result<Response, Refusal> {
    // A replayed request waits for the job of the first one.
    let ticket = match taken.replayed {
        true => app.waiting.join(taken.job.id).unwrap_or(ticket),
        false => ticket,
    };
    let waited = ticket.wait(app.store.as_ref(), tenant, Instant::now() + wait).await?;
    let Some(job) = waited.filter(|job| job.state.is_final()) else {
        return Ok(receipt(&taken));
    };
    let mut response = jobs::answer(&job);
    let headers = response.headers_mut();
    let applied = format!("wait={}", wait.as_secs());
    headers.insert(
        PREFERENCE_APPLIED,
        HeaderValue::try_from(applied).expect("a number must be a field value"),
    );
    mark_replayed(headers, taken.replayed);
    Ok(response)
}

fn receipt(taken: &Taken) -> Response {
    let job = &taken.job;
    let receipt = Receipt {
        job: job.id,
        state: job.state,
        rows: job.rows,
        rejected: job.counts.rejected,
        errors: row_problems(&job.rejected),
    };
    let location = HeaderValue::try_from(format!("/v1/jobs/{}", job.id));
    let location = location.expect("a job's id must be a field value: it is ASCII");
    let mut response =
        (StatusCode::ACCEPTED, [(header::LOCATION, location)], Json(receipt)).into_response();
    mark_replayed(response.headers_mut(), taken.replayed);
    response
}

fn mark_replayed(headers: &mut HeaderMap, replayed: bool) {
    if replayed {
        headers.insert(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
    }
}

// === impl Target ===

impl Target {
    fn dataset(&self) -> &Dataset {
        &self.product.contract().datasets[self.dataset]
    }

    fn count(&self, checked: &Checked) {
        let counters = &self.product.rows[self.dataset];
        counters.accepted.inc_by(count(checked.parsed.rows.len()));
        counters.rejected.inc_by(count(checked.parsed.rejected.len()));
    }
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
