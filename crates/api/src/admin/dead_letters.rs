//! `/v1/{product}/dead-letters`: jobs that need a person, of the token's tenant.

use std::sync::Arc;

use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::response::{Json, Response};
use http::HeaderMap;
use serde::{Deserialize, Serialize};
use tidegate_core::clock::Timestamp;
use tidegate_store::{DeadFilter, DeadLetter, DeadState};

use super::{Admin, body, document};
use crate::app::App;
use crate::error::Refusal;
use crate::stack::routed;

/// Letters of one answer, unless the request says how many.
const PAGE: usize = 100;

/// Which letters, as a query says it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Listing {
    kind: Option<String>,
    code: Option<String>,
    state: Option<DeadState>,
    after: Option<i64>,
    limit: Option<usize>,
}

/// Which letters to decide on. Without any of the filters nothing is decided unless `all` is set.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Selection {
    numbers: Vec<i64>,
    kind: Option<String>,
    code: Option<String>,
    all: bool,
    limit: Option<usize>,
    /// Only count.
    dry_run: bool,
}

/// What to do with letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Decision {
    Requeue,
    Discard,
}

#[derive(Serialize)]
struct Page {
    open: u64,
    letters: Vec<DeadLetter>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<i64>,
}

#[derive(Serialize)]
struct Decided {
    matched: u64,
    decided: u64,
    dry_run: bool,
}

/// Lists letters, oldest first.
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    path: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    listing: Result<Query<Listing>, QueryRejection>,
) -> Response {
    routed(page(&app, path.ok(), &headers, listing).await, &app.series.admin)
}

/// Shows one letter.
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    path: Result<Path<(String, i64)>, PathRejection>,
    headers: HeaderMap,
) -> Response {
    routed(letter(&app, path.ok(), &headers).await, &app.series.admin)
}

/// Puts jobs back on their queues, as a new generation.
pub(crate) async fn requeue(
    State(app): State<Arc<App>>,
    path: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    selection: Result<Json<Selection>, JsonRejection>,
) -> Response {
    let answer = decide(&app, path.ok(), &headers, selection, Decision::Requeue).await;
    routed(answer, &app.series.admin)
}

/// Gives jobs up; their letters stay to be read for a while.
pub(crate) async fn discard(
    State(app): State<Arc<App>>,
    path: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    selection: Result<Json<Selection>, JsonRejection>,
) -> Response {
    let answer = decide(&app, path.ok(), &headers, selection, Decision::Discard).await;
    routed(answer, &app.series.admin)
}

async fn page(
    app: &App,
    path: Option<Path<String>>,
    headers: &HeaderMap,
    listing: Result<Query<Listing>, QueryRejection>,
) -> Result<Response, Refusal> {
    let admin = Admin::enter(app, &product_of(path)?, headers).await?;
    let Query(asked) =
        listing.map_err(|rejection| Refusal::MalformedBody(rejection.body_text()))?;
    let limit = asked.limit.unwrap_or(PAGE).clamp(1, tidegate_store::MAX_LETTERS);
    let filter = DeadFilter {
        kind: asked.kind,
        code: asked.code,
        state: asked.state.unwrap_or_default(),
        after: asked.after,
        limit,
        ..of(&admin)
    };
    let letters = app.store.dead_letters(&filter).await?;
    let open = app.store.count_dead(&of(&admin)).await?;
    let next = letters.last().filter(|_| letters.len() == limit).map(|letter| letter.no);
    Ok(document(Page { open, letters, next }))
}

async fn letter(
    app: &App,
    path: Option<Path<(String, i64)>>,
    headers: &HeaderMap,
) -> Result<Response, Refusal> {
    let Path((product, number)) = path.ok_or_else(unknown)?;
    let admin = Admin::enter(app, &product, headers).await?;
    for state in [DeadState::Open, DeadState::Requeued, DeadState::Discarded] {
        let filter = DeadFilter { numbers: vec![number], state, limit: 1, ..of(&admin) };
        if let Some(letter) = app.store.dead_letters(&filter).await?.pop() {
            return Ok(document(letter));
        }
    }
    Err(unknown())
}

async fn decide(
    app: &App,
    path: Option<Path<String>>,
    headers: &HeaderMap,
    selection: Result<Json<Selection>, JsonRejection>,
    decision: Decision,
) -> Result<Response, Refusal> {
    let admin = Admin::enter(app, &product_of(path)?, headers).await?;
    let asked = body(selection)?;
    let narrowed = !asked.numbers.is_empty() || asked.kind.is_some() || asked.code.is_some();
    if !narrowed && !asked.all {
        return Err(Refusal::MalformedBody(
            "say which: numbers, kind, code, or all = true for every open letter".to_owned(),
        ));
    }
    let limit = asked.limit.unwrap_or(tidegate_store::MAX_LETTERS);
    let filter = DeadFilter {
        numbers: asked.numbers,
        kind: asked.kind,
        code: asked.code,
        limit: limit.clamp(1, tidegate_store::MAX_LETTERS),
        ..of(&admin)
    };
    let (store, now) = (&app.store, Timestamp::now());
    let matched = store.count_dead(&filter).await?;
    let by = &admin.principal.subject;
    let decided = match (asked.dry_run, decision) {
        (true, _) => 0,
        (false, Decision::Requeue) => store.requeue_dead(&filter, by, now).await?,
        (false, Decision::Discard) => store.discard_dead(&filter, by, now).await?,
    };
    Ok(document(Decided { matched, decided, dry_run: asked.dry_run }))
}

/// All open letters that the administrator may see.
fn of(admin: &Admin<'_>) -> DeadFilter {
    DeadFilter {
        product: Some(admin.product.contract().name.clone()),
        tenant: Some(admin.principal.tenant.clone()),
        limit: tidegate_store::MAX_LETTERS,
        ..DeadFilter::default()
    }
}

fn product_of(path: Option<Path<String>>) -> Result<String, Refusal> {
    let Path(product) =
        path.ok_or_else(|| Refusal::NotFound("the path is not UTF-8".to_owned()))?;
    Ok(product)
}

fn unknown() -> Refusal {
    Refusal::NotFound("there is no such dead letter".to_owned())
}
