//! An api over a store and a queue in a directory of its own.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::{HeaderName, Method, Request, StatusCode};
use http_body_util::{BodyExt, Limited};
use serde_json::Value;
use tempfile::TempDir;
use tidegate_core::clock::Timestamp;
use tidegate_core::scope::credential_digest;
use tidegate_queue::{SharedQueue, SqliteQueue};
use tidegate_store::{NewToken, SharedStore, SqliteStore, Store};
use tower::ServiceExt;
use uuid::Uuid;

use crate::admin::Release;
use crate::app::App;
use crate::config::Limits;
use crate::router;

/// Where rows of the demo product go.
pub(super) const ROWS: &str = "/v1/air/datasets/readings/rows";

/// Tokens that every fixture knows, with their tenant and scope. A token's name is its credential.
const TOKENS: [(&str, &str, &str); 6] = [
    ("acme-admin", "acme", "admin:*"),
    ("acme-reader", "acme", "read:air"),
    ("acme-writer", "acme", "write:air"),
    ("acme-shop", "acme", "read:shop"),
    ("globex-admin", "globex", "admin:*"),
    ("default-admin", "default", "admin:*"),
];

/// An api without listeners.
pub(super) struct Fixture {
    pub(super) app: Arc<App>,
    pub(super) store: Arc<SqliteStore>,
    pub(super) directory: TempDir,
    public: Router,
    private: Router,
}

/// An answer, read whole.
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) headers: http::HeaderMap,
    pub(super) body: Vec<u8>,
}

/// The demo product as it is shipped.
pub(super) fn air() -> String {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/products/air.toml");
    std::fs::read_to_string(file).unwrap()
}

/// A valid row with a value of its own text, two hours old.
pub(super) fn row(id: &str, city: &str, value: &str) -> String {
    line(id, city, value, 2)
}

/// A valid row of an age.
pub(super) fn row_of_hours_ago(id: &str, city: &str, hours: u64) -> String {
    line(id, city, "1", hours)
}

fn line(id: &str, city: &str, value: &str, hours: u64) -> String {
    let ts = Timestamp::now().before(Duration::from_secs(hours * 3_600)).to_rfc3339();
    format!(
        "{{\"reading_id\":\"{id}\",\"station\":\"st-1\",\"city\":\"{city}\",\
         \"pollutant\":\"no2\",\"ts\":\"{ts}\",\"value\":{value}}}\n"
    )
}

// === impl Fixture ===

impl Fixture {
    pub(super) async fn new() -> Self {
        Self::with(&air(), Limits::default()).await
    }

    pub(super) async fn with(product: &str, limits: Limits) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&directory.path().join("store.db")).unwrap();
        let store = Arc::new(store);
        let now = Timestamp::now();
        let contract = tidegate_product::compile("air.toml", product).unwrap();
        store.apply_contract(&contract, now).await.unwrap();
        for (name, tenant, scope) in TOKENS {
            let token = NewToken {
                name: name.to_owned(),
                digest: credential_digest(name),
                tenant: tenant.to_owned(),
                scopes: vec![scope.to_owned()],
            };
            store.create_token(token, now).await.unwrap();
        }
        let queue = SqliteQueue::open(&directory.path().join("queue.db")).unwrap();
        let backends = (Arc::clone(&store) as SharedStore, Arc::new(queue) as SharedQueue);
        let app = crate::run::app(backends, Release::default(), limits).await.unwrap();
        let (public, private) = (router::public(&app), router::private(&app));
        Self { app, store, directory, public, private }
    }

    /// Sends a request to the public listener's routes.
    pub(super) async fn send(&self, request: Request<Body>) -> Reply {
        Reply::of(self.public.clone(), request).await
    }

    /// Sends a request to the private listener's routes.
    pub(super) async fn send_private(&self, request: Request<Body>) -> Reply {
        Reply::of(self.private.clone(), request).await
    }

    /// Reads a path with a token.
    pub(super) async fn get(&self, token: &str, path: &str) -> Reply {
        self.get_with(token, path, &[]).await
    }

    /// Reads a path with a token and further fields.
    pub(super) async fn get_with(
        &self,
        token: &str,
        path: &str,
        fields: &[(&'static str, &str)],
    ) -> Reply {
        let bearer = format!("Bearer {token}");
        let fields = [&[("authorization", bearer.as_str())], fields].concat();
        self.send(request(Method::GET, path, &fields, "")).await
    }

    /// Sends NDJSON rows with a token and further fields.
    pub(super) async fn post(
        &self,
        token: &str,
        body: impl Into<Body>,
        fields: &[(&'static str, &str)],
    ) -> Reply {
        let bearer = format!("Bearer {token}");
        let always = [("authorization", bearer.as_str()), ("content-type", "application/x-ndjson")];
        let fields = [&always[..], fields].concat();
        self.send(request(Method::POST, ROWS, &fields, body)).await
    }

    /// Sends rows and applies them, as a worker would.
    pub(super) async fn ingest(&self, token: &str, rows: &str) -> Uuid {
        let reply = self.post(token, rows.to_owned(), &[]).await.expect(202);
        let job: Uuid = reply.json()["job"].as_str().unwrap().parse().unwrap();
        self.apply(job).await;
        job
    }

    /// Applies a batch, as a worker would.
    pub(super) async fn apply(&self, job: Uuid) {
        let now = Timestamp::now();
        let claims = self.store.claim(&[job], now).await.unwrap();
        assert_eq!(claims.len(), 1);
        self.store.apply(claims, now).await.unwrap();
    }
}

/// Builds a request.
pub(super) fn request(
    method: Method,
    path: &str,
    fields: &[(&'static str, &str)],
    body: impl Into<Body>,
) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in fields {
        request = request.header(HeaderName::from_static(name), *value);
    }
    // Makes documents comparable.
    request.header("x-request-id", "r1").body(body.into()).unwrap()
}

// === impl Reply ===

impl Reply {
    #[expect(clippy::disallowed_methods, reason = "limited")]
    pub(super) async fn of(router: Router, request: Request<Body>) -> Self {
        let response = router.oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, 16 << 20).collect().await.unwrap().to_bytes().to_vec();
        Self { status: parts.status, headers: parts.headers, body }
    }

    #[track_caller]
    pub(super) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("{}", self.text()))
    }

    /// Returns a field, empty if it is missing.
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}
