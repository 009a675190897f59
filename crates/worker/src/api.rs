//! The worker's client of the api's private listeners.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::uri::Authority;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::timeout;

/// How long a connection may take to come about.
const CONNECTING: Duration = Duration::from_secs(1);

/// How long an answer may take, all of it.
const ANSWERING: Duration = Duration::from_secs(5);

/// How long a connection is kept that nobody uses: shorter than the other side keeps it.
const IDLE: Duration = Duration::from_secs(4);

/// Connections kept for each instance.
const KEPT: usize = 8;

/// Longest answer that is read, in bytes.
const MAX_ANSWER: usize = 256 << 10;

/// Asks api instances in turn.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    instances: Arc<[Authority]>,
    next: Arc<AtomicUsize>,
    client: Client<HttpConnector, Full<Bytes>>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    #[error("no api instance can be reached, the last one is {instance}")]
    Unreachable {
        instance: Authority,
        #[source]
        source: hyper_util::client::legacy::Error,
    },
    #[error("{0} did not answer in time")]
    TimedOut(Authority),
    #[error("{instance} answered {status}")]
    Refused { instance: Authority, status: StatusCode },
    #[error("the answer of {0} can't be read")]
    Unreadable(Authority),
}

// === impl Api ===

impl Api {
    /// Makes a client of at least one instance.
    pub(crate) fn new(instances: Vec<Authority>) -> Option<Self> {
        if instances.is_empty() {
            return None;
        }
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECTING));
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(KEPT)
            .build(connector);
        Some(Self { instances: instances.into(), next: Arc::default(), client })
    }

    /// Posts a JSON document; returns the answer. An instance that can't be reached is passed over.
    pub(crate) async fn post(&self, path: &str, document: Bytes) -> Result<Bytes, ApiError> {
        let (first, count) = (self.next.fetch_add(1, Ordering::Relaxed), self.instances.len());
        let mut turn = 0;
        loop {
            let instance = &self.instances[first.wrapping_add(turn) % count];
            turn += 1;
            match self.ask(instance, path, document.clone()).await {
                // Nothing was sent, or the process behind it is gone: the next one may be there.
                Err(ApiError::Unreachable { .. }) if turn < count => {}
                answer => return answer,
            }
        }
    }

    async fn ask(
        &self,
        instance: &Authority,
        path: &str,
        document: Bytes,
    ) -> Result<Bytes, ApiError> {
        let answered = timeout(ANSWERING, self.exchange(instance, path, document)).await;
        answered.map_err(|_| ApiError::TimedOut(instance.clone()))?
    }

    #[expect(clippy::disallowed_methods, reason = "limited")]
    async fn exchange(
        &self,
        instance: &Authority,
        path: &str,
        document: Bytes,
    ) -> Result<Bytes, ApiError> {
        let unreadable = || ApiError::Unreadable(instance.clone());
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("http://{instance}{path}"))
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(document))
            .map_err(|_| unreadable())?;
        let response = self
            .client
            .request(request)
            .await
            .map_err(|source| ApiError::Unreachable { instance: instance.clone(), source })?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await;
        if !status.is_success() {
            return Err(ApiError::Refused { instance: instance.clone(), status });
        }
        Ok(body.map_err(|_| unreadable())?.to_bytes())
    }
}
