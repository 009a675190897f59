//! What workers write back is a hit for the next reader, and never a step back.

use std::sync::Arc;
use std::time::Duration;

use tidegate_core::cache_update::{CacheUpdate, MAX_BODY_BYTES, Origin, Resource};
use tidegate_core::clock::Timestamp;
use tidegate_core::job::Arm;
use tidegate_core::notice::Notice;
use tidegate_queue::{Heard, Queue, SqliteQueue};
use tokio::sync::Semaphore;

use super::client::{request, send};
use super::governed::{Deployment, at, read_at};
use super::harness::{TestEdge, eventually};
use super::origin::Reply;

const PATH: &str = "/v1/air/public";
const ARROW: &str = "worker_to_edge";

/// What a worker renders of a path at a position, just now.
fn rendered(seq: u64, tags: &str, body: &str) -> CacheUpdate {
    let control = "max-age=0, s-maxage=60, stale-while-revalidate=300, stale-if-error=3600";
    let fields = [
        ("cache-control", control),
        ("content-type", "application/json"),
        ("surrogate-key", tags),
        ("etag", &format!("W/\"{body}\"")),
    ];
    let fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned()));
    CacheUpdate {
        resource: Resource {
            path: PATH.to_owned(),
            query: String::new(),
            scope_key: String::new(),
            epoch: "e1".to_owned(),
        },
        origins: vec![Origin { scheme: "http".to_owned(), host: "a.example".to_owned() }],
        seq: at(seq),
        fields: fields.to_vec(),
        body: body.to_owned(),
        rendered_at: Timestamp::now(),
        release: Some("sha256:r".to_owned()),
        arm: Arm::Stable,
    }
}

fn notice(update: CacheUpdate) -> Notice {
    Notice::Update(Box::new(update))
}

/// An edge whose api has answered something at a position, so that the edge knows that what is
/// rendered at it or later is no older than its subscription.
async fn edge_at(deployment: &Deployment, seq: u64) -> TestEdge {
    let edge = deployment.edge_with(ARROW).await;
    prove(deployment, &edge, seq).await;
    edge
}

async fn prove(deployment: &Deployment, edge: &TestEdge, seq: u64) {
    deployment.answer(move |_| read_at(seq, "other", &format!("v{seq}")));
    edge.get(&format!("/v1/air/declared?limit={seq}")).await;
}

async fn deployment() -> Deployment {
    Deployment::new(|_| Reply::new(500, &[], "")).await
}

#[tokio::test]
async fn what_is_written_back_is_a_plain_hit() {
    let deployment = deployment().await;
    let edge = edge_at(&deployment, 1).await;
    deployment.queue.tell(notice(rendered(2, "a b", "new"))).await;
    let hit = edge.get(PATH).await;
    hit.check("new", "hit; ttl=60");
    let fields = ["content-type", "etag", "x-data-seq", "surrogate-key", "age", "via"];
    assert_eq!(
        fields.map(|name| hit.header(name)),
        ["application/json", "W/\"new\"", "k/acme-air/2", "a b", "0", "1.1 tidegate"]
    );
    assert!(!hit.header("date").is_empty());
    let again = edge.send("GET", PATH, &[("if-none-match", "\"new\"")]).await;
    assert_eq!(again.status, 304);
    assert_eq!(deployment.api.count(PATH), 0);
}

#[tokio::test]
async fn a_request_that_takes_anything_gets_what_a_worker_rendered_by_default() {
    let deployment = deployment().await;
    let edge = edge_at(&deployment, 1).await;
    let mut update = rendered(2, "a", "json");
    update.fields.push(("vary".to_owned(), "Accept".to_owned()));
    deployment.queue.tell(notice(update)).await;
    let asking = async |accept| edge.send("GET", PATH, &[("accept", accept)]).await;
    asking("*/*").await.check("json", "hit");
    edge.get(PATH).await.check("json", "hit");
    asking("text/csv").await.check("v1", "fwd=vary-miss");
}

#[tokio::test]
async fn what_was_rendered_before_a_purge_is_not_stored() {
    let deployment = deployment().await;
    let edge = edge_at(&deployment, 1).await;
    deployment.queue.purge(&at(5), &["a"]).await;
    deployment.queue.tell(notice(rendered(4, "a", "old"))).await;
    prove(&deployment, &edge, 5).await;
    edge.get(PATH).await.check("v5", "fwd=uri-miss; stored");
    deployment.queue.tell(notice(rendered(6, "a", "new"))).await;
    edge.get(PATH).await.check("new", "hit");
}

