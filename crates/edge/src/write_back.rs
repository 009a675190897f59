//! Takes in what workers rendered for the edges, and what they found out about stored responses: by
//! the same decisions as what this edge fetches itself, and never as a step back.

use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use http::header::{AGE, DATE, ETAG, HeaderMap, HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use tidegate_core::cache_key::{CacheKey, KeyParts};
use tidegate_core::cache_update::{
    CacheUpdate, Finding, MAX_BODY_BYTES, Origin, Refreshed, Resource,
};
use tidegate_core::clock::Timestamp;
use tidegate_core::edge_plan::{Access, CachePlan};
use tidegate_core::job::Arm;
use tidegate_core::seq::{self, DataSeq};

use crate::cache::assess::{Confirmation, Terms, Times, Why, date_value};
use crate::cache::control::RequestControl;
use crate::cache::freshness::Exchange;
use crate::cache::storable::Credentials;
use crate::cache::storage::{Put, StoredResponse};
use crate::cache::tags::Began;
use crate::cache::vary::AuthorizationField;
use crate::edge::Edge;
use crate::metrics::metrics;
use crate::target::{normalise_host, without_port};
use crate::upstream::headers;

/// Most names one response is written back under; further ones are left out.
const MAX_ORIGINS: usize = 16;

/// Most fields of a response that is written back.
const MAX_FIELDS: usize = 64;

/// What became of something a worker said, under one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is stored.
    Stored,
    /// What is stored is validated before it is reused.
    Marked,
    /// The deployment takes no responses from workers.
    NoArrow,
    /// A canary rendered it: stable's responses are not a canary's to replace.
    Canary,
    /// The present plan has no such response.
    Unplanned,
    /// It can't be read.
    Malformed,
    /// Its body is longer than what is written back or stored.
    TooLarge,
    /// No cache may store it.
    NotStorable,
    /// It was read before a purge of one of its tags, or that can't be excluded.
    Outdated,
    /// What is stored was read later, or nothing is.
    Behind,
}

/// Where a response belongs, and under which terms.
struct Place {
    key: CacheKey,
    authorization: AuthorizationField,
    plan: CachePlan,
}

/// Stores a response that a worker rendered.
pub(crate) fn update(edge: &Edge, update: CacheUpdate, now: Timestamp) {
    let CacheUpdate { resource, origins, seq, fields, body, rendered_at, arm, .. } = update;
    let rendered_at = rendered_at.min(now);
    let times = times(rendered_at, now);
    let prepared = admit(edge, arm, &body).and_then(|()| head(edge, &fields, &seq, rendered_at));
    let body = Bytes::from(body);
    for origin in origins.iter().take(MAX_ORIGINS) {
        let outcome = prepared.as_ref().map_err(|refusal| *refusal).and_then(|head| {
            let place = place(edge, &resource, origin, now)?;
            answered(edge, &place.key);
            store(edge, &place, (head, body.clone()), times)
        });
        metrics().workers.written_back("update", outcome.unwrap_or_else(|refusal| refusal));
    }
}

/// Acts on what a worker found when it looked at a response.
pub(crate) fn refreshed(edge: &Edge, refreshed: &Refreshed, now: Timestamp) {
    let Refreshed { resource, origins, seq, looked_at, finding } = refreshed;
    let looked_at = (*looked_at).min(now);
    for origin in origins.iter().take(MAX_ORIGINS) {
        let place = place(edge, resource, origin, now);
        if let Ok(place) = &place {
            answered(edge, &place.key);
        }
        let (kind, outcome) = match finding {
            Finding::Unchanged { entity_tag, fields } => {
                let outcome = place.and_then(|place| {
                    let mut head = head(edge, fields, seq, looked_at)?;
                    let entity_tag = HeaderValue::from_str(entity_tag);
                    head.insert(ETAG, entity_tag.map_err(|_| Outcome::Malformed)?);
                    freshen(edge, &place, &head, times(looked_at, now))
                });
                ("unchanged", outcome)
            }
            Finding::Changed => ("changed", place.and_then(|place| mark(edge, &place, seq))),
        };
        metrics().workers.written_back(kind, outcome.unwrap_or_else(|refusal| refusal));
    }
}

/// An order for this response, if there is one, is done with.
fn answered(edge: &Edge, key: &CacheKey) {
    if let Some(orders) = &edge.orders {
        orders.answered(key);
    }
}

fn admit(edge: &Edge, arm: Arm, body: &str) -> Result<(), Outcome> {
    if !edge.takes_write_backs {
        return Err(Outcome::NoArrow);
    }
    if arm == Arm::Canary {
        return Err(Outcome::Canary);
    }
    match body.len() > MAX_BODY_BYTES.min(edge.settings.max_object_bytes) {
        true => Err(Outcome::TooLarge),
        false => Ok(()),
    }
}

/// Freshness counts from when it was rendered: a message that comes late brings an older response.
fn times(read_at: Timestamp, now: Timestamp) -> Times {
    (Began::Rendered(read_at), Exchange { request_time: read_at, response_time: now })
}

