//! What control answers, asked through its router.

use axum::body::Body;
use axum::http::Request;
use http_body_util::{BodyExt, Limited};
use tidegate_core::clock::Timestamp;
use tidegate_core::keys::{PrivateKey, Signed};
use tidegate_core::routing::RoutingDocument;
use tower::ServiceExt;

use super::*;
use crate::config;
use crate::contract::Governed;

const NOW: Timestamp = Timestamp(1_700_000_000_000_000);

struct Fixture {
    issuer: Arc<Issuer>,
    shutdown: Shutdown,
    _dir: tempfile::TempDir,
}

// === impl Fixture ===

impl Fixture {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let key = PrivateKey::load_or_create(&dir.path().join("control.key")).unwrap();
        let config = config::sample(dir.path());
        let issuer = Arc::new(Issuer::new(&config, key, 7, &governed("sha256:a"), NOW));
        Self { issuer, shutdown: Shutdown::new(), _dir: dir }
    }

    #[expect(clippy::disallowed_methods, reason = "limited")]
    async fn get(&self, uri: &str) -> (StatusCode, Vec<u8>) {
        let router = router(Arc::clone(&self.issuer), self.shutdown.clone());
        let request = Request::get(uri).body(Body::empty()).unwrap();
        let response = router.oneshot(request).await.unwrap();
        let status = response.status();
        let body = Limited::new(response.into_body(), 1 << 20).collect().await.unwrap();
        (status, body.to_bytes().to_vec())
    }

    async fn document(&self, uri: &str) -> RoutingDocument {
        let (status, body) = self.get(uri).await;
        assert_eq!(status, StatusCode::OK);
        let signed: Signed = serde_json::from_slice(&body).unwrap();
        RoutingDocument::accept(&signed, &self.issuer.public_key(), "gq-ztfutjv", None).unwrap()
    }
}

fn governed(edge_plan: &str) -> Governed {
    Governed {
        source: Some(String::new()),
        product: Some("air".to_owned()),
        edge_plan: edge_plan.to_owned(),
    }
}

#[tokio::test]
async fn who_holds_nothing_or_something_older_is_answered_at_once() {
    let fixture = Fixture::new();
    for uri in ["/v1/routing", "/v1/routing?wait=30", "/v1/routing?after=6.99&wait=30"] {
        let document = fixture.document(uri).await;
        assert_eq!(document.version(), (7, 1), "{uri}");
        assert_eq!((document.stable.edge_plan.as_str(), document.weight_bp), ("sha256:a", 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_with_the_next_generation() {
    let fixture = Fixture::new();
    let waiting = fixture.document("/v1/routing?after=7.1&wait=30");
    let issuing = async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        fixture.issuer.issue(&governed("sha256:b"), NOW);
    };
    let (document, ()) = tokio::join!(waiting, issuing);
    assert_eq!((document.version(), document.stable.edge_plan.as_str()), ((7, 2), "sha256:b"));
}

#[tokio::test(start_paused = true)]
async fn a_wait_without_news_ends_empty_after_at_most_thirty_seconds() {
    async fn check(wait: &str, seconds: u64) {
        let fixture = Fixture::new();
        let started = tokio::time::Instant::now();
        let (status, body) = fixture.get(&format!("/v1/routing?after=7.1{wait}")).await;
        assert_eq!((status, body.len()), (StatusCode::NO_CONTENT, 0));
        assert_eq!(started.elapsed().as_secs(), seconds, "{wait}");
    }
    check("", 0).await;
    check("&wait=20", 20).await;
    check("&wait=86400", 30).await;
}

#[tokio::test]
async fn a_drain_does_not_wait_for_those_who_wait() {
    let fixture = Fixture::new();
    fixture.shutdown.cancel();
    assert_eq!(fixture.get("/v1/routing?after=7.1&wait=30").await.0, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn malformed_questions_are_refused() {
    let fixture = Fixture::new();
    for query in ["after=7", "after=7.x", "after=7.1&wait=soon", "after=7.1&until=8", "after=-1.0"]
    {
        let (status, body) = fixture.get(&format!("/v1/routing?{query}")).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{query}");
        assert!(String::from_utf8(body).unwrap().contains("<epoch>.<generation>"));
    }
}

#[tokio::test]
async fn status_and_key_tell_what_edges_need_to_trust_it() {
    let fixture = Fixture::new();
    let parse = |body: Vec<u8>| serde_json::from_slice::<serde_json::Value>(&body).unwrap();
    let status = parse(fixture.get("/v1/status").await.1);
    let expected = json!({
        "project": "gq-ztfutjv",
        "environment": "local",
        "release": format!("sha256:{}", "0".repeat(64)),
        "epoch": 7,
        "generation": 1,
        "product": "air",
    });
    assert_eq!(status, expected);
    let key = parse(fixture.get("/v1/key").await.1);
    assert_eq!(key["public_key"], fixture.issuer.public_key().to_hex());
}