#[tokio::test]
async fn what_is_written_back_is_purged_like_any_other() {
    let deployment = deployment().await;
    let edge = edge_at(&deployment, 1).await;
    // The purge of the commit it was rendered for may come before or after it.
    deployment.queue.tell(notice(rendered(5, "a", "five"))).await;
    deployment.queue.purge(&at(5), &["a"]).await;
    edge.get(PATH).await.check("five", "hit");
    deployment.queue.purge(&at(6), &["a"]).await;
    prove(&deployment, &edge, 6).await;
    edge.get(PATH).await.check("v6", "fwd=stale; stored; ttl=60; detail=purged");
}

#[tokio::test]
async fn a_response_that_was_read_later_stays() {
    let deployment = deployment().await;
    let edge = edge_at(&deployment, 1).await;
    prove(&deployment, &edge, 7).await;
    edge.get(PATH).await.check("v7", "fwd=uri-miss; stored");
    for seq in [6, 7] {
        let earlier = Timestamp::now().before(Duration::from_secs(5));
        let late = CacheUpdate { rendered_at: earlier, ..rendered(seq, "a", "late") };
        deployment.queue.tell(notice(late)).await;
        edge.get(PATH).await.check("v7", "hit");
    }
    deployment.queue.tell(notice(rendered(8, "a", "eight"))).await;
    deployment.queue.tell(notice(rendered(7, "a", "seven"))).await;
    edge.get(PATH).await.check("eight", "hit");
}

#[tokio::test]
async fn a_fetch_in_flight_does_not_replace_what_was_rendered_later() {
    let deployment = deployment().await;
    let edge = edge_at(&deployment, 1).await;
    let gate = Arc::new(Semaphore::new(0));
    let held = Arc::clone(&gate);
    deployment.answer(move |_| read_at(3, "a", "fetched").behind(&held));
    let reader = tokio::spawn(send(edge.http, request("GET", PATH, &[])));
    deployment.api.wait_for(PATH, 1).await;
    deployment.queue.tell(notice(rendered(4, "a", "rendered"))).await;
    edge.get(PATH).await.check("rendered", "hit");
    gate.add_permits(1);
    // Whoever waited gets what is the newer of both.
    reader.await.unwrap().check("rendered", "fwd=uri-miss; ttl=");
    edge.get(PATH).await.check("rendered", "hit");
    assert_eq!(deployment.api.count(PATH), 1);
}

#[tokio::test]
async fn a_fetch_in_flight_replaces_what_was_rendered_earlier() {
    let deployment = deployment().await;
    let edge = edge_at(&deployment, 1).await;
    let gate = Arc::new(Semaphore::new(0));
    let held = Arc::clone(&gate);
    deployment.answer(move |_| read_at(5, "a", "fetched").behind(&held));
    let reader = tokio::spawn(send(edge.http, request("GET", PATH, &[])));
    deployment.api.wait_for(PATH, 1).await;
    deployment.queue.tell(notice(rendered(4, "a", "rendered"))).await;
    edge.get(PATH).await.check("rendered", "hit");
    gate.add_permits(1);
    reader.await.unwrap().check("fetched", "fwd=uri-miss; stored");
    edge.get(PATH).await.check("fetched", "hit");
}

#[tokio::test]
async fn freshness_counts_from_when_it_was_rendered() {
    let deployment = deployment().await;
    let edge = edge_at(&deployment, 1).await;
    let late = Timestamp::now().before(Duration::from_secs(100));
    let update = CacheUpdate { rendered_at: late, ..rendered(2, "a", "late") };
    deployment.queue.tell(notice(update)).await;
    let answer = edge.get(PATH).await;
    answer.check("late", "hit; ttl=-40");
    assert_eq!(answer.header("age"), "100");
}

#[tokio::test]
async fn a_worker_s_clock_that_is_ahead_makes_nothing_younger_than_now() {
    let deployment = deployment().await;
    let edge = edge_at(&deployment, 1).await;
    let ahead = Timestamp::now().after(Duration::from_secs(3_600));
    let update = CacheUpdate { rendered_at: ahead, ..rendered(2, "a", "new") };
    deployment.queue.tell(notice(update)).await;
    edge.get(PATH).await.check("new", "hit; ttl=60");
}

