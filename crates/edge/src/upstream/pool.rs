//! Sends requests to an origin's addresses in turn.

use std::error::Error as StdError;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tidegate_core::cohort;
use tokio::time::Instant;

use crate::body::{Body, BodyError, Upload, UploadState};
use crate::error::RequestError;
use crate::metrics::metrics;
use crate::upstream::headers;

/// How long an unused connection to an origin is kept. Shorter than our own tiers and most other
/// origins keep theirs (often 5 s), so that no request meets a connection that is being closed: one
/// with a body could not be sent again.
const IDLE: Duration = Duration::from_secs(4);

/// Unused connections kept per address.
const MAX_IDLE: usize = 256;

/// Most fields an origin's response may have.
const MAX_HEADERS: usize = 256;

/// Longest head of an origin's response.
const MAX_HEAD_BYTES: usize = 256 * 1024;

/// A named origin with one or more addresses.
#[derive(Debug)]
pub(crate) struct Origin {
    name: String,
    /// The release whose instances these are.
    release: Option<String>,
    addresses: Vec<Authority>,
    next: AtomicUsize,
}

/// Which release takes a client's requests, and the client's share that decided it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp<'a> {
    pub(crate) release: &'a str,
    pub(crate) cohort: u16,
}

/// A request as it goes to an origin.
pub(crate) struct Outbound {
    pub(crate) method: Method,
    pub(crate) path_and_query: PathAndQuery,
    pub(crate) headers: HeaderMap,
    pub(crate) content: Content,
}

/// The body of a request as it goes to an origin.
pub(crate) enum Content {
    None,
    /// Of the edge's own making.
    Json(Bytes),
    /// Streamed once: such a request is never sent again.
    Streamed(Body, Upload),
}

/// The connections to all origins.
#[derive(Clone)]
pub(crate) struct Upstreams {
    client: Client<HttpConnector, Body>,
    response_timeout: Duration,
}

/// Why an attempt failed, and whether another one may be made.
struct Failed {
    error: RequestError,
    /// The origin gave no byte of an answer and the connection is gone.
    unanswered: bool,
    cause: Option<hyper_util::client::legacy::Error>,
    address: Authority,
}

// === impl Origin ===

impl Origin {
    /// Names an origin's addresses; without one there is no origin.
    pub(crate) fn new(name: &str, addresses: Vec<Authority>) -> Option<Arc<Self>> {
        Self::build(name, None, addresses)
    }

    /// The instances of a release, which stamps the requests they get.
    pub(crate) fn of_release(release: &str, addresses: Vec<Authority>) -> Option<Arc<Self>> {
        Self::build("api", Some(release.to_owned()), addresses)
    }

    fn build(name: &str, release: Option<String>, addresses: Vec<Authority>) -> Option<Arc<Self>> {
        let (name, next) = (name.to_owned(), AtomicUsize::new(0));
        (!addresses.is_empty()).then(|| Arc::new(Self { name, release, addresses, next }))
    }

    /// Returns what the tiers behind the edge are told of a client's requests.
    pub(crate) fn stamp(&self, subject: Option<&str>, client: IpAddr) -> Option<Stamp<'_>> {
        let release = self.release.as_deref()?;
        let cohort = match subject {
            Some(subject) => cohort::cohort(release, subject),
            None => cohort::cohort(release, &cohort::address_key(client)),
        };
        Some(Stamp { release, cohort })
    }

    /// Returns the release whose instances these are, if they are any's.
    pub(crate) fn release(&self) -> Option<&str> {
        self.release.as_deref()
    }

    /// Returns the next address, round robin.
    fn next(&self) -> &Authority {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        &self.addresses[turn % self.addresses.len()]
    }
}

// === impl Upstreams ===

