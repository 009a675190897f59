//! An endpoint's answer without a client: what a worker writes back, and what the api finds when a
//! cached response is to be looked at anew.

use std::sync::Arc;

use tidegate_core::cache_update::{MAX_BODY_BYTES, Reader, Resource};
use tidegate_core::clock::Timestamp;
use tidegate_core::param::{ParamError, bind};
use tidegate_core::path::PathTemplate;
use tidegate_core::scope::{grants, scope_key};
use tidegate_core::seq::{self, DataSeq};
use tidegate_core::tag;
use tidegate_product::contract::{Contract, Endpoint, Format};
use tidegate_product::error::FinishError;
use tidegate_product::read::{ReadPlan, finish, plan, tags};
use tidegate_product::render;
use tidegate_product::response::{Selection, cache_control, content_type, entity_tag, shape, vary};

use crate::{ReadRequest, Store, StoreError, StoredContract, Versions};

/// The tenant of those who send no credential to a public endpoint.
pub const PUBLIC_TENANT: &str = "default";

/// A complete answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// The snapshot it was read from.
    pub seq: DataSeq,
    /// Its `ETag`.
    pub entity_tag: String,
    /// Fields as a client gets them, `ETag` among them.
    pub fields: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

/// What a look at an answer that someone has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Looked {
    /// It is still right: as a 304 with these fields.
    Unchanged {
        /// The snapshot that was looked at.
        seq: DataSeq,
        /// Fields of the 304.
        fields: Vec<(String, String)>,
    },
    /// Another answer is right now.
    Changed {
        /// The snapshot that was looked at.
        seq: DataSeq,
    },
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum RespondError {
    /// The contract has no such endpoint, or its answers have another shape now.
    #[error("the contract no longer answers this")]
    Gone,
    /// The scope key is not that of the reader, or the reader may not read this.
    #[error("the reader may not read this")]
    Forbidden,
    /// Answers of this endpoint are not for caches, or come in several forms.
    #[error("answers of this endpoint are not written back")]
    NotShared,
    /// The parameters don't make an answer.
    #[error("the parameters are refused: {0}")]
    Param(#[from] ParamError),
    /// The answer is too long or overflows.
    #[error(transparent)]
    Finish(#[from] FinishError),
    /// The body is longer than what is written back.
    #[error("the body has {0} bytes")]
    TooLarge(usize),
    /// The store failed.
    #[error("the store failed")]
    Store(#[from] StoreError),
}

/// A read that was checked and planned.
struct Planned<'a> {
    endpoint: &'a Endpoint,
    format: Format,
    tenant: String,
    scope_key: &'a str,
    params: Vec<Option<tidegate_core::param::ParamValue>>,
    plan: ReadPlan,
    tags: Vec<String>,
}

/// Renders the answer to a request that a cache key describes.
///
/// # Errors
/// There is no such answer for this reader, or the store failed.
pub async fn respond(
    store: &dyn Store,
    stored: &Arc<StoredContract>,
    resource: &Resource,
    reader: &Reader,
    now: Timestamp,
) -> Result<Rendered, RespondError> {
    let planned = Planned::of(store, &stored.contract, resource, reader, now)?;
    let found = store
        .read(ReadRequest {
            tenant: planned.tenant.clone(),
            contract: Arc::clone(stored),
            plan: planned.plan.clone(),
            tags: planned.tags.clone(),
            deadline: now.after(planned.endpoint.timeout),
        })
        .await?;
    let answer = finish(&stored.contract, planned.endpoint, &planned.plan, found.table)?;
    if answer.next.is_some() {
        // Its `Link` names the request that was made; nobody made one.
        return Err(RespondError::NotShared);
    }
    let body = render::body(&stored.contract, planned.endpoint, planned.format, &answer);
    if body.len() > MAX_BODY_BYTES {
        return Err(RespondError::TooLarge(body.len()));
    }
    let body = String::from_utf8(body)
        .map_err(|_| StoreError::Corrupt { what: "text", reason: "it is not UTF-8".to_owned() })?;
    let mut fields = planned.fields(&found.versions, now);
    fields.push(("content-type".to_owned(), content_type(planned.format).to_owned()));
    let entity_tag = planned.entity_tag(&found.versions);
    Ok(Rendered { seq: found.versions.seq, entity_tag, fields, body })
}

/// Looks whether an answer that a cache holds is still right, by versions alone.
///
/// # Errors
/// As for [`respond`].
pub async fn look(
    store: &dyn Store,
    stored: &Arc<StoredContract>,
    resource: &Resource,
    reader: &Reader,
    (held, now): (&str, Timestamp),
) -> Result<Looked, RespondError> {
    let planned = Planned::of(store, &stored.contract, resource, reader, now)?;
    let versions = store.versions(&planned.tenant, &stored.contract.name, &planned.tags).await?;
    let opaque = |tag: &str| tag.strip_prefix("W/").unwrap_or(tag).to_owned();
    if opaque(held) != opaque(&planned.entity_tag(&versions)) {
        return Ok(Looked::Changed { seq: versions.seq });
    }
    let fields = planned.fields(&versions, now);
    Ok(Looked::Unchanged { seq: versions.seq, fields })
}

// === impl Planned ===

impl<'a> Planned<'a> {
    fn of(
        store: &dyn Store,
        contract: &'a Contract,
        resource: &'a Resource,
        reader: &Reader,
        now: Timestamp,
    ) -> Result<Self, RespondError> {
        let (endpoint, captures) =
            endpoint_at(contract, &resource.path).ok_or(RespondError::Gone)?;
        if endpoint.hash != resource.epoch {
            return Err(RespondError::Gone);
        }
        let &[format] = endpoint.formats.as_slice() else { return Err(RespondError::NotShared) };
        if endpoint.cache.ttl_s == 0 {
            return Err(RespondError::NotShared);
        }
        let tenant = tenant(store, endpoint, resource, reader)?;
        let params = bind(&endpoint.params, &captures, &resource.query, now)?;
        let plan = plan(contract, endpoint, &params)?;
        let tags = tags(contract, endpoint, &params, &tenant);
        let scope_key = &resource.scope_key;
        Ok(Self { endpoint, format, tenant, scope_key, params, plan, tags })
    }

    fn entity_tag(&self, versions: &Versions) -> String {
        let selection = Selection {
            incarnation: &versions.seq.space.incarnation,
            scope_key: self.scope_key,
            format: self.format,
            params: &self.params,
        };
        entity_tag(&shape(self.endpoint), &selection, versions.newest)
    }

    /// Returns the fields that a whole answer and a 304 have in common (RFC 9110 section 15.4.5).
    fn fields(&self, versions: &Versions, now: Timestamp) -> Vec<(String, String)> {
        let mut fields = vec![
            ("etag".to_owned(), self.entity_tag(versions)),
            ("cache-control".to_owned(), cache_control(self.endpoint)),
            (tag::HEADER.to_owned(), self.tags.join(" ")),
            (seq::HEADER.to_owned(), versions.seq.to_string()),
        ];
        if let Some(vary) = vary(self.endpoint) {
            fields.push(("vary".to_owned(), vary.to_owned()));
        }
        if let Some(applied_at) = versions.applied_at {
            let age = now.since(applied_at).as_millis().to_string();
            fields.push(("x-freshness-ms".to_owned(), age));
        }
        fields
    }
}

/// Returns the endpoint that takes a path, with its captures: the most specific one.
fn endpoint_at<'a>(
    contract: &'a Contract,
    path: &str,
) -> Option<(&'a Endpoint, Vec<(String, String)>)> {
    contract
        .endpoints
        .iter()
        .filter_map(|endpoint| {
            let template = PathTemplate::parse(&endpoint.path).ok()?;
            let captures = template.matches(path)?;
            Some((template.specificity(), endpoint, captures))
        })
        .max_by(|(one, ..), (other, ..)| one.cmp(other))
        .map(|(_, endpoint, captures)| (endpoint, captures))
}

/// Returns whose data is read: the key says what the response was stored for, the reader proves it.
fn tenant(
    store: &dyn Store,
    endpoint: &Endpoint,
    resource: &Resource,
    reader: &Reader,
) -> Result<String, RespondError> {
    let Some(needed) = &endpoint.scope else {
        let is_public = resource.scope_key.is_empty();
        return is_public.then(|| PUBLIC_TENANT.to_owned()).ok_or(RespondError::Forbidden);
    };
    let (action, product) = needed.split_once(':').unwrap_or((needed, ""));
    let key = scope_key(store.scope_secret(), &reader.tenant, &reader.scopes, "");
    let may = reader.scopes.iter().any(|scope| grants(scope, action, product));
    if may && key == resource.scope_key {
        Ok(reader.tenant.clone())
    } else {
        Err(RespondError::Forbidden)
    }
}
