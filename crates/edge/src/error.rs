//! Why the edge can't run, and why a request gets no answer of an origin.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
};
use http::{Response, StatusCode};
use serde::Serialize;
use tidegate_core::keys::random_hex;

use crate::body::Body;
use crate::cache::freshness::OriginFailure;

/// Methods that are passed on, whatever the origin then says to them.
const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// Why the edge could not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A listener's address is in use, or not this machine's.
    #[error("{listener} can't listen on {address}")]
    Listen {
        /// Which listener: its configuration key.
        listener: &'static str,
        /// The address.
        address: SocketAddr,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// A certificate or key can't be read or used.
    #[error("tls: {path}: {reason}")]
    Tls {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The directory that keeps the routing document can't be used.
    #[error("control.state: {path} can't be used")]
    State {
        /// The directory.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The queue that notices come from can't be opened.
    #[error("the queue can't be opened")]
    Queue(#[from] tidegate_queue::QueueError),
}

/// Why a request gets an answer of the edge's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RequestError {
    #[error("the request names no valid host")]
    Host,
    #[error("the method is not supported")]
    Method,
    #[error("the body is coded in a way that is not supported")]
    TransferCoding,
    #[error("no route takes the request")]
    NoRoute,
    #[error("the credential is missing or unknown")]
    Unauthenticated,
    #[error("the credential could not be resolved")]
    ScopeUnavailable,
    #[error("nothing is stored, and the client wants no fetch")]
    OnlyIfCached,
    #[error("the request's body came too slowly")]
    BodyTimeout,
    #[error("the request's body is too long")]
    BodyTooLarge,
    #[error("the request's body broke off")]
    BodyBroken,
    #[error("no routing document was received yet")]
    NoRouting,
    #[error("the origin can't be reached")]
    Unreachable,
    #[error("the origin closed the connection without an answer")]
    Closed,
    #[error("the origin's answer is not valid HTTP")]
    Garbled,
    #[error("the origin did not answer in time")]
    TimedOut,
    #[error("the origin answered with a server error")]
    ServerError,
}

#[derive(Serialize)]
struct Problem<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    detail: &'static str,
    instance: &'a str,
    code: &'static str,
    request_id: &'a str,
    retryable: bool,
}

// === impl RequestError ===

impl RequestError {
    /// Exhaustive on purpose: a new variant must choose its status to compile.
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::Host | Self::BodyBroken => StatusCode::BAD_REQUEST,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            // RFC 9112 section 6.1.
            Self::TransferCoding => StatusCode::NOT_IMPLEMENTED,
            Self::NoRoute => StatusCode::NOT_FOUND,
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::ScopeUnavailable | Self::NoRouting => StatusCode::SERVICE_UNAVAILABLE,
            Self::Unreachable | Self::Closed | Self::Garbled | Self::ServerError => {
                StatusCode::BAD_GATEWAY
            }
            // RFC 9111 section 5.2.1.7 asks for 504 here.
            Self::OnlyIfCached | Self::TimedOut => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// Returns the fixed text for the client, which tells nothing about the inside.
    fn detail(self) -> &'static str {
        match self {
            Self::Host => "The request must name one valid host.",
            Self::BodyBroken => "The request's body could not be read.",
            Self::Method => "This method is not supported here.",
            Self::TransferCoding => "Of all transfer codings, only 'chunked' is supported.",
            Self::NoRoute => "Nothing is served at this address.",
            Self::Unauthenticated => "A valid bearer token is required.",
            Self::BodyTimeout => "The request's body came too slowly.",
            Self::BodyTooLarge => "The request's body is too long.",
            Self::ScopeUnavailable => "Credentials can't be checked at present. Try again later.",
            Self::NoRouting => "This node is starting. Try again later.",
            Self::Unreachable | Self::Closed | Self::Garbled | Self::ServerError => {
                "The service behind this address gave no valid answer. Try again later."
            }
            Self::OnlyIfCached => "Nothing is stored for this request.",
            Self::TimedOut => "The service behind this address did not answer in time.",
        }
    }

    /// Returns how the origin failed, if it did.
    pub(crate) fn origin_failure(self) -> Option<OriginFailure> {
        match self {
            Self::Unreachable | Self::Closed => Some(OriginFailure::Disconnected),
            Self::Garbled | Self::TimedOut | Self::ServerError => Some(OriginFailure::Error),
            _ => None,
        }
    }

    /// Returns the word that programs tell problems by.
    fn code(self) -> &'static str {
        match self {
            Self::Host => "bad_host",
            Self::Method => "method_not_allowed",
            Self::TransferCoding => "transfer_coding",
            Self::NoRoute => "not_found",
            Self::Unauthenticated => "unauthenticated",
            Self::ScopeUnavailable => "scope_unavailable",
            Self::OnlyIfCached => "only_if_cached",
            Self::BodyTimeout => "body_slow",
            Self::BodyTooLarge => "body_too_large",
            Self::BodyBroken => "body_aborted",
            Self::NoRouting => "starting",
            Self::Unreachable | Self::Closed | Self::Garbled | Self::ServerError => "bad_gateway",
            Self::TimedOut => "gateway_timeout",
        }
    }

    /// Says whether the same request may do better later.
    fn is_retryable(self) -> bool {
        matches!(self, Self::ScopeUnavailable | Self::NoRouting) || self.origin_failure().is_some()
    }

    /// Builds the answer for a request of this path: problem+json (RFC 9457), of the same shape as
    /// the api's, with an id that is also in the log.
    pub(crate) fn into_response(self, path: &str) -> Response<Body> {
        let status = self.status();
        let id = random_hex(8);
        // The cause was logged where it was met; this only ties it to what the client saw.
        tracing::debug!(request.id = id, error = %self, "Request was not answered.");
        let problem = Problem {
            kind: format!("urn:tidegate:problem:{}", self.code()),
            title: status.canonical_reason().unwrap_or_default(),
            status: status.as_u16(),
            detail: self.detail(),
            instance: path,
            code: self.code(),
            request_id: &id,
            retryable: self.is_retryable(),
        };
        let text =
            serde_json::to_vec(&problem).expect("a problem must serialize: it is plain data");
        let mut response = Response::new(Body::full(Bytes::from(text)));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        match self {
            Self::Unauthenticated => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            Self::Method => {
                headers.insert(ALLOW, HeaderValue::from_static(METHODS));
            }
            Self::ScopeUnavailable | Self::NoRouting => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
            }
            _ => {}
        }
        response
    }
}