impl Upstreams {
    pub(crate) fn new(connect_timeout: Duration, response_timeout: Duration) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(connect_timeout));
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(MAX_IDLE)
            .http1_max_headers(MAX_HEADERS)
            .http1_max_buf_size(MAX_HEAD_BYTES)
            .build(connector);
        Self { client, response_timeout }
    }

    /// Forwards a client's request and waits for the head of the answer.
    ///
    /// # Errors
    /// As for [`Upstreams::ask`].
    pub(crate) async fn forward(
        &self,
        origin: &Origin,
        outbound: Outbound,
    ) -> Result<Response<Incoming>, RequestError> {
        let started = Instant::now();
        let result = self.ask(origin, outbound).await;
        metrics().upstream_seconds.observe(started.elapsed().as_secs_f64());
        if let Err(error) = &result {
            metrics().upstream_failed(*error);
        }
        result
    }

    /// Sends a request and waits for the head of the answer.
    ///
    /// A request without a body whose method is idempotent is sent once more if its connection
    /// turned out to be closed, or could not be made: the next address may do better.
    ///
    /// # Errors
    /// The origin gave no answer, or the client's body failed.
    pub(crate) async fn ask(
        &self,
        origin: &Origin,
        outbound: Outbound,
    ) -> Result<Response<Incoming>, RequestError> {
        let Outbound { method, path_and_query, headers, content } = outbound;
        let again = match &content {
            Content::None if method.is_idempotent() => {
                Some((method.clone(), path_and_query.clone(), headers.clone()))
            }
            _ => None,
        };
        let first = Outbound { method, path_and_query, headers, content };
        let mut result = self.attempt(origin, first).await;
        if let (Err(Failed { unanswered: true, .. }), Some((method, path_and_query, headers))) =
            (&result, again)
        {
            let second = Outbound { method, path_and_query, headers, content: Content::None };
            result = self.attempt(origin, second).await;
        }
        result.map_err(|failed| failed.log(origin))
    }

    async fn attempt(
        &self,
        origin: &Origin,
        outbound: Outbound,
    ) -> Result<Response<Incoming>, Failed> {
        let authority = origin.next();
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(Scheme::HTTP);
        parts.authority = Some(authority.clone());
        parts.path_and_query = Some(outbound.path_and_query);
        let uri =
            Uri::from_parts(parts).map_err(|_| Failed::here(RequestError::Host, authority))?;
        let (body, upload) = match outbound.content {
            Content::None => (Body::empty(), None),
            Content::Json(bytes) => (Body::full(bytes), None),
            Content::Streamed(body, upload) => (body, Some(upload)),
        };
        let mut request = Request::new(body);
        *request.method_mut() = outbound.method;
        *request.uri_mut() = uri;
        *request.headers_mut() = outbound.headers;
        let answer = self.client.request(request);
        match self.with_patience(answer, upload.as_ref()).await {
            Some(Ok(response)) if is_out_of_protocol(&response) => {
                Err(Failed::here(RequestError::Garbled, authority))
            }
            Some(Ok(response)) => Ok(response),
            Some(Err(error)) => Err(classify(authority, error)),
            None => Err(Failed::here(timed_out(upload.as_ref()), authority)),
        }
    }

    /// Waits for an answer; the patience begins anew with each frame of the request's body that
    /// is sent, so that a long upload is no slow answer.
    async fn with_patience<F: Future>(
        &self,
        answer: F,
        upload: Option<&Upload>,
    ) -> Option<F::Output> {
        let mut answer = pin!(answer);
        let mut deadline = Instant::now() + self.response_timeout;
        loop {
            if let Ok(output) = tokio::time::timeout_at(deadline, &mut answer).await {
                return Some(output);
            }
            let later = upload.map(|upload| upload.progress().last + self.response_timeout);
            deadline = later.filter(|later| *later > deadline)?;
        }
    }
}

// === impl Failed ===

impl Failed {
    fn here(error: RequestError, address: &Authority) -> Self {
        Self { error, unanswered: false, cause: None, address: address.clone() }
    }

    /// Logs the failure that counts: an attempt that was made up for is none.
    fn log(self, origin: &Origin) -> RequestError {
        let Self { error, cause, address, .. } = self;
        // What a client did to its own request is no news.
        if error.origin_failure().is_some() {
            tracing::warn!(
                upstream.name = origin.name,
                upstream.address = %address,
                upstream.failure = %error,
                error = cause.as_ref().map(|cause| cause as &dyn StdError),
                "Upstream request failed."
            );
        }
        error
    }
}

/// Says whether an answer is one that nobody asked for: another protocol, or a coding of which
/// nothing but the name is known (no `TE` is ever sent), so that neither the end nor the content
/// of its body is.
fn is_out_of_protocol(response: &Response<Incoming>) -> bool {
    response.status() == StatusCode::SWITCHING_PROTOCOLS
        || headers::has_foreign_coding(response.headers())
}

/// Tells a client that stopped sending from an origin that does not answer.
fn timed_out(upload: Option<&Upload>) -> RequestError {
    match upload.map(|upload| upload.progress().state) {
        Some(UploadState::Running) => RequestError::BodyTimeout,
        _ => RequestError::TimedOut,
    }
}

fn classify(address: &Authority, error: hyper_util::client::legacy::Error) -> Failed {
    if let Some(body_error) = find_body_error(error.source()) {
        let error = match body_error {
            BodyError::Idle => RequestError::BodyTimeout,
            BodyError::TooLarge => RequestError::BodyTooLarge,
            BodyError::Broken => RequestError::BodyBroken,
        };
        return Failed::here(error, address);
    }
    let hyper = error.source().and_then(|cause| cause.downcast_ref::<hyper::Error>());
    let garbled = hyper.is_some_and(|error| error.is_parse() || error.is_parse_too_large());
    let (kind, unanswered) = if error.is_connect() {
        (RequestError::Unreachable, true)
    } else if garbled {
        (RequestError::Garbled, false)
    } else {
        (RequestError::Closed, true)
    };
    Failed { error: kind, unanswered, cause: Some(error), address: address.clone() }
}

/// A client's body that broke off fails the request to the origin, too.
fn find_body_error<'a>(mut cause: Option<&'a (dyn StdError + 'static)>) -> Option<&'a BodyError> {
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        cause = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unused_connections_are_dropped_before_our_own_tiers_close_them() {
        assert!(IDLE * 2 < tidegate_ops::HEAD_TIMEOUT);
    }
}
