//! Obtains a response from an origin on behalf of the cache: one fetch for all who wait, validated
//! or whole, stored unless a purge overtook it, covered by a stale response if the origin fails.

mod attempt;
mod collect;
mod land;

use std::net::IpAddr;
use std::sync::Arc;

use http::{HeaderMap, Method, Response, StatusCode};
use tidegate_core::cache_key::CacheKey;
use tidegate_core::clock::Timestamp;
use tidegate_core::edge_plan::{CachePlan, Refresh};

use self::attempt::Attempt;
pub(crate) use self::attempt::path_and_query;
pub(crate) use self::collect::Room;
use self::land::{Landed, Reach, store};
use crate::body::Body;
use crate::cache::assess::{Terms, Why};
use crate::cache::collapse::{NoResult, Part, Permit};
use crate::cache::control::RequestControl;
use crate::cache::freshness::OriginFailure;
use crate::cache::status::{Sharing, Storing};
use crate::cache::storable::Credentials;
use crate::cache::storage::StoredResponse;
use crate::cache::vary::AuthorizationField;
use crate::cache::{Answer, Staleness};
use crate::deliver;
use crate::edge::Edge;
use crate::error::RequestError;
use crate::metrics::metrics;
use crate::scope::Scope;
use crate::target::Target;
use crate::upstream::pool::Content;
use crate::upstream::{Origin, Outbound, Stamp, headers};

/// Times a request joins a flight before it goes alone: its leader may leave, or bring a variant
/// for others.
const ROUNDS: usize = 4;

/// Further fetches after one that a purge overtook.
const REFETCHES: usize = 2;

/// A request that the cache may answer, with what it takes to fetch the answer.
#[derive(Clone)]
pub(crate) struct Lookup {
    /// The client's: the cache always fetches with GET.
    pub(crate) method: Method,
    pub(crate) key: CacheKey,
    pub(crate) control: RequestControl,
    pub(crate) credentials: Credentials,
    pub(crate) authorization: AuthorizationField,
    pub(crate) plan: CachePlan,
    pub(crate) origin: Arc<Origin>,
    pub(crate) target: Target,
    /// The normalised query.
    pub(crate) query: String,
    pub(crate) headers: HeaderMap,
    pub(crate) client: IpAddr,
    /// Whose credential it carries, where the route is scoped.
    pub(crate) scope: Option<Arc<Scope>>,
    /// Who brings a stale response up to date while it is served.
    pub(crate) refresh: Refresh,
}

/// A stored response that must be validated before it is reused.
#[derive(Clone)]
pub(crate) struct Stale {
    pub(crate) response: Arc<StoredResponse>,
    pub(crate) staleness: Staleness,
}

/// What a leader brings to those who wait for it.
#[derive(Clone)]
pub(crate) enum Landing {
    Stored(Arc<StoredResponse>),
    /// The response was for the leader only.
    NotStored,
    Failed(RequestError),
}

/// What a fetch brings.
pub(crate) enum Fetched {
    /// A complete response.
    Complete {
        response: Arc<StoredResponse>,
        origin: StatusCode,
        storing: Storing,
        sharing: Sharing,
    },
    /// The stale response, as the origin failed.
    Covered { response: Arc<StoredResponse>, origin: Option<StatusCode> },
    /// A response that passes by.
    Passing { response: Response<Body>, detail: Option<&'static str> },
}

/// Whether a request waits for the fetch of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    Wait,
    /// What others fetch is likely of no use to it, but what it fetches may be stored.
    Leads,
    /// Nothing is to be shared: it keeps its own method and conditions.
    Never,
}

/// Obtains the response, from the origin or from another request's fetch.
pub(crate) async fn obtain(
    edge: &Edge,
    lookup: &Lookup,
    stale: Option<&Stale>,
    patience: Patience,
) -> Result<Fetched, RequestError> {
    if patience == Patience::Never {
        return alone(edge, lookup, stale).await;
    }
    for round in 0..ROUNDS {
        let follower = match edge.cache.flights.join(&lookup.key) {
            Part::Leader(permit) => return lead_unless_landed(edge, lookup, stale, permit).await,
            Part::Follower(_) if patience == Patience::Leads => {
                return alone(edge, lookup, stale).await;
            }
            Part::Follower(follower) => follower,
        };
        match follower.wait(edge.limits.response_header).await {
            Ok(Landing::Stored(response)) => {
                if response.selecting.matches(&lookup.headers) {
                    return Ok(collapsed(response));
                }
            }
            Ok(Landing::NotStored) | Err(NoResult::TimedOut) => break,
            Ok(Landing::Failed(error)) => {
                if let Some(covered) = cover(stale, error, Timestamp::now()) {
                    return Ok(covered);
                }
                // One failing leader does not fail all, but an origin that is down is asked
                // twice and not once for each who waits.
                if round > 0 {
                    return Err(error);
                }
            }
            Err(NoResult::Gone) => {}
        }
    }
    alone(edge, lookup, stale).await
}

/// Sends the request on its own, with the client's method and conditions; the answer is not
/// stored.
async fn alone(
    edge: &Edge,
    lookup: &Lookup,
    stale: Option<&Stale>,
) -> Result<Fetched, RequestError> {
    let outbound = Outbound {
        method: lookup.method.clone(),
        path_and_query: path_and_query(lookup.target.path(), &lookup.query)?,
        headers: lookup.fields(edge),
        content: Content::None,
    };
    match edge.upstreams.forward(&lookup.origin, outbound).await {
        Ok(response) => {
            let status = response.status();
            if attempt::is_failure(status)
                && let Some(covered) = cover(stale, RequestError::ServerError, Timestamp::now())
            {
                return Ok(covered);
            }
            let response = deliver::as_it_comes(edge, response);
            Ok(Fetched::Passing { response, detail: None })
        }
        Err(error) => cover(stale, error, Timestamp::now()).ok_or(error),
    }
}

