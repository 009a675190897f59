//! `POST /v1/{product}/probes`: tries the whole way of a job, and counts what came of it.
//!
//! Each job counts itself in the store, in the transaction that its inbox line is in: jobs lost and
//! jobs done twice both show.

use std::sync::Arc;

use axum::extract::rejection::{JsonRejection, PathRejection};
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Json, Response};
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tidegate_core::clock::Timestamp;
use tidegate_core::job::{Lane, PROBE};
use tidegate_store::{NewJob, ProbeTally};
use uuid::Uuid;

use super::{Admin, Work, body, document};
use crate::app::App;
use crate::error::Refusal;
use crate::faults;
use crate::stack::routed;

/// Most jobs of one request.
const MAX_JOBS: u32 = 100_000;

/// Jobs put in one transaction.
const CHUNK: u32 = 1_000;

/// What is asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    #[serde(default = "one")]
    jobs: u32,
    #[serde(default = "default_lane")]
    lane: Lane,
    /// What becomes of them.
    #[serde(default)]
    outcome: Outcome,
}

/// What becomes of a probe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    /// It counts itself.
    #[default]
    Ok,
    /// It fails for good: a dead letter.
    Fail,
    /// It fails once, then counts itself.
    Flaky,
    /// It fails for now until its retries are used up: a dead letter.
    Poison,
    /// It panics.
    Panic,
    /// It ends the worker's process, where that is allowed.
    Crash,
}

#[derive(Serialize)]
struct Receipt {
    run: Uuid,
    jobs: u32,
}

#[derive(Serialize)]
struct Tally {
    run: Uuid,
    #[serde(flatten)]
    tally: ProbeTally,
}

fn one() -> u32 {
    1
}

fn default_lane() -> Lane {
    Lane::Default
}

/// Puts the jobs of a trial.
pub(crate) async fn post(
    State(app): State<Arc<App>>,
    path: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    asked: Result<Json<Asked>, JsonRejection>,
) -> Response {
    routed(put(&app, path.ok(), &headers, asked).await, &app.series.admin)
}

/// `GET /v1/{product}/probes/{run}`: how a trial stands.
pub(crate) async fn get(
    State(app): State<Arc<App>>,
    path: Result<Path<(String, Uuid)>, PathRejection>,
    headers: HeaderMap,
) -> Response {
    routed(tally(&app, path.ok(), &headers).await, &app.series.admin)
}

async fn put(
    app: &App,
    path: Option<Path<String>>,
    headers: &HeaderMap,
    asked: Result<Json<Asked>, JsonRejection>,
) -> Result<Response, Refusal> {
    let Path(product) = path.ok_or_else(unknown)?;
    let admin = Admin::enter(app, &product, headers).await?;
    let Asked { jobs, lane, outcome } = body(asked)?;
    if !(1..=MAX_JOBS).contains(&jobs) {
        return Err(Refusal::MalformedBody(format!("'jobs' must be from 1 to {MAX_JOBS}")));
    }
    if lane == Lane::Long {
        let text = "'lane' must be high, default or low: probes are short".to_owned();
        return Err(Refusal::MalformedBody(text));
    }
    let (run, now) = (Uuid::now_v7(), Timestamp::now());
    for first in (0..jobs).step_by(CHUNK as usize) {
        let chunk = first..jobs.min(first + CHUNK);
        let new = chunk.map(|n| {
            let body = json!({ "run": run, "n": n, "of": jobs, "outcome": outcome });
            let work = Work { id: Uuid::now_v7(), kind: PROBE, lane, body };
            NewJob { job: admin.job(app, work, now), run_at: None, idempotency_key: None }
        });
        app.store.enqueue(new.collect(), now).await?;
        faults::point(faults::AFTER_OUTBOX_INSERT);
    }
    Ok((StatusCode::ACCEPTED, Json(Receipt { run, jobs })).into_response())
}

async fn tally(
    app: &App,
    path: Option<Path<(String, Uuid)>>,
    headers: &HeaderMap,
) -> Result<Response, Refusal> {
    let Path((product, run)) = path.ok_or_else(unknown)?;
    Admin::enter(app, &product, headers).await?;
    let tally = app.store.probe_tally(run).await?;
    if tally.expected == 0 {
        return Err(unknown());
    }
    Ok(document(Tally { run, tally }))
}

fn unknown() -> Refusal {
    Refusal::NotFound("there is no such trial".to_owned())
}