#[tokio::test]
async fn what_must_not_be_stored_is_refused() {
    let deployment = deployment().await;
    let edge = edge_at(&deployment, 1).await;
    type Spoil = fn(&mut CacheUpdate);
    let cases: [(&str, Spoil); 13] = [
        ("a canary's", |update| update.arm = Arm::Canary),
        ("another contract's", |update| update.resource.epoch = "e2".to_owned()),
        ("for a scope", |update| update.resource.scope_key = "red".to_owned()),
        ("unplanned", |update| update.resource.path = "/v1/air/unknown".to_owned()),
        ("no path", |update| update.resource.path = "/v1/air/public?x".to_owned()),
        ("too long", |update| update.body = "x".repeat(MAX_BODY_BYTES + 1)),
        ("for another name", |update| update.origins[0].host = "A.example".to_owned()),
        ("no scheme", |update| update.origins[0].scheme = "ftp".to_owned()),
        ("no field", |update| update.fields[0].0 = "a b".to_owned()),
        ("no value", |update| update.fields[0].1 = "a\nb".to_owned()),
        ("someone's cookie", |update| update.fields[0].0 = "set-cookie".to_owned()),
        ("unstorable", |update| update.fields[0].1 = "no-store".to_owned()),
        ("of a restored store", |update| update.seq.space.incarnation = "k2".to_owned()),
    ];
    for (name, spoil) in cases {
        let mut update = rendered(9, "a", "spoiled");
        spoil(&mut update);
        deployment.queue.tell(notice(update)).await;
        let answer = edge.send("GET", PATH, &[("cache-control", "only-if-cached")]).await;
        assert_eq!(answer.status, 504, "{name}");
    }
    edge.get(PATH).await.check("v1", "fwd=uri-miss; stored");
}

#[tokio::test]
async fn a_deployment_without_the_arrow_takes_nothing_from_workers() {
    let deployment = deployment().await;
    let edge = deployment.edge().await;
    prove(&deployment, &edge, 1).await;
    deployment.queue.tell(notice(rendered(2, "a", "new"))).await;
    edge.get(PATH).await.check("v1", "fwd=uri-miss; stored");
}

#[tokio::test]
async fn what_is_written_back_for_a_scope_is_for_that_scope() {
    let deployment = deployment().await;
    let edge = edge_at(&deployment, 1).await;
    let mut update = rendered(2, "a", "red");
    update.resource.path = "/v1/air/scoped".to_owned();
    update.resource.scope_key = "red".to_owned();
    update.fields.push(("vary".to_owned(), "Authorization".to_owned()));
    deployment.queue.tell(notice(update)).await;
    let read_as = async |token: &str| {
        let fields = [("authorization", &*format!("Bearer {token}"))];
        edge.send("GET", "/v1/air/scoped", &fields).await
    };
    read_as("red7").await.check("red", "hit");
    read_as("blue1").await.check("v1", "fwd=uri-miss");
    assert_eq!(edge.get("/v1/air/scoped").await.status, 401);
}

#[tokio::test]
async fn what_may_have_missed_a_purge_with_the_edge_is_not_stored() {
    let deployment = deployment().await;
    let edge = edge_at(&deployment, 1).await;
    // A commit at 6 is not heard of; what was rendered at 5 comes in late.
    deployment.queue.say(Heard::Missed).await;
    let update = CacheUpdate {
        rendered_at: Timestamp::now().before(Duration::from_secs(1)),
        ..rendered(5, "a", "five")
    };
    deployment.queue.tell(notice(update.clone())).await;
    prove(&deployment, &edge, 6).await;
    edge.get(PATH).await.check("v6", "fwd=uri-miss; stored");
    deployment.queue.tell(notice(update)).await;
    edge.get(PATH).await.check("v6", "hit");
    deployment.queue.tell(notice(rendered(7, "a", "seven"))).await;
    edge.get(PATH).await.check("seven", "hit");
}

#[tokio::test]
async fn every_node_hears_of_one_update() {
    let deployment = deployment().await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("queue.db");
    let mut edges = Vec::new();
    for _ in 0..3 {
        let queue = Arc::new(SqliteQueue::open(&path).unwrap());
        let edge = deployment.edge_on(queue, ARROW).await;
        prove(&deployment, &edge, 1).await;
        edges.push(edge);
    }
    let worker = SqliteQueue::open(&path).unwrap();
    worker.broadcast(&[notice(rendered(2, "a", "new"))]).await.unwrap();
    for edge in &edges {
        let fields = [("cache-control", "only-if-cached")];
        eventually(async || edge.send("GET", PATH, &fields).await.body == "new").await;
        edge.get(PATH).await.check("new", "hit");
    }
    assert_eq!(deployment.api.count(PATH), 0);
}
