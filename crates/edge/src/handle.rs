//! One request, from top to bottom: sanitise → route → scope → key → cache → respond.

use std::net::IpAddr;
use std::sync::Arc;

use http::header::{
    AUTHORIZATION, CONTENT_LENGTH, HeaderMap, IF_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, RANGE,
};
use http::{Method, Request, Response, request};
use http_body::Body as _;
use hyper::body::Incoming;
use tidegate_core::cache_key::{CacheKey, KeyParts};
use tidegate_core::clock::Timestamp;
use tidegate_core::edge_plan::{Access, CachePlan, RoutePlan};

use crate::body::Body;
use crate::cache::control::RequestControl;
use crate::cache::invalidate::{self, Answered};
use crate::cache::status::{CacheStatus, Forward, Sharing};
use crate::cache::storable::Credentials;
use crate::cache::storage::StoredResponse;
use crate::cache::vary::AuthorizationField;
use crate::cache::{Answer, Staleness};
use crate::deliver::{self, Reader};
use crate::edge::Edge;
use crate::error::RequestError;
use crate::fetch::{self, Fetched, Lookup, Patience, Stale};
use crate::metrics::{Source, metrics};
use crate::refresh;
use crate::route::{Match, Routing};
use crate::scope::Scope;
use crate::target::Target;
use crate::upstream::pool::Content;
use crate::upstream::{Origin, Outbound, headers};

/// Who sends a request, and over what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    pub(crate) address: IpAddr,
    pub(crate) scheme: &'static str,
}

/// A request without its body, past its target.
struct Asked {
    parts: request::Parts,
    target: Target,
    peer: Peer,
}

/// A response, and how it came about.
type Reply = (Response<Body>, Source);

/// Answers a request; every error becomes a response here.
pub(crate) async fn handle(
    edge: Arc<Edge>,
    peer: Peer,
    request: Request<Incoming>,
) -> Response<Body> {
    let uri = request.uri().clone();
    let (response, source) = match answer(&edge, peer, request).await {
        Ok(answered) => answered,
        Err(error) => (error.into_response(uri.path()), Source::Refused),
    };
    metrics().responded(source, response.status());
    response
}

async fn answer(
    edge: &Arc<Edge>,
    peer: Peer,
    request: Request<Incoming>,
) -> Result<Reply, RequestError> {
    let (mut parts, body) = request.into_parts();
    let target = Target::read(&parts, peer.scheme)?;
    // Before anything reads a field: what `Connection` names never reaches the origin, so it must
    // not select a stored response either.
    headers::strip_hop_by_hop(&mut parts.headers);
    headers::strip_internal(&mut parts.headers);
    let asked = Asked { parts, target, peer };
    let routing = edge.routes.load().ok_or(RequestError::NoRouting)?;
    let now = Timestamp::now();
    let (route, captures, origin) =
        match routing.find(asked.target.host_name(), asked.target.path()) {
            Match::Route(route, captures, origin) => (route, captures, origin),
            Match::Unplanned(origin) => {
                let passage = Passage { routing: &routing, origin, forward: asked.forward() };
                return pass(edge, asked, body, passage).await;
            }
            Match::Nothing => return Err(RequestError::NoRoute),
        };
    let query = route.normalise_query(&captures, asked.target.query(), now).ok();
    let (Some(query), true) = (query, asked.is_cacheable(route, &body)) else {
        let passage = Passage { routing: &routing, origin, forward: asked.forward() };
        return pass(edge, asked, body, passage).await;
    };
    let scope = match route.access {
        Access::Scoped => Some(edge.scopes.resolve(&asked.parts.headers, &routing.internal).await?),
        Access::Public | Access::Origin => None,
    };
    let scope_key = scope.as_ref().map_or("", |scope| scope.key.as_str());
    let key = key(route, &asked.target, (asked.target.path(), &query), scope_key);
    look_up(edge, asked, route, (key, query, origin, scope)).await
}

