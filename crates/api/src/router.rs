//! Every route of the api.

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};
use tidegate_core::routing::EDGE_PLAN_PATH;
use tidegate_core::scope;

use crate::app::App;
use crate::error::Refusal;
use crate::stack::stack;
use crate::{groups, ingest, internal, jobs, read};

/// Routes for clients, by way of the edge.
pub(crate) fn public(app: &Arc<App>) -> Router {
    let routes = Router::new()
        .route("/v1/{product}/datasets/{dataset}/rows", post(ingest::post))
        .route("/v1/{product}/views/{view}/groups", get(groups::get))
        .route("/v1/jobs/{id}", get(jobs::get))
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
        .with_state(Arc::clone(app));
    stack(app, routes)
}

async fn method_not_allowed() -> Refusal {
    // The router adds `Allow`.
    Refusal::MethodNotAllowed { allow: None }
}
