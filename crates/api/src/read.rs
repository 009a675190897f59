//! `GET` of a declared endpoint.

mod answer;
mod conditional;
mod negotiate;
mod unknown;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Uri};
use tidegate_core::clock::Timestamp;
use tidegate_core::param::{ParamValue, bind};
use tidegate_product::contract::{Endpoint, Format};
use tidegate_product::read::{ReadPlan, finish, plan, tags};
use tidegate_product::render;
use tidegate_product::response::{Selection, entity_tag};
use tidegate_store::{PUBLIC_TENANT, ReadRequest, Versions};
use tokio::time::Instant;

use crate::app::App;

use crate::authorize;
use crate::catalog::{Product, Route};
use crate::error::Refusal;
use crate::link;
use crate::read::answer::{Body, Fields, Timing};
use crate::read::conditional::{is_conditional, is_not_modified};
use crate::stack::routed;

/// A read of one endpoint by one reader, with everything that selects its answer.
struct Read<'a> {
    app: &'a App,
    uri: &'a Uri,
    product: &'a Product,
    route: &'a Route,
    endpoint: &'a Endpoint,
    reader: Reader,
    params: Vec<Option<ParamValue>>,
    format: Format,
    tags: Vec<String>,
    now: Timestamp,
}

/// Whose data is read, and which answers the reader shares with others.
struct Reader {
    tenant: String,
    /// Empty for what anyone may read.
    scope_key: String,
}

/// Answers a request that none of the router's own routes took.
pub(crate) async fn get(State(app): State<Arc<App>>, request: Request) -> Response {
    let (request, _) = request.into_parts();
    let path = request.uri.path();
    let product = unknown::product_of(path).and_then(|name| {
        // Cloned, so that a reload does not wait for slow reads.
        app.catalog.load().product(name).map(Arc::clone)
    });
    let found = product.as_ref().and_then(|product| product.route(path));
    match (&product, found) {
        (Some(product), Some((route, captures))) => {
            let route = Arc::clone(route);
            routed(serve(&app, &request, product, &route, &captures).await, &route.series)
        }
        _ => {
            let refused = unknown::refuse(&app, &request.headers, path, product.as_deref());
            refused.await.into_response()
        }
    }
}

async fn serve(
    app: &App,
    request: &Parts,
    product: &Product,
    route: &Route,
    captures: &[(String, String)],
) -> Result<Response, Refusal> {
    if !matches!(request.method, Method::GET | Method::HEAD) {
        return Err(Refusal::MethodNotAllowed { allow: Some("GET, HEAD") });
    }
    let (headers, now) = (&request.headers, Timestamp::now());
    let endpoint = product.endpoint(route);
    let reader = Reader::of(app, headers, endpoint).await?;
    let format = negotiate::negotiate(headers, &endpoint.formats)?;
    let query = request.uri.query().unwrap_or_default();
    let params = bind(&endpoint.params, captures, query, now)?;
    let plan = plan(product.contract(), endpoint, &params).map_err(Refusal::Plan)?;
    let tags = tags(product.contract(), endpoint, &params, &reader.tenant);
    let uri = &request.uri;
    let read = Read { app, uri, product, route, endpoint, reader, params, format, tags, now };

    if is_conditional(headers) {
        let started = Instant::now();
        let versions = read.versions().await?;
        let fields = read.fields(&versions);
        if is_not_modified(headers, &fields.entity_tag) {
            return Ok(answer::not_modified(&fields, Timing::of_store(started.elapsed())));
        }
    }
    read.answer(plan).await
}

// === impl Read ===

impl Read<'_> {
    /// Looks at the versions only: no view is read for an answer that the client has.
    async fn versions(&self) -> Result<Versions, Refusal> {
        let product = &self.product.contract().name;
        Ok(self.app.store.versions(&self.reader.tenant, product, &self.tags).await?)
    }

    async fn answer(&self, plan: ReadPlan) -> Result<Response, Refusal> {
        let _permit = self.route.permits.try_acquire().map_err(|_| Refusal::EndpointBusy)?;
        let started = Instant::now();
        let request = ReadRequest {
            tenant: self.reader.tenant.clone(),
            contract: Arc::clone(&self.product.stored),
            plan: plan.clone(),
            tags: self.tags.clone(),
            deadline: self.now.after(self.endpoint.timeout),
        };
        let read = self.app.store.read(request);
        let found = tokio::time::timeout(self.endpoint.timeout, read)
            .await
            .map_err(|_| Refusal::Timeout)??;
        let read_for = started.elapsed();
        let contract = self.product.contract();
        let finished = finish(contract, self.endpoint, &plan, found.table)?;
        let body = Body {
            bytes: render::body(contract, self.endpoint, self.format, &finished),
            format: self.format,
            next: finished.next.map(|cursor| link::next_page(self.uri, &cursor)),
        };
        let timing = Timing { store: read_for, render: Some(started.elapsed() - read_for) };
        Ok(answer::whole(&self.fields(&found.versions), body, timing))
    }

    fn fields<'a>(&'a self, versions: &'a Versions) -> Fields<'a> {
        let selection = Selection {
            incarnation: &versions.seq.space.incarnation,
            scope_key: &self.reader.scope_key,
            format: self.format,
            params: &self.params,
        };
        Fields {
            entity_tag: HeaderValue::try_from(entity_tag(
                &self.route.shape,
                &selection,
                versions.newest,
            ))
            .expect("an entity tag must be ASCII: its parts are"),
            route: self.route,
            tags: &self.tags,
            seq: &versions.seq,
            freshness: versions.applied_at.map(|applied_at| self.now.since(applied_at)),
        }
    }
}

// === impl Reader ===

impl Reader {
    async fn of(app: &App, headers: &HeaderMap, endpoint: &Endpoint) -> Result<Self, Refusal> {
        let Some(needed) = &endpoint.scope else {
            // A credential makes no difference here: the answer is the same for everyone.
            return Ok(Self { tenant: PUBLIC_TENANT.to_owned(), scope_key: String::new() });
        };
        let principal = app.credentials.authenticate(headers, Instant::now()).await?;
        authorize::check_scope(&principal, needed)?;
        Ok(Self { tenant: principal.tenant.clone(), scope_key: principal.scope_key.clone() })
    }
}
