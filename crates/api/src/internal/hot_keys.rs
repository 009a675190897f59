//! `POST /internal/hot-keys`: an edge tells what it served most.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::response::Json;
use http::StatusCode;
use tidegate_core::clock::Timestamp;
use tidegate_core::hot::{HotKey, HotReport, MAX_KEYS};

use crate::admin::body;
use crate::app::App;
use crate::error::Refusal;

/// Keeps a report. Keys of products that are not served are left out: they would only take room.
pub(crate) async fn post(
    State(app): State<Arc<App>>,
    report: Result<Json<HotReport>, JsonRejection>,
) -> Result<StatusCode, Refusal> {
    let HotReport { node, keys } = body(report)?;
    let mut by_product: BTreeMap<String, Vec<HotKey>> = BTreeMap::new();
    for key in keys.into_iter().take(MAX_KEYS) {
        let Some(name) = key.resource.path.split('/').nth(2) else { continue };
        if app.catalog.load().product(name).is_some() {
            by_product.entry(name.to_owned()).or_default().push(key);
        }
    }
    let now = Timestamp::now();
    for (product, keys) in by_product {
        app.store.record_hot(&product, &HotReport { node: node.clone(), keys }, now).await?;
    }
    Ok(StatusCode::NO_CONTENT)
}
