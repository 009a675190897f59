//! What is stale is validated, served meanwhile, or stands in for an origin that fails.
//!
//! Responses are made stale by the `Age` the origin sends, not by waiting.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::harness::{TestEdge, eventually, routed};
use super::origin::{Asked, Origin, Reply};

/// A response that was born a hundred seconds ago.
fn aged(control: &str) -> Reply {
    Reply::new(200, &[("cache-control", control), ("age", "100"), ("etag", "\"v1\"")], "one")
}

fn not_modified(control: &str) -> Reply {
    Reply::new(304, &[("cache-control", control), ("etag", "\"v1\"")], "")
}

fn is_conditional(asked: &Asked) -> bool {
    asked.header("if-none-match") == "\"v1\""
}

#[tokio::test]
async fn a_stale_response_is_validated_and_then_fresh_again() {
    let origin = Origin::start(|asked| {
        if is_conditional(asked) { not_modified("max-age=60") } else { aged("max-age=60") }
    })
    .await;
    let edge = TestEdge::before(&origin).await;
    edge.get("/").await.check("one", "fwd=uri-miss; stored; ttl=-40");
    let validated = edge.get("/").await;
    validated.check("one", "fwd=stale; fwd-status=304; stored; ttl=60");
    assert_eq!((validated.status.as_u16(), validated.header("age")), (200, "0"));
    edge.get("/").await.check("one", "hit");
    assert_eq!(origin.count("/"), 2);
}

#[tokio::test]
async fn a_304_for_something_else_leads_to_a_whole_response() {
    let origin = Origin::start(|asked| match is_conditional(asked) {
        true => Reply::new(304, &[("etag", "\"v2\"")], ""),
        false => aged("max-age=60"),
    })
    .await;
    let edge = TestEdge::before(&origin).await;
    edge.get("/").await.check("one", "fwd=uri-miss; stored");
    edge.get("/").await.check("one", "fwd=stale; stored");
    assert_eq!(origin.count("/"), 3);
}

#[tokio::test]
async fn within_its_window_a_stale_response_is_served_while_one_validation_runs() {
    let gate = Arc::new(Semaphore::new(0));
    let held = Arc::clone(&gate);
    let origin = Origin::start(move |asked| match is_conditional(asked) {
        true => not_modified("max-age=60").behind(&held),
        false => aged("max-age=60, stale-while-revalidate=1000"),
    })
    .await;
    let edge = TestEdge::before(&origin).await;
    edge.get("/").await.check("one", "fwd=uri-miss; stored");
    for _ in 0..5 {
        edge.get("/").await.check("one", "hit; ttl=-40");
    }
    origin.wait_for("/", 2).await;
    gate.add_permits(1);
    eventually(async || edge.get("/").await.cache_status().starts_with("hit; ttl=6")).await;
    assert_eq!(origin.count("/"), 2);
}

#[tokio::test]
async fn a_stale_response_stands_in_for_an_error() {
    let origin = Origin::start(|_| aged("max-age=60, stale-if-error=1000")).await;
    let edge = TestEdge::before(&origin).await;
    edge.get("/").await.check("one", "fwd=uri-miss; stored");
    origin.now(|_| Reply::new(503, &[], "down"));
    edge.get("/").await.check("one", "fwd=stale; fwd-status=503; ttl=-40; detail=stale-if-error");
    origin.now(|_| Reply::new(404, &[], "gone"));
    edge.get("/").await.check("gone", "fwd=stale; detail=no-lifetime");
}

#[tokio::test]
async fn without_a_window_an_error_is_passed_on() {
    let origin = Origin::start(|_| aged("max-age=60")).await;
    let edge = TestEdge::before(&origin).await;
    edge.get("/").await.check("one", "fwd=uri-miss; stored");
    origin.now(|_| Reply::new(503, &[], "down"));
    edge.get("/").await.check("down", "fwd=stale");
}

#[tokio::test]
async fn an_origin_that_is_gone_is_covered_unless_it_forbade_that() {
    let origin = Origin::start(|asked| match asked.uri.path() {
        "/strict" => aged("max-age=60, stale-if-error=1000, must-revalidate"),
        "/shared" => aged("s-maxage=60"),
        _ => aged("max-age=60"),
    })
    .await;
    let edge = TestEdge::configured(&routed(origin.address, ""), None).await;
    for path in ["/plain", "/strict", "/shared"] {
        edge.get(path).await.check("one", "fwd=uri-miss; stored");
    }
    drop(origin);
    edge.get("/plain").await.check("one", "fwd=stale; ttl=-40; detail=stale-if-error");
    for path in ["/strict", "/shared", "/unknown"] {
        let answer = edge.get(path).await;
        assert_eq!(answer.status, 502, "{path}");
        assert_eq!(answer.header("content-type"), "application/problem+json");
    }
}
