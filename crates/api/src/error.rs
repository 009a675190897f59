//! Why the api can't run, and why a request was refused.

use std::sync::Arc;
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use tidegate_core::param::ParamError;
use tidegate_product::error::FinishError;
use tidegate_product::rows::{RejectedRow, RowError};
use tidegate_queue::QueueError;
use tidegate_store::StoreError;

/// Why the api can't start or go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store can't be opened.
    #[error("the store can't be opened")]
    Store(#[source] StoreError),
    /// The queue can't be opened.
    #[error("the queue can't be opened")]
    Queue(#[source] QueueError),
    /// A contract in the store can't be served.
    #[error("product '{product}' can't be served: {reason}")]
    Contract {
        /// The product.
        product: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A listener can't be bound.
    #[error("a listener can't be bound")]
    Listen(#[source] std::io::Error),
    /// A part of the process that must not end has ended.
    #[error("the {0} ended unexpectedly")]
    Ended(&'static str),
}

/// Why a request was refused. The text is the client's, unless the fault is ours.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("this needs a token; send it as 'Authorization: Bearer TOKEN'")]
    NoCredential,
    #[error("the credential can't be read; send one field 'Authorization: Bearer TOKEN'")]
    MalformedCredential,
    #[error("the token is not known; it may have been revoked")]
    UnknownToken,
    #[error("token '{subject}' may not do this; it needs the scope '{needed}'")]
    Forbidden { subject: String, needed: String },
    #[error("{0}")]
    NotFound(String),
    #[error("the method is not allowed here; the field 'Allow' names those that are")]
    MethodNotAllowed { allow: Option<&'static str> },
    #[error("this is served as {0} only")]
    NotAcceptable(String),
    #[error("{0}")]
    Param(#[from] ParamError),
    /// The parameters are well-formed, but not together.
    #[error("{0}")]
    Plan(ParamError),
    #[error("the field 'Idempotency-Key' must be 1 to 255 visible ASCII characters, sent once")]
    IdempotencyKey,
    #[error("the field 'Content-Type' must be application/json or application/x-ndjson")]
    MediaType,
    #[error("the field 'Content-Encoding' must be gzip or absent")]
    Encoding,
    #[error("{0}")]
    MalformedBody(String),
    #[error("the body was cut off by the client")]
    BodyAborted,
    #[error("no part of the body came within {} s", .0.as_secs())]
    BodySlow(Duration),
    #[error("{0}")]
    BodyTooLarge(String),
    #[error("{0}")]
    TooManyRows(String),
    #[error("{0}")]
    RowsRejected(String, Vec<RejectedRow>),
    #[error("the idempotency key was used before with another body")]
    KeyReused,
    #[error(transparent)]
    Finish(#[from] FinishError),
    #[error("the api has as many requests in flight as it takes")]
    Overloaded,
    #[error("the endpoint has as many requests in flight as it takes")]
    EndpointBusy,
    #[error("too many batches wait to be applied")]
    Backlog,
    #[error("the answer took too long")]
    Timeout,
    #[error("the store failed")]
    Store(#[source] StoreError),
    #[error("the queue failed")]
    Queue(#[source] QueueError),
    #[error("{0}")]
    TooLate(String),
    #[error("a handler failed: {0}")]
    Internal(String),
}

/// What kind of problem a refusal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    /// Stable word for programs.
    pub(crate) code: &'static str,
    /// For people.
    pub(crate) title: &'static str,
}

// === impl Refusal ===

impl Refusal {
    /// Exhaustive on purpose: a new variant must choose its status to compile.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Param(_) | Self::IdempotencyKey | Self::MalformedBody(_) | Self::BodyAborted => {
                StatusCode::BAD_REQUEST
            }
            Self::NoCredential | Self::MalformedCredential | Self::UnknownToken => {
                StatusCode::UNAUTHORIZED
            }
            Self::Forbidden { .. } => StatusCode::FORBIDDEN,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotAcceptable(_) => StatusCode::NOT_ACCEPTABLE,
            Self::BodySlow(_) => StatusCode::REQUEST_TIMEOUT,
            Self::BodyTooLarge(_) | Self::TooManyRows(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::MediaType | Self::Encoding => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Plan(_) | Self::RowsRejected(..) | Self::KeyReused | Self::Finish(_) => {
                StatusCode::UNPROCESSABLE_ENTITY
            }
            Self::TooLate(_) => StatusCode::CONFLICT,
            Self::Overloaded | Self::EndpointBusy | Self::Backlog | Self::Queue(_) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Timeout => StatusCode::GATEWAY_TIMEOUT,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Store(error) => store_status(error),
        }
    }

    /// Exhaustive for the same reason.
    pub(crate) fn kind(&self) -> Kind {
        let (code, title) = match self {
            Self::NoCredential => ("no_credential", "A token is needed"),
            Self::MalformedCredential => ("malformed_credential", "The credential can't be read"),
            Self::UnknownToken => ("unknown_token", "The token is not valid"),
            Self::Forbidden { .. } => ("missing_scope", "The token does not allow this"),
            Self::NotFound(_) => ("not_found", "There is no such thing"),
            Self::MethodNotAllowed { .. } => ("method_not_allowed", "The method is not allowed"),
            Self::NotAcceptable(_) => ("not_acceptable", "No accepted format is served"),
            Self::Param(_) => ("bad_parameter", "A parameter is wrong"),
            Self::Plan(_) => ("bad_combination", "The parameters don't fit together"),
            Self::IdempotencyKey => ("bad_idempotency_key", "The idempotency key is wrong"),
            Self::MediaType => ("unsupported_media_type", "The media type is not known"),
            Self::Encoding => ("unsupported_encoding", "The content coding is not known"),
            Self::MalformedBody(_) => ("malformed_body", "The body can't be read"),
            Self::BodyAborted => ("body_aborted", "The body is not complete"),
            Self::BodySlow(_) => ("body_slow", "The body came too slowly"),
            Self::BodyTooLarge(_) => ("body_too_large", "The body is too large"),
            Self::TooManyRows(_) => ("too_many_rows", "The batch has too many rows"),
            Self::RowsRejected(..) => ("rows_rejected", "Rows were rejected"),
            Self::KeyReused => ("key_reused", "The idempotency key was used before"),
            Self::Finish(FinishError::TooManyRows { .. }) => {
                ("answer_too_long", "The answer is too long")
            }
            Self::Finish(FinishError::Overflow(_)) => {
                ("answer_overflow", "A number of the answer is too large")
            }
            Self::Overloaded => ("overloaded", "The api is busy"),
            Self::EndpointBusy => ("endpoint_busy", "The endpoint is busy"),
            Self::Backlog => ("backlog", "Ingest is behind"),
            Self::TooLate(_) => ("too_late", "The job has ended"),
            Self::Queue(_) => ("queue_unavailable", "The queue can't be used"),
            Self::Timeout => ("timeout", "The answer took too long"),
            Self::Internal(_) => ("internal", "The api failed"),
            Self::Store(error) => store_kind(error),
        };
        Kind { code, title }
    }

    /// Returns after how many seconds the same request may succeed, if ever.
    pub(crate) fn retry_after_s(&self) -> Option<u32> {
        match self.status() {
            StatusCode::REQUEST_TIMEOUT
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => Some(1),
            _ => None,
        }
    }

    /// Returns what the client is told; of our own faults only what it can act on.
    pub(crate) fn detail(&self) -> String {
        if !self.status().is_server_error() {
            return self.to_string();
        }
        match self.retry_after_s() {
            Some(_) => "try again after the time that 'Retry-After' states".to_owned(),
            None => "this is our fault; tell the operator the request id".to_owned(),
        }
    }

    /// Returns the rejected rows that the client is told about.
    pub(crate) fn rejected(&self) -> &[RejectedRow] {
        match self {
            Self::RowsRejected(_, rows) => rows,
            _ => &[],
        }
    }

    /// Returns the response's own field, such as `Allow`.
    pub(crate) fn field(&self) -> Option<(header::HeaderName, HeaderValue)> {
        match self {
            Self::NoCredential => {
                Some((header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")))
            }
            Self::MalformedCredential | Self::UnknownToken => Some((
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer error=\"invalid_token\""),
            )),
            Self::Forbidden { .. } => Some((
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer error=\"insufficient_scope\""),
            )),
            Self::MethodNotAllowed { allow: Some(allow) } => {
                Some((header::ALLOW, HeaderValue::from_static(allow)))
            }
            // RFC 9110 section 12.5.3: tells the client which coding would do.
            Self::Encoding => Some((header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"))),
            _ => None,
        }
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl IntoResponse for Refusal {
    /// The document needs the request's path and id: the stack writes it.
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        response.extensions_mut().insert(Arc::new(self));
        response
    }
}

/// One reason of a rejected row, as answers list it.
#[derive(Debug, serde::Serialize)]
pub(crate) struct RowProblem<'a> {
    line: u32,
    #[serde(flatten)]
    error: &'a RowError,
}

/// Most reasons in one answer.
pub(crate) const MAX_ROW_PROBLEMS: usize = 100;

/// Returns the first reasons of rejected rows.
pub(crate) fn row_problems(rejected: &[RejectedRow]) -> Vec<RowProblem<'_>> {
    let problems = rejected
        .iter()
        .flat_map(|row| row.errors.iter().map(|error| RowProblem { line: row.line, error }));
    problems.take(MAX_ROW_PROBLEMS).collect()
}

fn store_status(error: &StoreError) -> StatusCode {
    match error {
        StoreError::Unavailable(_) | StoreError::Full | StoreError::Misconfigured(_) => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        StoreError::Deadline => StatusCode::GATEWAY_TIMEOUT,
        StoreError::Newer { .. }
        | StoreError::Conflict(_)
        | StoreError::Incompatible(_)
        | StoreError::Corrupt { .. } => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn store_kind(error: &StoreError) -> (&'static str, &'static str) {
    match error {
        StoreError::Unavailable(_) | StoreError::Full | StoreError::Misconfigured(_) => {
            ("store_unavailable", "The store can't be used")
        }
        StoreError::Deadline => ("timeout", "The answer took too long"),
        StoreError::Newer { .. }
        | StoreError::Conflict(_)
        | StoreError::Incompatible(_)
        | StoreError::Corrupt { .. } => ("internal", "The api failed"),
    }
}