/// Builds the fields as if they had come from the api.
fn head(
    edge: &Edge,
    fields: &[(String, String)],
    at: &DataSeq,
    read_at: Timestamp,
) -> Result<HeaderMap, Outcome> {
    if fields.len() > MAX_FIELDS {
        return Err(Outcome::Malformed);
    }
    let mut head = HeaderMap::with_capacity(fields.len() + 3);
    for (name, value) in fields {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| Outcome::Malformed)?;
        let value = HeaderValue::from_str(value).map_err(|_| Outcome::Malformed)?;
        head.append(name, value);
    }
    let at = HeaderValue::from_str(&at.to_string()).map_err(|_| Outcome::Malformed)?;
    head.insert(HeaderName::from_static(seq::HEADER), at);
    head.insert(DATE, date_value(read_at));
    // What it is now follows from the date.
    head.remove(AGE);
    headers::from_origin(&mut head, &edge.settings.node);
    Ok(head)
}

/// Makes the key that a request for this response would have.
fn place(
    edge: &Edge,
    resource: &Resource,
    origin: &Origin,
    now: Timestamp,
) -> Result<Place, Outcome> {
    let scheme = match origin.scheme.as_str() {
        scheme @ ("https" | "http") => scheme,
        _ => return Err(Outcome::Malformed),
    };
    let host = normalise_host(&origin.host, scheme).filter(|host| *host == origin.host);
    let path = PathAndQuery::try_from(&*resource.path).ok();
    let path = path.filter(|path| path.as_str() == resource.path && path.query().is_none());
    let (Some(host), Some(path)) = (host, path) else { return Err(Outcome::Malformed) };
    let routing = edge.routes.load().ok_or(Outcome::Unplanned)?;
    let found = routing.planned(without_port(&host), path.path());
    let (route, captures) = found.ok_or(Outcome::Unplanned)?;
    let authorization = match (route.access, resource.scope_key.is_empty()) {
        (Access::Public, true) => AuthorizationField::Selects,
        (Access::Scoped, false) => AuthorizationField::InKey,
        _ => return Err(Outcome::Unplanned),
    };
    if route.epoch != resource.epoch || route.cache == CachePlan::Off {
        return Err(Outcome::Unplanned);
    }
    let query = route.normalise_query(&captures, &resource.query, now);
    let query = query.map_err(|_| Outcome::Unplanned)?;
    let parts = KeyParts { query: &query, ..resource.key_parts(origin) };
    let key = CacheKey::new(&parts);
    // Parts that run into each other would name another response.
    if key.parts().is_none_or(|read| read != parts) {
        return Err(Outcome::Malformed);
    }
    Ok(Place { key, authorization, plan: route.cache })
}

fn store(
    edge: &Edge,
    place: &Place,
    (head, body): (&HeaderMap, Bytes),
    times: Times,
) -> Result<Outcome, Outcome> {
    let status = StatusCode::OK;
    let assessed = edge.cache.assess(place.terms(&HeaderMap::new()), (status, head), times)?;
    Ok(put(edge, place, &assessed.into_response(status, body)))
}

/// As a 304 would.
fn freshen(edge: &Edge, place: &Place, head: &HeaderMap, times: Times) -> Result<Outcome, Outcome> {
    let variants = edge.cache.storage.variants(&place.key);
    let stored = variants.iter().find(|stored| stored.selecting.is_plain());
    let stored = stored.ok_or(Outcome::Behind)?;
    match edge.cache.confirm(place.terms(&HeaderMap::new()), stored, head, times) {
        Confirmation::Fresh(response) => Ok(put(edge, place, &response)),
        Confirmation::Unconfirmed => Err(Outcome::Behind),
        Confirmation::Passing(_, why) => Err(why.into()),
    }
}

fn put(edge: &Edge, place: &Place, response: &Arc<StoredResponse>) -> Outcome {
    match edge.cache.storage.write_back(&place.key, response) {
        Put::Stored => Outcome::Stored,
        Put::Kept(_) => Outcome::Behind,
    }
}

/// Has what is stored validated before it is reused, in whichever format it is.
fn mark(edge: &Edge, place: &Place, at: &DataSeq) -> Result<Outcome, Outcome> {
    // A fetch that lands meanwhile sees the mark, or is marked.
    let (storage, tags) = (&edge.cache.storage, &edge.cache.tags);
    let marked = storage.mark_variants(&place.key, |stored| tags.doubt(&stored.links, at));
    if marked > 0 { Ok(Outcome::Marked) } else { Err(Outcome::Behind) }
}

// === impl Outcome ===

impl Outcome {
    /// Returns the word for it in metrics.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Marked => "marked",
            Self::NoArrow => "no_arrow",
            Self::Canary => "canary",
            Self::Unplanned => "unplanned",
            Self::Malformed => "malformed",
            Self::TooLarge => "too_large",
            Self::NotStorable => "not_storable",
            Self::Outdated => "outdated",
            Self::Behind => "behind",
        }
    }
}

impl From<Why> for Outcome {
    fn from(why: Why) -> Self {
        match why {
            Why::NotStorable(_) => Self::NotStorable,
            Why::Outdated => Self::Outdated,
        }
    }
}

// === impl Place ===

impl Place {
    fn terms<'a>(&self, request: &'a HeaderMap) -> Terms<'a> {
        Terms {
            request,
            control: RequestControl::default(),
            credentials: Credentials::Settled,
            authorization: self.authorization,
            plan: self.plan,
        }
    }
}
