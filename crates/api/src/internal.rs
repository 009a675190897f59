//! What edges, workers and operators ask: whose response a credential may read, and how a contract routes.

pub(crate) mod canaries;
pub(crate) mod hot_keys;
pub(crate) mod refresh;
pub(crate) mod scaling;

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Json, Response};
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use tidegate_core::scope::ResolvedScope;

use crate::app::App;
use crate::error::Refusal;

/// How long an edge may rely on a resolved scope. A revocation is broadcast, so this only bounds
/// what a lost broadcast can do.
const SCOPE_LIFETIME_MS: u64 = 30_000;

/// `GET /internal/scope`: resolves the credential of the request itself.
pub(crate) async fn scope(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Json<ResolvedScope>, Refusal> {
    let principal = app.credentials.look_up(request.headers()).await?;
    Ok(Json(ResolvedScope {
        scope_key: principal.scope_key,
        tenant: principal.tenant,
        subject: principal.subject,
        scopes: principal.scopes,
        lifetime_ms: SCOPE_LIFETIME_MS,
    }))
}

/// `GET /internal/edge-plan/{digest}`: the plan that a routing document names.
///
/// Control may have read a new contract before this api looked for one: a digest that is not known
/// is a reason to look.
pub(crate) async fn edge_plan(
    State(app): State<Arc<App>>,
    digest: Result<Path<String>, PathRejection>,
) -> Result<Response, Refusal> {
    let unknown = || Refusal::NotFound("there is no such edge plan".to_owned());
    let Ok(Path(digest)) = digest else { return Err(unknown()) };
    let known = app.catalog.load().edge_plan(&digest);
    let plan = match known {
        Some(plan) => plan,
        None => {
            if let Err(error) = app.catalog.reload(app.store.as_ref()).await {
                tracing::warn!(error = %error, "Contracts could not be reloaded.");
            }
            app.catalog.load().edge_plan(&digest).ok_or_else(unknown)?
        }
    };
    let json = HeaderValue::from_static("application/json");
    Ok(([(CONTENT_TYPE, json)], plan).into_response())
}
