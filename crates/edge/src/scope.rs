//! Resolves credentials to scopes by asking the api: the edge verifies none itself.
//!
//! Only digests of credentials are kept, for a bounded time, and not after a revocation.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use http::StatusCode;
use http::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use http::uri::Authority;
use moka::sync::Cache;
use tidegate_core::cache_update::Reader;
use tidegate_core::clock::Timestamp;
use tidegate_core::scope::{self, ResolvedScope, credential_digest};
use tidegate_core::seq::{self, DataSeq};

use crate::cache::collapse::{Flights, Part};
use crate::cache::storage::StoredResponse;
use crate::error::RequestError;
use crate::internal::{Internal, Question};
use crate::metrics::metrics;

/// Most credentials remembered.
const CAPACITY: u64 = 100_000;

/// Longest an answer is relied on, whatever it says of itself.
const MAX_LIFETIME: Duration = Duration::from_secs(60);

/// Longest an answer is relied on while revocations can't be heard, and for a refusal.
const BRIEF: Duration = Duration::from_secs(1);

/// For the api's answer.
const PATIENCE: Duration = Duration::from_secs(2);

const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// Attempts of one request to learn of an answer from others before it gives up.
const ROUNDS: usize = 3;

/// The credentials this edge knows.
pub(crate) struct Scopes {
    known: Cache<Arc<str>, Known>,
    flights: Flights<Arc<str>, Answer>,
    internal: Internal,
    /// Raised with each revocation: an answer that was on its way then is not kept for long.
    revocations: AtomicU64,
    /// Revocations are being heard.
    connected: AtomicBool,
}

#[derive(Clone)]
struct Known {
    answer: Resolution,
    since: Timestamp,
    lifetime: Duration,
}

/// Whose credential it is.
#[derive(Debug)]
pub(crate) struct Scope {
    /// Part of cache keys: equal for all who may read the same responses.
    pub(crate) key: String,
    /// The token's name.
    pub(crate) subject: String,
    /// For whom a worker renders what this scope reads.
    pub(crate) reader: Reader,
}

/// What the api says of a credential.
#[derive(Clone, Debug)]
enum Resolution {
    Scope(Arc<Scope>),
    Unknown,
}

/// What followers of a question get.
type Answer = Result<Resolution, RequestError>;

// === impl Scopes ===

impl Scopes {
    pub(crate) fn new(internal: Internal) -> Self {
        Self {
            known: Cache::new(CAPACITY),
            flights: Flights::new(),
            internal,
            revocations: AtomicU64::new(0),
            connected: AtomicBool::new(false),
        }
    }

    /// Returns the scope of a request's credential.
    ///
    /// # Errors
    /// There is none, it is unknown, or the api can't tell.
    pub(crate) async fn resolve(
        &self,
        headers: &HeaderMap,
        api: &[Authority],
    ) -> Result<Arc<Scope>, RequestError> {
        let (field, token) = bearer(headers).ok_or(RequestError::Unauthenticated)?;
        let digest: Arc<str> = credential_digest(token).into();
        for _ in 0..ROUNDS {
            if let Some(answer) = self.remembered(&digest, Timestamp::now()) {
                return known_scope(Ok(answer));
            }
            match self.flights.join(&digest) {
                Part::Leader(permit) => {
                    let answer = self.ask(&digest, field, api).await;
                    permit.finish(answer.clone());
                    return known_scope(answer);
                }
                Part::Follower(follower) => {
                    if let Ok(answer) = follower.wait(PATIENCE).await {
                        return known_scope(answer);
                    }
                }
            }
        }
        Err(RequestError::ScopeUnavailable)
    }

    /// Returns the scope of a request's credential if it is known, without asking.
    pub(crate) fn recall(&self, headers: &HeaderMap, now: Timestamp) -> Option<Arc<Scope>> {
        let (_, token) = bearer(headers)?;
        match self.remembered(&credential_digest(token), now)? {
            Resolution::Scope(scope) => Some(scope),
            Resolution::Unknown => None,
        }
    }

