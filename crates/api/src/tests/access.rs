//! Who may do what, and what others are told.

use axum::body::Body;
use http::Method;
use insta::assert_snapshot;
use tidegate_core::scope::credential_digest;
use tidegate_store::Store;

use super::fixture::{Fixture, ROWS, air, request, row};
use crate::config::Limits;

const SERIES: &str = "/v1/air/cities/oslo/series";

#[tokio::test]
async fn without_a_token_nothing_is_told() {
    let api = Fixture::new().await;
    let reply = api.send(request(Method::GET, SERIES, &[], "")).await.expect(401);
    assert_eq!(reply.header("www-authenticate"), "Bearer");
    assert_eq!(reply.header("content-type"), "application/problem+json");
    assert_eq!(reply.header("cache-control"), "no-store");
    assert_snapshot!(reply.text(), @r#"{"type":"urn:tidegate:problem:no_credential","title":"A token is needed","status":401,"detail":"this needs a token; send it as 'Authorization: Bearer TOKEN'","instance":"/v1/air/cities/oslo/series","code":"no_credential","request_id":"r1","retryable":false}"#);
    let reply = api.send(request(Method::GET, "/v1/air/nowhere", &[], "")).await.expect(404);
    assert_snapshot!(reply.text(), @r#"{"type":"urn:tidegate:problem:not_found","title":"There is no such thing","status":404,"detail":"nothing is served at this path","instance":"/v1/air/nowhere","code":"not_found","request_id":"r1","retryable":false}"#);
}

#[tokio::test]
async fn a_wrong_token_and_a_wrong_scope_are_told_apart() {
    let api = Fixture::new().await;
    let reply = api.get("nonsense", SERIES).await.expect(401);
    assert_eq!(reply.header("www-authenticate"), "Bearer error=\"invalid_token\"");
    assert_snapshot!(reply.text(), @r#"{"type":"urn:tidegate:problem:unknown_token","title":"The token is not valid","status":401,"detail":"the token is not known; it may have been revoked","instance":"/v1/air/cities/oslo/series","code":"unknown_token","request_id":"r1","retryable":false}"#);
    let reply = api.post("acme-reader", row("a", "oslo", "1"), &[]).await.expect(403);
    assert_eq!(reply.header("www-authenticate"), "Bearer error=\"insufficient_scope\"");
    assert_snapshot!(reply.text(), @r#"{"type":"urn:tidegate:problem:missing_scope","title":"The token does not allow this","status":403,"detail":"token 'acme-reader' may not do this; it needs the scope 'write:air'","instance":"/v1/air/datasets/readings/rows","code":"missing_scope","request_id":"r1","retryable":false}"#);
    api.get("acme-shop", SERIES).await.expect(403);
    api.get("acme-writer", SERIES).await.expect(403);
    api.get("acme-admin", SERIES).await.expect(200);
}

#[tokio::test]
async fn a_revoked_token_ends_with_its_notice() {
    let api = Fixture::new().await;
    api.get("acme-reader", SERIES).await.expect(200);
    assert!(api.store.revoke_token("acme-reader").await.unwrap());
    api.app.credentials.revoke(&credential_digest("acme-reader"));
    api.get("acme-reader", SERIES).await.expect(401);
    api.get("acme-admin", SERIES).await.expect(200);
}

#[tokio::test]
async fn those_who_may_know_are_told_what_there_is() {
    let api = Fixture::new().await;
    for path in ["/v1/air/nowhere", "/v1/air", "/v1/shop/top", "/", "/v2/air"] {
        let reply = api.get("acme-reader", path).await.expect(404);
        assert_eq!(reply.json()["code"], "not_found");
    }
    let reply = api.get("acme-reader", "/v1/air/nowhere").await;
    assert_snapshot!(reply.json()["detail"].as_str().unwrap(), @"product 'air' serves nothing at this path; its endpoints are /v1/air/cities/{city}/series, /v1/air/worst, /v1/air/stations/{station}/days, /v1/air/readings");
    let reply = api.get("acme-reader", "/v1/shop/top").await;
    assert_snapshot!(reply.json()["detail"].as_str().unwrap(), @"nothing is served at this path; products that this token knows are air");
    let reply = api.get("acme-shop", "/v1/air/nowhere").await;
    assert_snapshot!(reply.json()["detail"].as_str().unwrap(), @"nothing is served at this path");
}

#[tokio::test]
async fn tenants_see_their_own_rows_only() {
    let api = Fixture::new().await;
    api.ingest("acme-writer", &row("a", "oslo", "7")).await;
    let path = "/v1/air/cities/oslo/series?pollutant=no2";
    let of = async |token: &str| api.get(token, path).await.expect(200);
    let (acme, globex) = (of("acme-admin").await, of("globex-admin").await);
    assert_eq!(acme.json()["data"].as_array().unwrap().len(), 1, "{}", acme.text());
    assert_eq!(globex.json()["data"].as_array().unwrap().len(), 0, "{}", globex.text());
    assert_ne!(acme.header("etag"), globex.header("etag"));
    assert!(acme.header("x-data-seq").contains("/acme-air/"));
    assert!(globex.header("surrogate-key").starts_with("globex/air"));
}

#[tokio::test]
async fn a_public_endpoint_answers_anyone_with_the_default_tenants_rows() {
    let public = air().replace("scope = \"read:air\"", "scope = \"public\"");
    let api = Fixture::with(&public, Limits::default()).await;
    api.ingest("default-admin", &row("a", "oslo", "7")).await;
    let path = "/v1/air/cities/oslo/series?pollutant=no2";
    let anonymous = api.send(request(Method::GET, path, &[], "")).await.expect(200);
    assert_eq!(anonymous.json()["data"].as_array().unwrap().len(), 1, "{}", anonymous.text());
    assert!(anonymous.header("cache-control").starts_with("public, "));
    assert!(!anonymous.header("vary").contains("Authorization"));
    // The answer is shared: no credential may change it.
    for token in ["globex-admin", "nonsense"] {
        let reply = api.get(token, path).await.expect(200);
        assert_eq!(reply.body, anonymous.body);
        assert_eq!(reply.header("etag"), anonymous.header("etag"));
    }
}

#[tokio::test]
async fn other_methods_are_refused_with_those_that_are_allowed() {
    let api = Fixture::new().await;
    for (method, path, allow) in [
        (Method::GET, ROWS, "POST"),
        (Method::OPTIONS, ROWS, "POST"),
        (Method::PUT, SERIES, "GET, HEAD"),
        (Method::OPTIONS, SERIES, "GET, HEAD"),
        (Method::PUT, "/v1/jobs/0197b1c4-0000-7000-8000-000000000000", "GET,HEAD,DELETE"),
    ] {
        let reply = api.send(request(method, path, &[], "")).await.expect(405);
        assert_eq!(reply.header("allow"), allow, "{path}");
        assert_eq!(reply.json()["code"], "method_not_allowed");
    }
}

#[tokio::test]
async fn beyond_the_limit_requests_are_shed_and_told_when_to_come_back() {
    let limits = Limits { in_flight: 1, ..Limits::default() };
    let api = Fixture::with(&air(), limits).await;
    let stalled = Body::from_stream(futures_util::stream::pending::<std::io::Result<Vec<u8>>>());
    let mut first = std::pin::pin!(api.post("acme-writer", stalled, &[]));
    assert!(futures_util::poll!(&mut first).is_pending());
    let reply = api.get("acme-reader", SERIES).await.expect(503);
    assert_eq!(reply.header("retry-after"), "1");
    assert_snapshot!(reply.text(), @r#"{"type":"urn:tidegate:problem:overloaded","title":"The api is busy","status":503,"detail":"try again after the time that 'Retry-After' states","instance":"/v1/air/cities/oslo/series","code":"overloaded","request_id":"r1","retryable":true}"#);
    let bearer = [("authorization", "Bearer acme-reader")];
    let scope = request(Method::GET, "/internal/scope", &bearer, "");
    api.send_private(scope).await.expect(200);
}