/// Answers from the cache, or through it.
async fn look_up(
    edge: &Arc<Edge>,
    asked: Asked,
    route: &RoutePlan,
    (key, query, origin, scope): (CacheKey, String, Arc<Origin>, Option<Arc<Scope>>),
) -> Result<Reply, RequestError> {
    let Asked { parts, target, peer } = asked;
    let access = route.access;
    let unsettled = access == Access::Origin && parts.headers.contains_key(AUTHORIZATION);
    let lookup = Lookup {
        method: parts.method,
        key,
        control: RequestControl::parse(&parts.headers),
        credentials: if unsettled { Credentials::Unsettled } else { Credentials::Settled },
        authorization: match access {
            Access::Scoped => AuthorizationField::InKey,
            Access::Public | Access::Origin => AuthorizationField::Selects,
        },
        plan: route.cache,
        origin,
        target,
        query,
        headers: parts.headers,
        client: peer.address,
        scope,
        refresh: route.refresh,
    };
    let now = Timestamp::now();
    let reader = Reader { method: &lookup.method, headers: &lookup.headers, now };
    let wants_origin = edge.honours_no_cache(lookup.control);
    let hit = |stored: &StoredResponse| {
        count(edge, &lookup, stored);
        let status = CacheStatus::hit(stored.metadata.ttl_seconds(now));
        deliver::from_memory(edge, reader, stored, status)
    };
    // What is fetched with a credential is likely of no use to others.
    let mut patience = if unsettled { Patience::Leads } else { Patience::Wait };
    let (stale, forward) = match edge.cache.answer(&lookup.key, &lookup.headers, now) {
        Answer::Fresh(stored) if !wants_origin => return Ok((hit(&stored), Source::Hit)),
        Answer::WhileRevalidating(stored) if !wants_origin => {
            let response = hit(&stored);
            let stale = Stale { response: stored, staleness: Staleness::Aged };
            refresh::bring_up_to_date(edge, &lookup, stale);
            return Ok((response, Source::StaleHit));
        }
        Answer::Fresh(response) | Answer::WhileRevalidating(response) => {
            (Some(Stale { response, staleness: Staleness::Aged }), Forward::Request)
        }
        Answer::Validate(response, staleness) => {
            (Some(Stale { response, staleness }), Forward::Stale)
        }
        Answer::Missing(forward) => (None, forward),
        Answer::Unstorable => {
            patience = Patience::Never;
            (None, Forward::UriMiss)
        }
    };
    // RFC 9111 section 5.2.1.7.
    if lookup.control.only_if_cached {
        return Err(RequestError::OnlyIfCached);
    }
    through(edge, &lookup, (stale, forward, patience)).await
}

/// Obtains the response through the cache and delivers it.
async fn through(
    edge: &Edge,
    lookup: &Lookup,
    (stale, forward, patience): (Option<Stale>, Forward, Patience),
) -> Result<Reply, RequestError> {
    let fetched = fetch::obtain(edge, lookup, stale.as_ref(), patience).await?;
    let now = Timestamp::now();
    let reader = Reader { method: &lookup.method, headers: &lookup.headers, now };
    let status = CacheStatus::forwarded(forward);
    match fetched {
        Fetched::Complete { response, origin, storing, sharing } => {
            count(edge, lookup, &response);
            let status = CacheStatus {
                fwd_status: (origin != response.status).then_some(origin),
                storing,
                sharing,
                ttl: Some(response.metadata.ttl_seconds(now)),
                detail: stale.as_ref().and_then(|stale| stale.staleness.detail()),
                ..status
            };
            let source = match (sharing, origin == response.status) {
                (Sharing::Collapsed, _) => Source::Collapsed,
                (Sharing::Own, true) => Source::Miss,
                (Sharing::Own, false) => Source::Validated,
            };
            Ok((deliver::from_memory(edge, reader, &response, status), source))
        }
        Fetched::Covered { response, origin } => {
            let ttl = Some(response.metadata.ttl_seconds(now));
            let detail = Some("stale-if-error");
            let status = CacheStatus { fwd_status: origin, ttl, detail, ..status };
            Ok((deliver::from_memory(edge, reader, &response, status), Source::StaleOnError))
        }
        Fetched::Passing { mut response, detail } => {
            let status = CacheStatus { detail, ..status };
            status.append_to(response.headers_mut(), &edge.settings.node);
            Ok((response, Source::Passed))
        }
    }
}