    /// Forgets a revoked credential.
    pub(crate) fn revoke(&self, digest: &str) {
        self.revocations.fetch_add(1, Ordering::AcqRel);
        self.known.invalidate(digest);
    }

    /// Forgets everything: revocations were missed.
    pub(crate) fn clear(&self) {
        self.revocations.fetch_add(1, Ordering::AcqRel);
        self.known.invalidate_all();
    }

    /// Takes note of whether revocations are being heard.
    pub(crate) fn set_connected(&self, connected: bool) {
        self.connected.store(connected, Ordering::Release);
    }

    fn remembered(&self, digest: &str, now: Timestamp) -> Option<Resolution> {
        let known = self.known.get(digest)?;
        let lifetime = match self.connected.load(Ordering::Acquire) {
            true => known.lifetime,
            false => known.lifetime.min(BRIEF),
        };
        // A clock that stepped back must not keep a credential alive.
        let age = u64::try_from(now.0.saturating_sub(known.since.0)).ok()?;
        (Duration::from_micros(age) < lifetime).then_some(known.answer)
    }

    async fn ask(&self, digest: &Arc<str>, field: &HeaderValue, api: &[Authority]) -> Answer {
        let revocations = self.revocations.load(Ordering::Acquire);
        let since = Timestamp::now();
        metrics().scope_fetches.inc();
        let mut authorization = field.clone();
        authorization.set_sensitive(true);
        let question = Question {
            addresses: api.to_vec(),
            path: scope::PATH,
            authorization: Some(authorization),
            patience: PATIENCE,
            max_bytes: MAX_ANSWER_BYTES,
        };
        let (status, body) = self.internal.get(question).await.map_err(|error| {
            tracing::warn!(error = %error, "Scope could not be resolved.");
            RequestError::ScopeUnavailable
        })?;
        let (answer, lifetime) = match status {
            StatusCode::OK => {
                let scope: ResolvedScope =
                    serde_json::from_slice(&body).map_err(|_| RequestError::ScopeUnavailable)?;
                let lifetime = Duration::from_millis(scope.lifetime_ms).min(MAX_LIFETIME);
                (Resolution::Scope(Arc::new(Scope::from(scope))), lifetime)
            }
            StatusCode::UNAUTHORIZED => (Resolution::Unknown, BRIEF),
            _ => return Err(RequestError::ScopeUnavailable),
        };
        self.known.insert(Arc::clone(digest), Known { answer: answer.clone(), since, lifetime });
        // Read after the insertion: a revocation either sees the entry or is seen here.
        if self.revocations.load(Ordering::Acquire) != revocations {
            self.known.invalidate(digest);
        }
        Ok(answer)
    }
}

fn known_scope(answer: Answer) -> Result<Arc<Scope>, RequestError> {
    match answer? {
        Resolution::Scope(scope) => Ok(scope),
        Resolution::Unknown => Err(RequestError::Unauthenticated),
    }
}

// === impl Scope ===

impl From<ResolvedScope> for Scope {
    fn from(resolved: ResolvedScope) -> Self {
        let ResolvedScope { scope_key: key, tenant, subject, scopes, .. } = resolved;
        Self { key, subject, reader: Reader { tenant, scopes } }
    }
}

/// Returns for whom a worker renders a stored response: for its scope, or for what anyone may read
/// of the tenant whose data it shows.
pub(crate) fn reader(scope: Option<&Scope>, stored: &StoredResponse) -> Option<Reader> {
    if let Some(scope) = scope {
        return Some(scope.reader.clone());
    }
    let at: DataSeq = stored.headers.get(seq::HEADER)?.to_str().ok()?.parse().ok()?;
    Some(Reader { tenant: at.space.tenant, scopes: Vec::new() })
}

/// Returns the one bearer field and its token, which is what revocations name the digest of.
fn bearer(headers: &HeaderMap) -> Option<(&HeaderValue, &str)> {
    let mut fields = headers.get_all(AUTHORIZATION).iter();
    let (field, None) = (fields.next()?, fields.next()) else { return None };
    let (scheme, token) = field.to_str().ok()?.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some((field, token))
}
