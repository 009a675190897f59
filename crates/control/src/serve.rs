//! What control answers to edges and people.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use axum::{Router, routing::get};
use serde::Deserialize;
use serde_json::json;
use tidegate_core::routing;
use tidegate_core::shutdown::Shutdown;
use tokio::sync::Semaphore;

use crate::issue::{Issued, Issuer};
use crate::metrics::METRICS;

/// Longest wait for a newer document.
const MAX_WAIT: Duration = Duration::from_secs(30);

/// Most requests that wait at a time.
const MAX_WAITERS: usize = 512;

#[derive(Clone)]
struct Answers {
    issuer: Arc<Issuer>,
    waiters: Arc<Semaphore>,
    shutdown: Shutdown,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// The version already held, `<epoch>.<generation>`.
    after: Option<String>,
    /// Seconds to wait for a newer one.
    wait: Option<u64>,
}

/// Builds the routes of control's listener.
pub(crate) fn router(issuer: Arc<Issuer>, shutdown: Shutdown) -> Router {
    let waiters = Arc::new(Semaphore::new(MAX_WAITERS));
    Router::new()
        .route(routing::PATH, get(document))
        .route("/v1/status", get(status))
        .route("/v1/key", get(key))
        .with_state(Answers { issuer, waiters, shutdown })
}

async fn document(
    State(answers): State<Answers>,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Response {
    let Ok(Query(wanted)) = wanted else { return malformed() };
    let Ok(after) = wanted.after.as_deref().map(parse_version).transpose() else {
        return malformed();
    };
    let mut newest = answers.issuer.newest();
    let is_newer = |issued: &Arc<Issued>| after.is_none_or(|after| issued.version > after);
    let issued = Arc::clone(&newest.borrow());
    if is_newer(&issued) {
        return signed(&issued);
    }
    let Ok(_permit) = answers.waiters.try_acquire() else { return too_many() };
    let _waiting = Waiting::begin();
    let wait = Duration::from_secs(wanted.wait.unwrap_or(0)).min(MAX_WAIT);
    // Cancelled by shutdown too: a drain must not take as long as the longest wait.
    let newer =
        tokio::time::timeout(wait, answers.shutdown.run_until_cancelled(newest.wait_for(is_newer)));
    match newer.await {
        Ok(Some(Ok(issued))) => signed(&issued),
        _ => StatusCode::NO_CONTENT.into_response(),
    }
}

async fn status(State(answers): State<Answers>) -> Response {
    Json(answers.issuer.status()).into_response()
}

async fn key(State(answers): State<Answers>) -> Response {
    let key = answers.issuer.public_key();
    Json(json!({ "key_id": key.id(), "public_key": key.to_hex() })).into_response()
}

fn signed(issued: &Issued) -> Response {
    let json = HeaderValue::from_static("application/json");
    ([(header::CONTENT_TYPE, json)], issued.body.clone()).into_response()
}

/// Parses `<epoch>.<generation>`.
fn parse_version(text: &str) -> Result<(u64, u64), std::num::ParseIntError> {
    let (epoch, generation) = text.split_once('.').unwrap_or((text, ""));
    Ok((epoch.parse()?, generation.parse()?))
}

fn malformed() -> Response {
    problem(StatusCode::BAD_REQUEST, "expected ?after=<epoch>.<generation>&wait=<seconds>")
}

fn too_many() -> Response {
    let mut response =
        problem(StatusCode::SERVICE_UNAVAILABLE, "too many requests wait; ask again later");
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

/// RFC 9457.
fn problem(status: StatusCode, detail: &str) -> Response {
    let title = status.canonical_reason().unwrap_or_default();
    let body = json!({ "title": title, "status": status.as_u16(), "detail": detail }).to_string();
    let kind = HeaderValue::from_static("application/problem+json");
    (status, [(header::CONTENT_TYPE, kind)], body).into_response()
}

/// Counts a waiting request until dropped: the client may go away at any time.
struct Waiting;

// === impl Waiting ===

impl Waiting {
    fn begin() -> Self {
        METRICS.waiters.inc();
        Self
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        METRICS.waiters.dec();
    }
}

#[cfg(test)]
mod tests;
