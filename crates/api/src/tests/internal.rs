//! What edges ask.

use http::Method;
use insta::assert_snapshot;
use tidegate_core::clock::Timestamp;
use tidegate_core::edge_plan::EdgePlan;
use tidegate_core::scope::ResolvedScope;
use tidegate_store::Store as _;

use super::fixture::{Fixture, air, request};

async fn scope(api: &Fixture, token: &str) -> ResolvedScope {
    let bearer = format!("Bearer {token}");
    let fields = [("authorization", bearer.as_str())];
    let request = request(Method::GET, "/internal/scope", &fields, "");
    serde_json::from_value(api.send_private(request).await.expect(200).json()).unwrap()
}

#[tokio::test]
async fn a_credential_resolves_to_a_scope_that_tells_nothing_about_it() {
    let api = Fixture::new().await;
    let reader = scope(&api, "acme-reader").await;
    assert_eq!((reader.tenant.as_str(), reader.subject.as_str()), ("acme", "acme-reader"));
    assert_eq!(reader.scopes, ["read:air"]);
    assert_eq!(reader.lifetime_ms, 30_000);
    assert!(!reader.scope_key.contains("acme"));
    let (admin, other) = (scope(&api, "acme-admin").await, scope(&api, "globex-admin").await);
    assert_ne!(admin.scope_key, other.scope_key);
    assert_ne!(admin.scope_key, reader.scope_key);
}

#[tokio::test]
async fn an_unknown_credential_resolves_to_nothing() {
    let api = Fixture::new().await;
    let fields = [("authorization", "Bearer nonsense")];
    let request = request(Method::GET, "/internal/scope", &fields, "");
    let reply = api.send_private(request).await.expect(401);
    assert_snapshot!(reply.text(), @r#"{"type":"urn:tidegate:problem:unknown_token","title":"The token is not valid","status":401,"detail":"the token is not known; it may have been revoked","instance":"/internal/scope","code":"unknown_token","request_id":"r1","retryable":false}"#);
}

#[tokio::test]
async fn a_revoked_credential_resolves_to_nothing_before_its_notice_is_heard() {
    let api = Fixture::new().await;
    // Remembered by the api itself, which hears of the revocation later than an edge may.
    api.get("acme-reader", "/v1/air/cities/oslo/series").await.expect(200);
    assert!(api.store.revoke_token("acme-reader").await.unwrap());
    let fields = [("authorization", "Bearer acme-reader")];
    api.send_private(request(Method::GET, "/internal/scope", &fields, "")).await.expect(401);
}

#[tokio::test]
async fn edge_plans_are_found_by_digest() {
    let api = Fixture::new().await;
    let contract = tidegate_product::compile("air.toml", &air()).unwrap();
    for plan in [EdgePlan::empty(), tidegate_product::edge_plan(&contract)] {
        let path = format!("/internal/edge-plan/{}", plan.digest());
        let reply = api.send_private(request(Method::GET, &path, &[], "")).await.expect(200);
        let served: EdgePlan = serde_json::from_slice(&reply.body).unwrap();
        assert_eq!(served.digest(), plan.digest());
    }
    let unknown = request(Method::GET, "/internal/edge-plan/sha256:00", &[], "");
    api.send_private(unknown).await.expect(404);
}

#[tokio::test]
async fn the_plan_of_a_contract_that_was_just_applied_is_found() {
    let api = Fixture::new().await;
    // Another process applies it; this api has not looked since.
    let compile = |source: &str| tidegate_product::compile("air.toml", source).unwrap();
    let contract = compile(&air().replace("ttl = \"30s\"", "ttl = \"31s\""));
    let digest = tidegate_product::edge_plan(&contract).digest();
    assert_ne!(digest, tidegate_product::edge_plan(&compile(&air())).digest());
    api.store.apply_contract(&contract, Timestamp::now()).await.unwrap();
    let path = format!("/internal/edge-plan/{digest}");
    api.send_private(request(Method::GET, &path, &[], "")).await.expect(200);
}

#[tokio::test]
async fn the_private_routes_are_not_public() {
    let api = Fixture::new().await;
    for path in ["/internal/scope", "/internal/edge-plan/x", "/metrics", "/livez", "/readyz"] {
        api.get("acme-admin", path).await.expect(404);
    }
}