/// Validates a stored response in the background, unless that is under way or too much is.
pub(crate) fn validate_in_background(edge: &Arc<Edge>, lookup: &Lookup, stale: Stale) {
    let Part::Leader(permit) = edge.cache.flights.join(&lookup.key) else { return };
    let Ok(slot) = Arc::clone(&edge.background).try_acquire_owned() else {
        metrics().background_skipped.inc();
        return;
    };
    let (spawned, lookup) = (Arc::clone(edge), lookup.clone());
    edge.tracker.spawn(async move {
        // Failures were logged where they happened; the next request tries again.
        lead_unless_landed(&spawned, &lookup, Some(&stale), permit).await.ok();
        drop(slot);
    });
}

/// Leads, unless another leader landed between the lookup and the take-off.
async fn lead_unless_landed(
    edge: &Edge,
    lookup: &Lookup,
    stale: Option<&Stale>,
    permit: Permit<CacheKey, Landing>,
) -> Result<Fetched, RequestError> {
    let wants_origin = edge.honours_no_cache(lookup.control);
    if !wants_origin
        && let Answer::Fresh(response) =
            edge.cache.answer(&lookup.key, &lookup.headers, Timestamp::now())
    {
        permit.finish(Landing::Stored(Arc::clone(&response)));
        return Ok(collapsed(response));
    }
    lead(edge, lookup, stale, permit).await
}

async fn lead(
    edge: &Edge,
    lookup: &Lookup,
    stale: Option<&Stale>,
    permit: Permit<CacheKey, Landing>,
) -> Result<Fetched, RequestError> {
    let mut validating = stale.map(|stale| Arc::clone(&stale.response));
    let mut refetches = 0..REFETCHES;
    loop {
        let attempt = attempt::attempt(edge, lookup, validating.as_ref(), stale).await;
        match attempt {
            Ok(Attempt::Complete { response, origin }) => {
                let Landed { response, storing, reach } = store(edge, lookup, response, &permit);
                if reach == Reach::Nobody && refetches.next().is_some() {
                    metrics().stale_fills_refused.inc();
                    validating = Some(response);
                    continue;
                }
                permit.finish(match reach {
                    Reach::Everyone => Landing::Stored(Arc::clone(&response)),
                    Reach::Asker | Reach::Nobody => Landing::NotStored,
                });
                let sharing = Sharing::Own;
                return Ok(Fetched::Complete { response, origin, storing, sharing });
            }
            Ok(Attempt::Passing { response, why }) => {
                if why == Why::Outdated {
                    metrics().stale_fills_refused.inc();
                    if refetches.next().is_some() {
                        continue;
                    }
                }
                // An error is a passing state: those who wait for its end must not all ask.
                let is_error =
                    response.status().is_client_error() || response.status().is_server_error();
                if let Why::NotStorable(reason) = why
                    && reason.is_lasting()
                    && !is_error
                {
                    edge.cache.storage.mark_unstorable(&lookup.key, Timestamp::now());
                }
                permit.finish(Landing::NotStored);
                return Ok(Fetched::Passing { response, detail: Some(why.detail()) });
            }
            // Asked without a condition, the origin has to send it whole.
            Ok(Attempt::Unconfirmed) => validating = None,
            Ok(Attempt::Covered { response, origin }) => {
                permit.finish(Landing::Failed(RequestError::ServerError));
                return Ok(Fetched::Covered { response, origin: Some(origin) });
            }
            Err(error) => {
                permit.finish(Landing::Failed(error));
                return cover(stale, error, Timestamp::now()).ok_or(error);
            }
        }
    }
}

/// Returns the stale response if it may stand in for an answer that failed.
fn cover(stale: Option<&Stale>, error: RequestError, now: Timestamp) -> Option<Fetched> {
    let stale = stale?;
    stale
        .covers(error.origin_failure()?, now)
        .then(|| Fetched::Covered { response: Arc::clone(&stale.response), origin: None })
}

fn collapsed(response: Arc<StoredResponse>) -> Fetched {
    let origin = response.status;
    let (storing, sharing) = (Storing::NotStored, Sharing::Collapsed);
    Fetched::Complete { response, origin, storing, sharing }
}

// === impl Lookup ===

impl Lookup {
    /// Returns what decides about storing the response.
    fn terms(&self) -> Terms<'_> {
        Terms {
            request: &self.headers,
            control: self.control,
            credentials: self.credentials,
            authorization: self.authorization,
            plan: self.plan,
        }
    }

    /// Returns the fields of the request as they go to the origin.
    fn fields(&self, edge: &Edge) -> HeaderMap {
        let mut fields = self.headers.clone();
        headers::for_origin(&mut fields, &self.target, self.client, &edge.settings.node);
        headers::stamp(&mut fields, self.stamp());
        fields
    }

    /// Returns the release that takes the request.
    pub(crate) fn stamp(&self) -> Option<Stamp<'_>> {
        let subject = self.scope.as_ref().map(|scope| scope.subject.as_str());
        self.origin.stamp(subject, self.client)
    }
}

// === impl Stale ===

impl Stale {
    fn covers(&self, failure: OriginFailure, now: Timestamp) -> bool {
        let outdated = self.staleness != Staleness::Aged;
        self.response.metadata.covers_failure(failure, outdated, now)
    }
}
