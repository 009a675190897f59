//! What is stored is reused, for those it was made for.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::client::{request, send};
use super::harness::TestEdge;
use super::origin::{Origin, Reply};

#[tokio::test]
async fn a_miss_is_stored_and_the_next_request_hits() {
    let origin = Origin::start(|_| Reply::ok("max-age=60", "one")).await;
    let edge = TestEdge::before(&origin).await;
    edge.get("/a").await.check("one", "fwd=uri-miss; stored; ttl=60");
    let hit = edge.get("/a").await;
    hit.check("one", "hit; ttl=");
    assert_eq!(hit.header("age"), "0");
    assert_eq!(hit.header("via"), "1.1 tidegate");
    assert!(!hit.header("date").is_empty());
    assert_eq!(origin.count("/a"), 1);
    edge.get("/a?x").await.check("one", "fwd=uri-miss");
}

#[tokio::test]
async fn hosts_do_not_share_and_spellings_of_one_host_do() {
    let origin = Origin::start(|asked| Reply::ok("max-age=60", asked.header("host"))).await;
    let edge = TestEdge::before(&origin).await;
    let at = async |host| edge.send("GET", "/", &[("host", host)]).await;
    at("a.example").await.check("a.example", "fwd=uri-miss");
    at("b.example").await.check("b.example", "fwd=uri-miss");
    at("A.Example:80").await.check("a.example", "hit");
    at("a.example:81").await.check("a.example:81", "fwd=uri-miss");
}

#[tokio::test]
async fn variants_are_kept_apart_and_normalised() {
    let origin = Origin::start(|asked| {
        let fields = [("cache-control", "max-age=60"), ("vary", "Accept-Encoding")];
        Reply::new(200, &fields, asked.header("accept-encoding"))
    })
    .await;
    let edge = TestEdge::before(&origin).await;
    let accepting = async |value| edge.send("GET", "/", &[("accept-encoding", value)]).await;
    accepting("gzip, br").await.check("gzip, br", "fwd=uri-miss");
    accepting("br,GZIP").await.check("gzip, br", "hit");
    accepting("zstd").await.check("zstd", "fwd=vary-miss");
    accepting("gzip, br").await.check("gzip, br", "hit");
}

#[tokio::test]
async fn head_is_answered_from_what_get_stored_and_fills_the_cache_itself() {
    let origin = Origin::start(|_| Reply::ok("max-age=60", "12345")).await;
    let edge = TestEdge::before(&origin).await;
    let miss = edge.send("HEAD", "/", &[]).await;
    miss.check("", "fwd=uri-miss; stored");
    assert_eq!(miss.header("content-length"), "5");
    let hit = edge.send("HEAD", "/", &[]).await;
    hit.check("", "hit");
    assert_eq!(hit.header("content-length"), "5");
    edge.get("/").await.check("12345", "hit");
}

#[tokio::test]
async fn a_client_that_has_the_response_gets_a_304() {
    let origin = Origin::start(|_| {
        let fields = [
            ("cache-control", "max-age=60"),
            ("etag", "\"v1\""),
            ("surrogate-key", "a b"),
            ("content-type", "text/plain"),
        ];
        Reply::new(200, &fields, "one")
    })
    .await;
    let edge = TestEdge::before(&origin).await;
    let conditional = async |tag| edge.send("GET", "/", &[("if-none-match", tag)]).await;
    // The condition is the cache's business: the origin is asked for the whole response.
    let first = conditional("W/\"v1\"").await;
    first.check("", "fwd=uri-miss; stored");
    assert_eq!(first.status, 304);
    assert_eq!(origin.asked()[0].header("if-none-match"), "");
    let again = conditional("\"v0\", \"v1\"").await;
    again.check("", "hit");
    assert_eq!((again.header("etag"), again.header("surrogate-key")), ("\"v1\"", "a b"));
    assert_eq!(again.header("content-type"), "");
    let other = conditional("\"v2\"").await;
    other.check("one", "hit");
    assert_eq!(other.status, 200);
}

#[tokio::test]
async fn a_client_may_insist_on_the_cache_but_not_on_the_origin() {
    let origin = Origin::start(|_| Reply::ok("max-age=60", "one")).await;
    let edge = TestEdge::before(&origin).await;
    let asking = async |value| edge.send("GET", "/", &[("cache-control", value)]).await;
    assert_eq!(asking("only-if-cached").await.status, 504);
    asking("no-store").await.check("one", "fwd=uri-miss; detail=request-no-store");
    asking("no-cache").await.check("one", "fwd=uri-miss; stored");
    asking("no-cache").await.check("one", "hit");
    asking("only-if-cached").await.check("one", "hit");
    assert_eq!(origin.count("/"), 2);
}

