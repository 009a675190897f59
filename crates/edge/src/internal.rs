//! Small questions to the tiers behind the edge: bounded answers within a bounded time.

use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::uri::{Authority, PathAndQuery};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use http_body_util::{BodyExt, Limited};

use crate::error::RequestError;
use crate::upstream::{Origin, Outbound, Upstreams, pool::Content};

/// Longest wait for the head of any answer: each question sets its own, shorter one.
const LONGEST: Duration = Duration::from_secs(60);

/// Asks over connections of its own: patience with control is not patience with an origin.
#[derive(Clone)]
pub(crate) struct Internal {
    upstreams: Upstreams,
}

/// One question.
pub(crate) struct Question<'a> {
    pub(crate) addresses: Vec<Authority>,
    pub(crate) path: &'a str,
    pub(crate) authorization: Option<HeaderValue>,
    pub(crate) patience: Duration,
    pub(crate) max_bytes: usize,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoAnswer {
    #[error("it can't be reached")]
    Failed(#[from] RequestError),
    #[error("it did not answer in time")]
    TimedOut,
    #[error("its answer can't be read")]
    Unreadable,
}

// === impl Internal ===

impl Internal {
    pub(crate) fn new(connect_timeout: Duration) -> Self {
        Self { upstreams: Upstreams::new(connect_timeout, LONGEST) }
    }

    /// Asks the first instance that can be reached.
    pub(crate) async fn get(
        &self,
        question: Question<'_>,
    ) -> Result<(StatusCode, Bytes), NoAnswer> {
        self.ask_within(question, (Method::GET, Content::None)).await
    }

    /// Tells one instance something, as JSON.
    pub(crate) async fn post(
        &self,
        question: Question<'_>,
        json: Bytes,
    ) -> Result<(StatusCode, Bytes), NoAnswer> {
        self.ask_within(question, (Method::POST, Content::Json(json))).await
    }

    async fn ask_within(
        &self,
        question: Question<'_>,
        what: (Method, Content),
    ) -> Result<(StatusCode, Bytes), NoAnswer> {
        let patience = question.patience;
        match tokio::time::timeout(patience, self.ask(question, what)).await {
            Ok(answer) => answer,
            Err(_) => Err(NoAnswer::TimedOut),
        }
    }

    #[expect(clippy::disallowed_methods, reason = "limited")]
    async fn ask(
        &self,
        question: Question<'_>,
        (method, content): (Method, Content),
    ) -> Result<(StatusCode, Bytes), NoAnswer> {
        let path_and_query: PathAndQuery =
            question.path.parse().map_err(|_| NoAnswer::Unreadable)?;
        let mut headers = HeaderMap::new();
        if let Some(value) = question.authorization {
            headers.insert(AUTHORIZATION, value);
        }
        if let Content::Json(_) = content {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        let outbound = Outbound { method, path_and_query, headers, content };
        let origin =
            Origin::new("internal", question.addresses).ok_or(RequestError::Unreachable)?;
        let response = self.upstreams.ask(&origin, outbound).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), question.max_bytes).collect().await;
        Ok((status, body.map_err(|_| NoAnswer::Unreadable)?.to_bytes()))
    }
}
