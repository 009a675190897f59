//! `GET /v1/{product}/views/{view}/groups`: all groups of a view, for checks and tools.

use std::sync::{Arc, LazyLock};

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, LINK};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue};
use tidegate_core::clock::Timestamp;
use tidegate_core::param::{ParamKind, ParamPlan, ParamValue, bind};
use tidegate_core::seq;
use tidegate_product::read::{groups_after, groups_cursor};
use tidegate_product::render::groups_ndjson;
use tidegate_store::GroupsPage;
use tokio::time::Instant;

use crate::app::App;
use crate::authenticate::Principal;
use crate::authorize;
use crate::catalog::Product;
use crate::error::Refusal;
use crate::link;
use crate::stack::routed;

/// Parameters of the listing, in the order in which [`page`] takes their values.
static PARAMS: LazyLock<[ParamPlan; 2]> = LazyLock::new(|| {
    let param = |name: &str, kind, default: Option<&str>| ParamPlan {
        name: name.to_owned(),
        kind,
        required: false,
        default: default.map(str::to_owned),
    };
    [
        param("limit", ParamKind::Int { min: 1, max: 10_000 }, Some("1000")),
        param("cursor", ParamKind::String { max_len: 16_384 }, None),
    ]
});

/// Answers one page of a view's groups.
pub(crate) async fn get(
    State(app): State<Arc<App>>,
    path: Result<Path<(String, String)>, PathRejection>,
    request: Request,
) -> Response {
    let (request, _) = request.into_parts();
    routed(list(&app, path.ok(), &request).await, &app.series.groups)
}

async fn list(
    app: &App,
    path: Option<Path<(String, String)>>,
    request: &Parts,
) -> Result<Response, Refusal> {
    let Path((product, view)) =
        path.ok_or_else(|| Refusal::NotFound("the path is not UTF-8".to_owned()))?;
    let (principal, product, view) = find(app, &request.headers, &product, &view).await?;
    let query = request.uri.query().unwrap_or_default();
    let values = bind(&*PARAMS, &[], query, Timestamp::now())?;
    let page = page(&principal, &product, view, &values)?;
    let limit = page.limit;

    let found = app.store.groups(page).await?;
    let view = &product.contract().views[view];
    let mut response = groups_ndjson(product.contract(), view, &found.table).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let at = HeaderValue::try_from(found.versions.seq.to_string());
    let at = at.expect("a data sequence must be a field value: its parts are names");
    headers.insert(HeaderName::from_static(seq::HEADER), at);
    // A full page may be the last one; then the next is empty.
    if found.table.rows().len() == limit
        && let Some(cursor) = groups_cursor(view, &found.table)
    {
        headers.insert(LINK, link::next_page(&request.uri, &cursor));
    }
    Ok(response)
}

/// Finds the view, telling only those who may read what there is.
async fn find(
    app: &App,
    headers: &HeaderMap,
    product: &str,
    view: &str,
) -> Result<(Arc<Principal>, Arc<Product>, usize), Refusal> {
    let principal = app.credentials.authenticate(headers, Instant::now()).await?;
    authorize::check(&principal, authorize::READ, product)?;
    let product = app.catalog.load().find(product, &principal)?;
    let Some((position, _)) = product.contract().view(view) else {
        let known: Vec<_> = product.contract().views.iter().map(|known| &*known.name).collect();
        return Err(Refusal::NotFound(format!(
            "product '{}' has no view '{view}'; its views are {}",
            product.contract().name,
            known.join(", ")
        )));
    };
    Ok((principal, product, position))
}

fn page(
    principal: &Principal,
    product: &Product,
    view: usize,
    values: &[Option<ParamValue>],
) -> Result<GroupsPage, Refusal> {
    let limit = match values.first() {
        Some(Some(ParamValue::Int(limit))) => usize::try_from(*limit).unwrap_or(1),
        _ => 1,
    };
    let after = match values.get(1) {
        Some(Some(ParamValue::Text(cursor))) => {
            Some(groups_after(product.contract(), &product.contract().views[view], cursor)?)
        }
        _ => None,
    };
    Ok(GroupsPage {
        tenant: principal.tenant.clone(),
        contract: Arc::clone(&product.stored),
        view,
        after,
        limit,
    })
}