#[tokio::test]
async fn where_it_is_allowed_a_client_may_insist_on_the_origin() {
    let origin = Origin::start(|_| Reply::ok("max-age=60", "one")).await;
    let edge = TestEdge::before_with(&origin, "[cache]\nhonour_client_no_cache = true").await;
    edge.get("/").await.check("one", "fwd=uri-miss; stored");
    let asking = edge.send("GET", "/", &[("cache-control", "no-cache")]).await;
    asking.check("one", "fwd=request; stored");
}

#[tokio::test]
async fn a_hundred_concurrent_misses_are_one_request() {
    let gate = Arc::new(Semaphore::new(0));
    let held = Arc::clone(&gate);
    let origin = Origin::start(move |_| Reply::ok("max-age=60", "one").behind(&held)).await;
    let edge = TestEdge::before(&origin).await;
    let mut clients = JoinSet::new();
    for _ in 0..100 {
        clients.spawn(send(edge.http, request("GET", "/", &[])));
    }
    origin.wait_for("/", 1).await;
    gate.add_permits(100);
    let answers = clients.join_all().await;
    let own = answers.iter().filter(|answer| answer.cache_status().contains("; stored")).count();
    assert!(answers.iter().all(|answer| answer.body == "one"));
    assert_eq!((own, origin.count("/")), (1, 1));
}

#[tokio::test]
async fn a_leader_that_goes_away_does_not_take_the_others_along() {
    let gate = Arc::new(Semaphore::new(0));
    let held = Arc::clone(&gate);
    let origin = Origin::start(move |_| Reply::ok("max-age=60", "one").behind(&held)).await;
    let edge = TestEdge::before(&origin).await;
    let leader = tokio::spawn(send(edge.http, request("GET", "/", &[])));
    origin.wait_for("/", 1).await;
    let follower = tokio::spawn(send(edge.http, request("GET", "/", &[])));
    leader.abort();
    origin.wait_for("/", 2).await;
    gate.add_permits(2);
    follower.await.unwrap().check("one", "fwd=uri-miss; stored");
}

#[tokio::test]
async fn what_must_not_be_shared_is_passed_on_and_nobody_waits_for_it() {
    let origin = Origin::start(|asked| match asked.uri.path() {
        "/cookie" => {
            Reply::new(200, &[("cache-control", "max-age=60"), ("set-cookie", "a=b")], "one")
        }
        "/private" => Reply::ok("private, max-age=60", "one"),
        _ => Reply::ok("no-store", "one"),
    })
    .await;
    let edge = TestEdge::before(&origin).await;
    for (path, detail) in
        [("/cookie", "set-cookie"), ("/private", "private"), ("/none", "no-store")]
    {
        let first = edge.get(path).await;
        first.check("one", &format!("fwd=uri-miss; detail={detail}"));
        // Known not to be storable, it is asked for as the client asked.
        let fields = [("if-none-match", "\"own\"")];
        edge.send("GET", path, &fields).await.check("one", "fwd=uri-miss");
        assert_eq!(origin.asked().last().unwrap().header("if-none-match"), "\"own\"");
    }
}

#[tokio::test]
async fn an_authorized_response_is_shared_only_if_the_origin_says_so() {
    let origin = Origin::start(|asked| match asked.uri.path() {
        "/public" => Reply::ok("public, max-age=60", asked.header("authorization")),
        _ => Reply::ok("max-age=60", asked.header("authorization")),
    })
    .await;
    let edge = TestEdge::before(&origin).await;
    let asking = async |path, who| edge.send("GET", path, &[("authorization", who)]).await;
    asking("/own", "Basic a").await.check("Basic a", "fwd=uri-miss; detail=authorization");
    asking("/own", "Basic b").await.check("Basic b", "fwd=uri-miss; detail=authorization");
    asking("/public", "Basic a").await.check("Basic a", "fwd=uri-miss; stored");
    asking("/public", "Basic b").await.check("Basic a", "hit");
}

#[tokio::test]
async fn a_write_that_succeeds_invalidates_its_target_and_what_it_names() {
    let origin = Origin::start(|asked| match (asked.method.as_str(), asked.uri.path()) {
        ("POST", "/fails") => Reply::new(500, &[], ""),
        ("POST", _) => Reply::new(201, &[("location", "/items/7")], ""),
        _ => Reply::ok("max-age=60", "one"),
    })
    .await;
    let edge = TestEdge::before(&origin).await;
    for path in ["/items", "/items/7", "/other", "/fails"] {
        edge.get(path).await.check("one", "fwd=uri-miss; stored");
    }
    edge.send("POST", "/items", &[]).await.check("", "fwd=method");
    edge.send("POST", "/fails", &[]).await.check("", "fwd=method");
    edge.get("/items").await.check("one", "fwd=uri-miss");
    edge.get("/items/7").await.check("one", "fwd=uri-miss");
    edge.get("/other").await.check("one", "hit");
    edge.get("/fails").await.check("one", "hit");
}
