//! Every route of the api.

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use tidegate_core::routing::EDGE_PLAN_PATH;
use tidegate_core::scope;
use tidegate_core::{cache_update, hot, scale};

use crate::app::App;
use crate::error::Refusal;
use crate::stack::stack;
use crate::{admin, groups, ingest, internal, jobs, read};

/// Longest body of the private listener: a full report of hot keys.
const MAX_PRIVATE_BODY: usize = 8 << 20;

/// Routes for clients, by way of the edge.
pub(crate) fn public(app: &Arc<App>) -> Router {
    let routes = Router::new()
        .route("/v1/{product}/datasets/{dataset}/rows", post(ingest::post))
        .route("/v1/{product}/views/{view}/groups", get(groups::get))
        .route("/v1/jobs", get(jobs::list))
        .route("/v1/jobs/{id}", get(jobs::get).delete(jobs::cancel))
        .route("/v1/{product}/views/{view}/reconcile", post(admin::reconcile::post))
        .route("/v1/{product}/probes", post(admin::probes::post))
        .route("/v1/{product}/probes/{run}", get(admin::probes::get))
        .route("/v1/{product}/dead-letters", get(admin::dead_letters::list))
        .route("/v1/{product}/dead-letters/{number}", get(admin::dead_letters::show))
        .route("/v1/{product}/dead-letters/requeue", post(admin::dead_letters::requeue))
        .route("/v1/{product}/dead-letters/discard", post(admin::dead_letters::discard))
        // Declared endpoints: contracts change while the process runs.
        .fallback(read::get)
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(Arc::clone(app));
    stack(app, routes)
}

/// Routes for edges, on the private listener.
pub(crate) fn private(app: &Arc<App>) -> Router {
    let routes = Router::new()
        .route(scope::PATH, get(internal::scope))
        .route(&format!("{EDGE_PLAN_PATH}{{digest}}"), get(internal::edge_plan))
        .route(hot::PATH, post(internal::hot_keys::post))
        .route(cache_update::REFRESH_PATH, post(internal::refresh::post))
        .route(scale::PATH, get(internal::scaling::get))
        .route("/internal/canaries/revoke", post(internal::canaries::revoke))
        .layer(DefaultBodyLimit::max(MAX_PRIVATE_BODY))
        .with_state(Arc::clone(app));
    stack(app, routes)
}

async fn method_not_allowed() -> Refusal {
    // The router adds `Allow`.
    Refusal::MethodNotAllowed { allow: None }
}
