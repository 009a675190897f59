//! Why the edge can't run, and why a request gets no answer of an origin.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{Response, StatusCode};
use tidegate_core::keys::random_hex;

use crate::body::Body;
use crate::cache::freshness::OriginFailure;

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

// === impl RequestError ===

impl RequestError {
    /// Exhaustive on purpose: a new variant must choose its status to compile.
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::Host | Self::BodyBroken => StatusCode::BAD_REQUEST,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
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
    fn title(self) -> &'static str {
        match self {
            Self::Host => "The request must name one valid host.",
            Self::BodyBroken => "The request's body could not be read.",
            Self::Method => "This method is not supported here.",
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

    /// Builds the answer: problem+json (RFC 9457) with an id that is also in the log.
    pub(crate) fn into_response(self) -> Response<Body> {
        let status = self.status();
        let id = random_hex(8);
        // The cause was logged where it was met; this only ties it to what the client saw.
        tracing::debug!(request.id = id, error = %self, "Request was not answered.");
        let reason = status.canonical_reason().unwrap_or_default();
        let text = format!(
            "{{\"type\":\"about:blank\",\"title\":\"{reason}\",\"status\":{},\"detail\":\"{}\",\
             \"request_id\":\"{id}\"}}\n",
            status.as_u16(),
            self.title(),
        );
        let mut response = Response::new(Body::full(Bytes::from(text)));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        match self {
            Self::Unauthenticated => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            Self::ScopeUnavailable | Self::NoRouting => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
            }
            _ => {}
        }
        response
    }
}
