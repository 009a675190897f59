//! What workers and edges ask: refreshes, hot keys, scaling, revoked canaries.

use http::Method;
use serde_json::json;
use tidegate_core::cache_update::{
    Finding, Origin, REFRESH_PATH, Reader, RefreshOrder, RefreshOutcome, Resource,
};
use tidegate_core::hot::{self, HotKey, HotReport};
use tidegate_core::notice::Notice;
use tidegate_core::scope::scope_key;
use tidegate_core::{scale, seq};
use tidegate_queue::{Heard, Subscription};
use tidegate_store::{Canaries as _, HotKeys as _, Store as _};

use super::fixture::{Fixture, Reply, request, row};

const PATH: &str = "/v1/air/cities/oslo/series";

async fn post(api: &Fixture, path: &str, body: &impl serde::Serialize) -> Reply {
    let body = serde_json::to_string(body).unwrap();
    let fields = [("content-type", "application/json")];
    api.send_private(request(Method::POST, path, &fields, body)).await
}

/// What an edge would hold of an answer to a reader.
async fn order(api: &Fixture) -> RefreshOrder {
    let product = api.app.catalog.load().product("air").map(std::sync::Arc::clone).unwrap();
    let endpoint = product.contract().endpoints.iter().find(|e| e.name == "city_series").unwrap();
    let reader = Reader { tenant: "acme".to_owned(), scopes: vec!["read:air".to_owned()] };
    let reply = api.get("acme-reader", PATH).await.expect(200);
    RefreshOrder {
        resource: Resource {
            path: PATH.to_owned(),
            query: String::new(),
            scope_key: scope_key(api.store.scope_secret(), &reader.tenant, &reader.scopes, ""),
            epoch: endpoint.hash.clone(),
        },
        origin: Origin { scheme: "https".to_owned(), host: "localhost".to_owned() },
        reader,
        entity_tag: reply.header("etag").to_owned(),
    }
}

async fn hear(subscription: &mut dyn Subscription) -> Vec<Notice> {
    match subscription.next().await.unwrap() {
        Heard::Notices(notices) => notices,
        Heard::Missed => panic!("missed"),
    }
}

#[tokio::test]
async fn an_answer_that_is_still_right_is_confirmed_to_the_edges() {
    let api = Fixture::new().await;
    api.ingest("acme-writer", &row("a", "oslo", "1")).await;
    let mut subscription = api.app.queue.subscribe().await.unwrap();
    let order = order(&api).await;
    let reply = post(&api, REFRESH_PATH, &[&order]).await.expect(200);
    assert_eq!(reply.json(), json!([RefreshOutcome::Unchanged]));
    let [Notice::Refreshed(refreshed)] = &hear(&mut *subscription).await[..] else { panic!() };
    assert_eq!((&refreshed.resource, &refreshed.origins[0]), (&order.resource, &order.origin));
    let Finding::Unchanged { entity_tag, fields } = &refreshed.finding else { panic!() };
    assert_eq!(entity_tag, &order.entity_tag);
    let names: Vec<&str> = fields.iter().map(|(name, _)| name.as_str()).collect();
    for name in ["etag", "cache-control", "surrogate-key", seq::HEADER, "vary"] {
        assert!(names.contains(&name), "{name}: {names:?}");
    }
}

#[tokio::test]
async fn an_answer_that_has_changed_is_told_as_such() {
    let api = Fixture::new().await;
    api.ingest("acme-writer", &row("a", "oslo", "1")).await;
    let order = order(&api).await;
    api.ingest("acme-writer", &row("b", "oslo", "2")).await;
    let mut subscription = api.app.queue.subscribe().await.unwrap();
    let reply = post(&api, REFRESH_PATH, &[&order]).await.expect(200);
    assert_eq!(reply.json(), json!([RefreshOutcome::Changed]));
    let [Notice::Refreshed(refreshed)] = &hear(&mut *subscription).await[..] else { panic!() };
    assert_eq!(refreshed.finding, Finding::Changed);
    assert_eq!(refreshed.seq.seq, 2);
}

#[tokio::test]
async fn an_order_for_what_the_reader_may_not_read_finds_nothing() {
    let api = Fixture::new().await;
    let good = order(&api).await;
    let mut other_tenant = good.clone();
    other_tenant.reader.tenant = "globex".to_owned();
    let mut other_scope = good.clone();
    other_scope.reader.scopes = vec!["read:shop".to_owned()];
    let mut older = good.clone();
    older.resource.epoch = "0".repeat(64);
    let mut elsewhere = good;
    elsewhere.resource.path = "/v1/shop/x".to_owned();
    let orders = [other_tenant, other_scope, older, elsewhere];
    let reply = post(&api, REFRESH_PATH, &orders).await.expect(200);
    assert_eq!(reply.json(), json!(["gone", "gone", "gone", "gone"]));
    let too_many = vec![&orders[0]; 33];
    post(&api, REFRESH_PATH, &too_many).await.expect(400);
}

#[tokio::test]
async fn what_edges_serve_most_is_kept_by_tag() {
    let api = Fixture::new().await;
    let RefreshOrder { resource, origin, reader, .. } = order(&api).await;
    let tags = vec!["acme/air/v:city_hour:city=oslo".to_owned()];
    let key = HotKey { resource, origin, reader, tags: tags.clone(), requests: 9 };
    let mut foreign = key.clone();
    foreign.resource.path = "/v1/shop/x".to_owned();
    let report = HotReport { node: "e1".to_owned(), keys: vec![key.clone(), foreign] };
    post(&api, hot::PATH, &report).await.expect(204);
    let kept = api.store.hot("acme", "air", &tags, 10).await.unwrap();
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0].resource, key.resource);
}

#[tokio::test]
async fn an_autoscaler_reads_how_many_workers_the_load_asks_for() {
    let api = Fixture::new().await;
    let reply = api.send_private(request(Method::GET, scale::PATH, &[], "")).await.expect(200);
    let signal: scale::Signal = serde_json::from_value(reply.json()).unwrap();
    assert_eq!((signal.desired, signal.current, signal.ready), (1, 0, 0));
    api.post("acme-writer", row("a", "oslo", "1"), &[]).await.expect(202);
    let reply = api.send_private(request(Method::GET, scale::PATH, &[], "")).await.expect(200);
    assert_eq!(reply.json()["ready"], 1);
}

#[tokio::test]
async fn a_revocation_counts_only_if_it_is_newer() {
    let api = Fixture::new().await;
    for (epoch, newer) in [(3, true), (3, false), (2, false), (4, true)] {
        let revocation = json!({ "release": "sha256:aa", "epoch": epoch });
        let reply = post(&api, "/internal/canaries/revoke", &revocation).await.expect(200);
        assert_eq!(reply.json()["newer"], newer, "{epoch}");
    }
    let revoked = api.store.revoked_canaries().await.unwrap();
    assert_eq!(revoked, [("sha256:aa".to_owned(), 4)]);
}
