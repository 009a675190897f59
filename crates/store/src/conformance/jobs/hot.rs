//! Hot keys.

use std::time::Duration;

use tidegate_core::cache_update::{Origin, Reader, Resource};
use tidegate_core::clock::Timestamp;
use tidegate_core::hot::{HotKey, HotReport, MAX_KEYS};

use crate::HALF_LIFE;
use crate::conformance::{Engine, Fixture, NOW, TENANT};

fn key(path: &str, tenant: &str, tags: &[&str], requests: u64) -> HotKey {
    HotKey {
        resource: Resource {
            path: path.to_owned(),
            query: String::new(),
            scope_key: String::new(),
            epoch: "e1".to_owned(),
        },
        origin: Origin { scheme: "https".to_owned(), host: "localhost".to_owned() },
        reader: Reader { tenant: tenant.to_owned(), scopes: Vec::new() },
        tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
        requests,
    }
}

async fn record(fixture: &Fixture, keys: &[HotKey], now: Timestamp) {
    let report = HotReport { node: "edge-1".to_owned(), keys: keys.to_vec() };
    fixture.store.record_hot("air", &report, now).await.unwrap();
}

/// Returns paths and requests of the keys found.
async fn hot(fixture: &Fixture, tags: &[&str], limit: usize) -> Vec<(String, u64)> {
    let tags: Vec<String> = tags.iter().map(|tag| (*tag).to_owned()).collect();
    let keys = fixture.store.hot(TENANT, "air", &tags, limit).await.unwrap();
    keys.into_iter().map(|key| (key.resource.path, key.requests)).collect()
}

fn path(path: &str, requests: u64) -> (String, u64) {
    (path.to_owned(), requests)
}

pub(crate) async fn keys_are_found_by_their_tags_hottest_first(engine: &dyn Engine) {
    let fixture = Fixture::new(engine).await;
    let oslo = key("/oslo", TENANT, &["acme/air/v:c", "acme/air/v:c:city=oslo"], 10);
    let rome = key("/rome", TENANT, &["acme/air/v:c", "acme/air/v:c:city=rome"], 30);
    let public = key("/all", "", &["acme/air/v:c"], 20);
    let other = key("/oslo", "zeta", &["acme/air/v:c"], 40);
    let other =
        HotKey { resource: Resource { scope_key: "z".to_owned(), ..other.resource }, ..other };
    record(&fixture, &[oslo.clone(), rome, public, other], NOW).await;
    let all = [path("/rome", 30), path("/all", 20), path("/oslo", 10)];
    assert_eq!(hot(&fixture, &["acme/air/v:c"], 10).await, all);
    assert_eq!(hot(&fixture, &["acme/air/v:c"], 1).await, all[..1]);
    let either = ["acme/air/v:c:city=oslo", "acme/air/v:c:city=rome", "acme/air/v:d"];
    assert_eq!(hot(&fixture, &either, 10).await, [path("/rome", 30), path("/oslo", 10)]);
    assert!(hot(&fixture, &[], 10).await.is_empty());
    // Another edge adds to it, and its tags have changed since.
    let moved = HotKey { tags: vec!["acme/air/v:d".to_owned()], ..oslo.clone() };
    record(&fixture, std::slice::from_ref(&moved), NOW).await;
    assert_eq!(hot(&fixture, &["acme/air/v:d"], 10).await, [path("/oslo", 20)]);
    assert!(hot(&fixture, &["acme/air/v:c:city=oslo"], 10).await.is_empty());
    let found = fixture.store.hot(TENANT, "air", &moved.tags, 1).await.unwrap();
    assert_eq!(found, [HotKey { requests: 20, ..moved }]);
    assert!(fixture.store.hot(TENANT, "shop", &oslo.tags, 1).await.unwrap().is_empty());
}

pub(crate) async fn what_is_asked_for_less_sinks_until_it_is_forgotten(engine: &dyn Engine) {
    let fixture = Fixture::new(engine).await;
    let asked = |path, requests| key(path, TENANT, &["t"], requests);
    record(&fixture, &[asked("/old", 1_000), asked("/idle", 0)], NOW).await;
    record(&fixture, &[asked("/new", 300)], NOW.after(HALF_LIFE)).await;
    assert_eq!(hot(&fixture, &["t"], 10).await, [path("/old", 500), path("/new", 300)]);
    record(&fixture, &[asked("/new", 400)], NOW.after(2 * HALF_LIFE)).await;
    assert_eq!(hot(&fixture, &["t"], 10).await, [path("/new", 550), path("/old", 250)]);
    let hour = Duration::from_secs(3_600);
    record(&fixture, &[asked("/next", 1)], NOW.after(hour)).await;
    assert_eq!(hot(&fixture, &["t"], 10).await, [path("/next", 1)]);
    assert_eq!(fixture.number("select count(*) from dp_hot_tag").await, 1);
}

pub(crate) async fn no_more_keys_are_kept_than_may_be(engine: &dyn Engine) {
    let fixture = Fixture::new(engine).await;
    let many = u64::try_from(MAX_KEYS).unwrap();
    let asked = |n| key(&format!("/{n}"), TENANT, &["t"], n);
    let first: Vec<HotKey> = (1..=many).map(asked).collect();
    record(&fixture, &first, NOW).await;
    let second: Vec<HotKey> = (many + 1..=many + 10).map(asked).collect();
    record(&fixture, &second, NOW).await;
    assert_eq!(fixture.number("select count(*) from dp_hot").await, MAX_KEYS as i64);
    assert_eq!(fixture.number("select count(*) from dp_hot_tag").await, MAX_KEYS as i64);
    let found = hot(&fixture, &["t"], 10 * MAX_KEYS).await;
    assert_eq!((found.len(), &found[0]), (MAX_KEYS, &path("/1010", 1_010)));
    assert_eq!(found.last(), Some(&path("/11", 11)));
}
