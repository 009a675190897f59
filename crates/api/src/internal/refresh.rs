//! `POST /internal/refresh`: looks at cached responses anew, and tells the edges what was found.
//!
//! A worker asks; the edges hear it by broadcast. Only versions are looked at: no view is read and
//! no body travels.

use std::sync::Arc;

use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::response::{Json, Response};
use futures_util::future::join_all;
use tidegate_core::cache_update::{Finding, MAX_ORDERS, RefreshOrder, RefreshOutcome, Refreshed};
use tidegate_core::clock::Timestamp;
use tidegate_core::notice::Notice;
use tidegate_store::{Looked, RespondError, look};

use crate::admin::{body, document};
use crate::app::App;
use crate::error::Refusal;

/// Answers orders; after the answer the broadcast is on its way.
pub(crate) async fn post(
    State(app): State<Arc<App>>,
    orders: Result<Json<Vec<RefreshOrder>>, JsonRejection>,
) -> Result<Response, Refusal> {
    let orders = body(orders)?;
    if orders.len() > MAX_ORDERS {
        return Err(Refusal::MalformedBody(format!("at most {MAX_ORDERS} orders at a time")));
    }
    let now = Timestamp::now();
    let looked = join_all(orders.iter().map(|order| fulfil(&app, order, now))).await;
    let mut notices = Vec::with_capacity(looked.len());
    let outcomes: Vec<RefreshOutcome> = looked
        .into_iter()
        .map(|(outcome, notice)| {
            notices.extend(notice);
            outcome
        })
        .collect();
    if !notices.is_empty() {
        app.queue.broadcast(&notices).await.map_err(Refusal::Queue)?;
    }
    Ok(document(outcomes))
}

async fn fulfil(
    app: &App,
    order: &RefreshOrder,
    now: Timestamp,
) -> (RefreshOutcome, Option<Notice>) {
    let name = order.resource.path.split('/').nth(2).unwrap_or_default();
    let product = app.catalog.load().product(name).map(Arc::clone);
    let Some(product) = product else { return (RefreshOutcome::Gone, None) };
    let looked = look(
        app.store.as_ref(),
        &product.stored,
        &order.resource,
        &order.reader,
        (&order.entity_tag, now),
    );
    let (outcome, seq, finding) = match looked.await {
        Ok(Looked::Unchanged { seq, fields }) => {
            let entity_tag = order.entity_tag.clone();
            (RefreshOutcome::Unchanged, seq, Finding::Unchanged { entity_tag, fields })
        }
        Ok(Looked::Changed { seq }) => (RefreshOutcome::Changed, seq, Finding::Changed),
        Err(RespondError::Store(error)) => {
            tracing::warn!(error = %error, "Cached response could not be looked at.");
            return (RefreshOutcome::Failed, None);
        }
        Err(error) => {
            tracing::debug!(error = %error, url.path = order.resource.path, "Order was refused.");
            return (RefreshOutcome::Gone, None);
        }
    };
    let refreshed = Refreshed {
        resource: order.resource.clone(),
        origins: vec![order.origin.clone()],
        seq,
        looked_at: now,
        finding,
    };
    (outcome, Some(Notice::Refreshed(Box::new(refreshed))))
}
