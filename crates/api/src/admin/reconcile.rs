//! `POST /v1/{product}/views/{view}/reconcile`: compares a view with its recomputation.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::Response;
use http::{HeaderMap, Uri};
use serde_json::json;
use tidegate_core::job::{Lane, RECONCILE};
use uuid::Uuid;

use super::{Admin, Work};
use crate::app::App;
use crate::error::Refusal;
use crate::stack::routed;

/// Puts the job; `?repair=false` only reports.
pub(crate) async fn post(
    State(app): State<Arc<App>>,
    path: Result<Path<(String, String)>, PathRejection>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    routed(put(&app, path.ok(), &uri, &headers).await, &app.series.admin)
}

async fn put(
    app: &App,
    path: Option<Path<(String, String)>>,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<Response, Refusal> {
    let Path((product, view)) =
        path.ok_or_else(|| Refusal::NotFound("the path is not UTF-8".to_owned()))?;
    let admin = Admin::enter(app, &product, headers).await?;
    let views = &admin.product.contract().views;
    if !views.iter().any(|known| known.name == view) {
        let known: Vec<&str> = views.iter().map(|view| view.name.as_str()).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        return Err(Refusal::NotFound(format!("there is no view '{view}'; known are {known}")));
    }
    let repair = match uri.query().unwrap_or_default() {
        "" | "repair=true" => true,
        "repair=false" => false,
        _ => {
            let text = "the query may only say repair=true or repair=false".to_owned();
            return Err(Refusal::MalformedBody(text));
        }
    };
    let body = json!({ "view": view, "repair": repair });
    admin.put(app, Work { id: Uuid::now_v7(), kind: RECONCILE, lane: Lane::Long, body }).await
}