/// Counts a request for a stored response, where that is of interest.
fn count(edge: &Edge, lookup: &Lookup, stored: &StoredResponse) {
    if let Some(hot) = &edge.hot {
        hot.count(&lookup.key, lookup.scope.as_ref(), stored);
    }
}

/// Where a request that passes the cache by goes, and why.
struct Passage<'a> {
    routing: &'a Routing,
    origin: Arc<Origin>,
    forward: Forward,
}

/// Passes a request by the cache, streaming both ways.
async fn pass(
    edge: &Edge,
    asked: Asked,
    body: Incoming,
    passage: Passage<'_>,
) -> Result<Reply, RequestError> {
    let Asked { parts, target, peer } = asked;
    let content = content(edge, &parts.headers, body)?;
    let mut fields = parts.headers;
    headers::for_origin(&mut fields, &target, peer.address, &edge.settings.node);
    if passage.origin.release().is_some() {
        let scope = edge.scopes.recall(&fields, Timestamp::now());
        let subject = scope.as_ref().map(|scope| scope.subject.as_str());
        headers::stamp(&mut fields, passage.origin.stamp(subject, peer.address));
    }
    let outbound = Outbound {
        method: parts.method.clone(),
        path_and_query: fetch::path_and_query(target.path(), target.query())?,
        headers: fields,
        content,
    };
    let response = edge.upstreams.forward(&passage.origin, outbound).await?;
    invalidate(edge, passage.routing, &target, (&parts.method, &response));
    let mut response = deliver::as_it_comes(edge, response);
    let status = CacheStatus::forwarded(passage.forward);
    status.append_to(response.headers_mut(), &edge.settings.node);
    Ok((response, Source::Passed))
}

/// Prepares a request's body for streaming.
fn content(edge: &Edge, headers: &HeaderMap, body: Incoming) -> Result<Content, RequestError> {
    if body.is_end_stream() {
        return Ok(Content::None);
    }
    let limit = edge.limits.request_body_bytes;
    // Refused at once where the length is announced, and while streaming where it is not.
    let announced = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length: u64| length > limit) {
        return Err(RequestError::BodyTooLarge);
    }
    let (body, upload) = Body::upload(body, edge.limits.body_idle, limit);
    Ok(Content::Streamed(body, upload))
}

/// RFC 9111 section 4.4. Stored responses of scoped routes are many for one URI, one for each
/// scope; their origin purges them by tag.
fn invalidate(
    edge: &Edge,
    routing: &Routing,
    target: &Target,
    (method, response): (&Method, &Response<Incoming>),
) {
    let answered = Answered {
        method,
        scheme: target.scheme,
        host: &target.host,
        path: target.path(),
        query: target.query(),
    };
    for named in invalidate::targets(answered, response.status(), response.headers()) {
        let found = routing.find(target.host_name(), &named.path);
        let Match::Route(route, captures, _) = found else { continue };
        let query = route.normalise_query(&captures, &named.query, Timestamp::now());
        if let Ok(query) = query {
            edge.cache.invalidate(&key(route, target, (&named.path, &query), ""));
        }
    }
}

fn key(
    route: &RoutePlan,
    target: &Target,
    (path, query): (&str, &str),
    scope_key: &str,
) -> CacheKey {
    CacheKey::new(&KeyParts {
        scheme: target.scheme,
        host: &target.host,
        path,
        query,
        scope_key,
        epoch: &route.epoch,
    })
}

// === impl Asked ===

impl Asked {
    /// Says whether the cache has anything to do with the request.
    fn is_cacheable(&self, route: &RoutePlan, body: &Incoming) -> bool {
        let Self { parts, .. } = self;
        // Parts of a response, and conditions that only the origin can check.
        let for_origin = [RANGE, IF_RANGE, IF_MATCH, IF_UNMODIFIED_SINCE];
        is_read(&parts.method)
            && route.cache != CachePlan::Off
            && body.is_end_stream()
            && !for_origin.iter().any(|name| parts.headers.contains_key(name))
    }

    /// Returns why it passes the cache by, if it does.
    fn forward(&self) -> Forward {
        if is_read(&self.parts.method) { Forward::Bypass } else { Forward::Method }
    }
}

fn is_read(method: &Method) -> bool {
    method == Method::GET || method == Method::HEAD
}
