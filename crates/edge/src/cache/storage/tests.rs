//! What is kept, for how many, and in place of what.

use http::HeaderValue;
use tidegate_core::cache_key::KeyParts;
use tidegate_core::edge_plan::CachePlan;

use super::*;
use crate::cache::control::ResponseControl;
use crate::cache::freshness::Exchange;
use crate::cache::tags::Tags;
use crate::cache::vary::AuthorizationField;

const NOW: Timestamp = Timestamp(1_763_806_500_000_000);

fn key(path: &str) -> CacheKey {
    let parts = KeyParts { scheme: "https", host: "h", path, query: "", scope_key: "", epoch: "" };
    CacheKey::new(&parts)
}

fn language(value: &str) -> HeaderMap {
    let value = HeaderValue::from_str(value).unwrap();
    HeaderMap::from_iter([(http::header::ACCEPT_LANGUAGE, value)])
}

fn response(body: &'static [u8], request: &HeaderMap) -> Arc<StoredResponse> {
    let vary = HeaderValue::from_static("accept-language");
    let headers = HeaderMap::from_iter([(http::header::VARY, vary)]);
    let exchange = Exchange { request_time: NOW, response_time: NOW };
    let (status, control) = (StatusCode::OK, ResponseControl::default());
    let plan = CachePlan::Respect;
    let tags = Tags::new();
    Arc::new(StoredResponse {
        status,
        metadata: Metadata::measure(status, &headers, &control, exchange, plan),
        selecting: Selecting::take(&headers, request, AuthorizationField::Selects).unwrap(),
        links: tags.link(&headers, tags.begin()).unwrap(),
        headers,
        body: Bytes::from_static(body),
        requests: Arc::default(),
    })
}

/// A response read at a position, looked at a second before now for each of `age`.
fn read_at(tags: &Tags, seq: u64, age: u64) -> Arc<StoredResponse> {
    let at = format!("k/acme-air/{seq}");
    let name = http::HeaderName::from_static(tidegate_core::seq::HEADER);
    let headers = HeaderMap::from_iter([(name, HeaderValue::try_from(at).unwrap())]);
    let request_time = NOW.before(Duration::from_secs(age));
    let exchange = Exchange { request_time, response_time: NOW };
    let (status, control) = (StatusCode::OK, ResponseControl::default());
    Arc::new(StoredResponse {
        status,
        metadata: Metadata::measure(status, &headers, &control, exchange, CachePlan::Respect),
        selecting: Selecting::default(),
        links: tags.link(&headers, tags.begin()).unwrap(),
        headers,
        body: Bytes::new(),
        requests: Arc::default(),
    })
}

#[track_caller]
fn check(storage: &Storage, request: &HeaderMap, expected: Option<&[u8]>) {
    match (storage.find(&key("/"), request, NOW), expected) {
        (Found::Response(found), Some(body)) => assert_eq!(found.body, body),
        (Found::VaryMiss, None) => {}
        (found, _) => panic!("{found:?}"),
    }
}

#[test]
fn variants_stand_beside_each_other_and_replace_their_equals() {
    let storage = Storage::new(1 << 20);
    assert!(matches!(storage.find(&key("/"), &language("en"), NOW), Found::UriMiss));
    storage.store(&key("/"), &response(b"en", &language("en")));
    storage.store(&key("/"), &response(b"de", &language("de")));
    storage.store(&key("/"), &response(b"en2", &language("EN")));
    check(&storage, &language("en"), Some(b"en2"));
    check(&storage, &language("de"), Some(b"de"));
    check(&storage, &language("fr"), None);
}

#[test]
fn variants_of_one_key_are_bounded_and_the_oldest_go_first() {
    let storage = Storage::new(1 << 20);
    for number in 0..=MAX_VARIANTS {
        storage.store(&key("/"), &response(b"x", &language(&format!("l{number}"))));
    }
    check(&storage, &language("l0"), None);
    check(&storage, &language("l1"), Some(b"x"));
}

#[test]
fn a_key_is_unstorable_for_a_while_but_never_at_the_cost_of_what_is_stored() {
    let storage = Storage::new(1 << 20);
    let find = |now| storage.find(&key("/"), &HeaderMap::new(), now);
    storage.mark_unstorable(&key("/"), NOW);
    assert!(matches!(find(NOW), Found::Unstorable));
    assert!(matches!(find(NOW.after(UNSTORABLE_FOR)), Found::UriMiss));
    storage.store(&key("/"), &response(b"x", &HeaderMap::new()));
    storage.mark_unstorable(&key("/"), NOW);
    assert!(matches!(find(NOW), Found::Response(_)));
    storage.remove(&key("/"));
    assert!(matches!(find(NOW), Found::UriMiss));
}

#[test]
fn the_capacity_in_bytes_holds() {
    let storage = Storage::new(100_000);
    let body: &'static [u8] = &[0; 1_000];
    for number in 0..1_000 {
        storage.store(&key(&format!("/{number}")), &response(body, &HeaderMap::new()));
    }
    let (entries, bytes) = storage.size();
    assert!(bytes <= 100_000 && entries >= 10, "{entries} {bytes}");
}

#[test]
fn whoever_comes_last_the_response_that_was_read_last_stays() {
    let (storage, tags) = (Storage::new(1 << 20), Tags::new());
    let newest = 400;
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let (storage, tags) = (&storage, &tags);
            scope.spawn(move || {
                // Each its own order, all of the same positions.
                for step in 0..newest {
                    let response = read_at(tags, 1 + (step * 7 + writer * 31) % newest, 0);
                    match writer % 2 {
                        0 => storage.store(&key("/"), &response),
                        _ => storage.write_back(&key("/"), &response),
                    };
                }
            });
        }
    });
    let Found::Response(kept) = storage.find(&key("/"), &HeaderMap::new(), NOW) else {
        panic!("nothing is stored")
    };
    assert_eq!(kept.headers[tidegate_core::seq::HEADER], format!("k/acme-air/{newest}"));
}

#[test]
fn at_one_position_a_fetch_replaces_and_a_late_message_does_not() {
    let (storage, tags) = (Storage::new(1 << 20), Tags::new());
    let young = read_at(&tags, 5, 1);
    assert!(matches!(storage.store(&key("/"), &young), Put::Stored));
    let late = read_at(&tags, 5, 9);
    assert!(
        matches!(storage.write_back(&key("/"), &late), Put::Kept(kept) if Arc::ptr_eq(&kept, &young))
    );
    assert!(matches!(storage.write_back(&key("/"), &read_at(&tags, 5, 0)), Put::Stored));
    assert!(matches!(storage.store(&key("/"), &late), Put::Stored));
}
