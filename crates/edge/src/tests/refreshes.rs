//! Stale responses are handed to workers where the route says so, and what they find is believed.

use std::sync::Arc;
use std::time::Duration;

use tidegate_core::cache_update::{
    Finding, Origin as Name, Reader, RefreshOrder, Refreshed, Resource,
};
use tidegate_core::clock::Timestamp;
use tidegate_core::job::{Arm, Job, Lane, REFRESH};
use tidegate_core::notice::Notice;
use tidegate_queue::{Queue, Settlement, Source, SqliteQueue};

use super::governed::{Deployment, at, read_at};
use super::harness::{TestEdge, eventually};
use super::origin::{Asked, Reply};

const ORDERED: &str = "/v1/air/ordered";
const PUBLIC: &str = "/v1/air/public";
const ARROW: &str = "edge_to_worker";

/// A response read at 1 that was born a hundred seconds ago, forty of them stale.
fn stale(path: &str) -> Reply {
    let control = "max-age=0, s-maxage=60, stale-while-revalidate=300, stale-if-error=3600";
    let fields = [
        ("cache-control", control),
        ("age", "100"),
        ("surrogate-key", "a"),
        ("x-data-seq", &at(1).to_string()),
        ("etag", "W/\"v1\""),
    ];
    Reply::new(200, &fields, path)
}

/// An api whose responses are stale from the start and then confirmed.
fn ageing(asked: &Asked) -> Reply {
    match asked.header("if-none-match") {
        "" => stale("one"),
        _ => Reply::new(304, &[("x-data-seq", &at(1).to_string())], ""),
    }
}

fn looked_at(seq: u64, finding: Finding) -> Refreshed {
    Refreshed {
        resource: Resource {
            path: ORDERED.to_owned(),
            query: String::new(),
            scope_key: String::new(),
            epoch: "e1".to_owned(),
        },
        origins: vec![Name { scheme: "http".to_owned(), host: "a.example".to_owned() }],
        seq: at(seq),
        looked_at: Timestamp::now(),
        finding,
    }
}

fn unchanged(seq: u64, entity_tag: &str) -> Notice {
    let fields = vec![("surrogate-key".to_owned(), "a".to_owned())];
    let finding = Finding::Unchanged { entity_tag: entity_tag.to_owned(), fields };
    Notice::Refreshed(Box::new(looked_at(seq, finding)))
}

fn changed(seq: u64) -> Notice {
    Notice::Refreshed(Box::new(looked_at(seq, Finding::Changed)))
}

fn order(job: &Job) -> RefreshOrder {
    serde_json::from_value(job.body.clone()).unwrap()
}

async fn ordering_edge(deployment: &Deployment) -> TestEdge {
    let edge = deployment.edge_with(ARROW).await;
    edge.get(ORDERED).await.check("one", "fwd=uri-miss; stored");
    edge
}

#[tokio::test]
async fn a_stale_hit_orders_one_refresh_and_the_worker_s_word_freshens_what_is_stored() {
    let deployment = Deployment::new(ageing).await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("queue.db");
    let worker = SqliteQueue::open(&path).unwrap();
    let source = Source { lane: Lane::High, canary: None };
    let mut consumer = worker.consume(source, 8).await.unwrap();
    let edge = deployment.edge_on(Arc::new(SqliteQueue::open(&path).unwrap()), ARROW).await;
    edge.get(ORDERED).await.check("one", "fwd=uri-miss; stored");
    let before = Timestamp::now();
    for _ in 0..5 {
        edge.get(ORDERED).await.check("one", "hit; ttl=-4");
    }
    let delivery = consumer.next().await.unwrap();
    let job = delivery.job;
    assert_eq!((job.kind.as_str(), job.lane, job.arm), (REFRESH, Lane::High, Arm::Stable));
    assert_eq!((job.tenant.as_str(), job.product.as_str()), ("acme", "air"));
    assert_eq!(job.release.as_deref(), Some("sha256:r"));
    // Long before the end of the window, nobody waits for the outcome any more.
    let deadline = job.deadline.unwrap().since(before);
    assert!((9..=11).contains(&deadline.as_secs()), "{deadline:?}");
    let expected = RefreshOrder {
        resource: looked_at(0, Finding::Changed).resource,
        origin: Name { scheme: "http".to_owned(), host: "a.example".to_owned() },
        reader: Reader { tenant: "acme".to_owned(), scopes: Vec::new() },
        entity_tag: "W/\"v1\"".to_owned(),
    };
    assert_eq!(order(&job), expected);
    consumer.settle(vec![(delivery.tag, Settlement::Ack)]).await.unwrap();
    worker.broadcast(&[unchanged(1, "W/\"v1\"")]).await.unwrap();
    eventually(async || edge.get(ORDERED).await.cache_status().starts_with("hit; ttl=6")).await;
    assert_eq!(deployment.api.count(ORDERED), 1);
    let depths = worker.depth().await.unwrap();
    assert_eq!(depths.lanes.iter().map(|lane| lane.ready + lane.unacked).sum::<u64>(), 0);
}

#[tokio::test]
async fn an_order_says_for_whom_to_render_but_holds_no_credential() {
    let deployment = Deployment::new(ageing).await;
    let edge = deployment.edge_with(ARROW).await;
    let read = async || {
        let fields = [("authorization", "Bearer red1"), ("traceparent", "00-aa-bb-01")];
        edge.send("GET", "/v1/air/ordered/x", &fields).await
    };
    read().await.check("one", "fwd=uri-miss; stored");
    read().await.check("one", "hit");
    eventually(async || deployment.queue.published().len() == 1).await;
    let job = deployment.queue.published().remove(0);
    assert_eq!(job.traceparent.as_deref(), Some("00-aa-bb-01"));
    let order = order(&job);
    assert_eq!(order.resource.scope_key, "red");
    let scopes = vec!["read:air".to_owned()];
    assert_eq!(order.reader, Reader { tenant: "acme".to_owned(), scopes });
    assert!(!serde_json::to_string(&job).unwrap().contains("red1"));
}

/// Checks that a stale hit makes the edge ask the api itself.
async fn check_own(deployment: &Deployment, edge: &TestEdge, path: &str) {
    eventually(async || {
        let answer = edge.get(path).await;
        assert_eq!(answer.body, "one");
        deployment.api.count(path) >= 2
    })
    .await;
    assert_eq!(deployment.queue.published(), []);
}

#[tokio::test]
async fn an_edge_asks_the_api_itself_where_no_worker_can_be_asked() {
    // The route leaves it to the edge.
    let deployment = Deployment::new(ageing).await;
    let edge = deployment.edge_with(ARROW).await;
    edge.get(PUBLIC).await.check("one", "fwd=uri-miss; stored");
    check_own(&deployment, &edge, PUBLIC).await;
    // The deployment has no such arrow.
    let edge = deployment.edge().await;
    edge.get(ORDERED).await.check("one", "fwd=uri-miss; stored");
    check_own(&deployment, &edge, ORDERED).await;
    // The queue is down.
    let deployment = Deployment::new(ageing).await;
    let edge = ordering_edge(&deployment).await;
    deployment.queue.set_down(true);
    check_own(&deployment, &edge, ORDERED).await;
}

#[tokio::test]
async fn an_edge_asks_the_api_itself_about_what_no_job_can_name() {
    let untagged = Deployment::new(|_| {
        let fields = [
            ("cache-control", "s-maxage=60, stale-while-revalidate=300"),
            ("age", "100"),
            ("x-data-seq", &at(1).to_string()),
        ];
        Reply::new(200, &fields, "one")
    })
    .await;
    let edge = ordering_edge(&untagged).await;
    check_own(&untagged, &edge, ORDERED).await;
    let unplaced = Deployment::new(|_| {
        let fields = [
            ("cache-control", "s-maxage=60, stale-while-revalidate=300"),
            ("age", "100"),
            ("etag", "\"v1\""),
        ];
        Reply::new(200, &fields, "one")
    })
    .await;
    let edge = ordering_edge(&unplaced).await;
    check_own(&unplaced, &edge, ORDERED).await;
}

#[tokio::test]
async fn an_edge_asks_the_api_itself_about_what_the_request_selected() {
    let deployment = Deployment::new(|asked| match asked.header("if-none-match") {
        "" => {
            let fields = [
                ("cache-control", "s-maxage=60, stale-while-revalidate=300"),
                ("age", "100"),
                ("vary", "accept"),
                ("etag", "\"csv\""),
                ("x-data-seq", &at(1).to_string()),
            ];
            Reply::new(200, &fields, "csv")
        }
        _ => Reply::new(304, &[("x-data-seq", &at(1).to_string())], ""),
    })
    .await;
    let edge = deployment.edge_with(ARROW).await;
    let read = async || edge.send("GET", ORDERED, &[("accept", "text/csv")]).await;
    read().await.check("csv", "fwd=uri-miss; stored");
    eventually(async || {
        read().await;
        deployment.api.count(ORDERED) == 2
    })
    .await;
    assert_eq!(deployment.queue.published(), []);
}

#[tokio::test]
async fn a_worker_that_does_not_answer_is_made_up_for() {
    let deployment = Deployment::new(ageing).await;
    let edge = ordering_edge(&deployment).await;
    eventually(async || edge.get(ORDERED).await.cache_status().starts_with("hit; ttl=6")).await;
    assert_eq!(deployment.queue.published().len(), 1);
    assert_eq!(deployment.api.count(ORDERED), 2);
}

#[tokio::test]
async fn a_finding_about_another_response_changes_nothing() {
    let deployment = Deployment::new(ageing).await;
    let edge = ordering_edge(&deployment).await;
    deployment.queue.tell(unchanged(1, "W/\"v0\"")).await;
    edge.get(ORDERED).await.check("one", "hit; ttl=-4");
    // Compared weakly.
    deployment.queue.tell(unchanged(1, "\"v1\"")).await;
    edge.get(ORDERED).await.check("one", "hit; ttl=60");
}

#[tokio::test]
async fn a_finding_from_before_a_purge_freshens_nothing() {
    let deployment = Deployment::new(ageing).await;
    let edge = ordering_edge(&deployment).await;
    deployment.queue.purge(&at(3), &["a"]).await;
    deployment.queue.tell(unchanged(2, "W/\"v1\"")).await;
    deployment.api.now(|_| read_at(3, "a", "three"));
    let purged = edge.get(ORDERED).await;
    purged.check("three", "fwd=stale; stored; ttl=60; detail=purged");
}

#[tokio::test]
async fn a_purged_response_that_is_found_to_be_right_is_reused() {
    let deployment = Deployment::new(ageing).await;
    let edge = ordering_edge(&deployment).await;
    deployment.queue.purge(&at(3), &["a"]).await;
    deployment.queue.tell(unchanged(3, "W/\"v1\"")).await;
    edge.get(ORDERED).await.check("one", "hit; ttl=60");
}

#[tokio::test]
async fn a_late_finding_is_as_old_as_it_is() {
    let deployment = Deployment::new(ageing).await;
    let edge = ordering_edge(&deployment).await;
    let Notice::Refreshed(mut refreshed) = unchanged(2, "W/\"v1\"") else { unreachable!() };
    refreshed.looked_at = Timestamp::now().before(Duration::from_secs(20));
    deployment.queue.tell(Notice::Refreshed(refreshed)).await;
    edge.get(ORDERED).await.check("one", "hit; ttl=40");
}

#[tokio::test]
async fn what_has_changed_is_validated_before_it_is_reused() {
    let deployment = Deployment::new(ageing).await;
    let edge = ordering_edge(&deployment).await;
    deployment.queue.tell(changed(2)).await;
    deployment.api.now(|_| read_at(2, "a", "two"));
    edge.get(ORDERED).await.check("two", "fwd=stale; stored; ttl=60; detail=changed");
    // What is stored by now was read when that was found, or later.
    deployment.queue.tell(changed(2)).await;
    edge.get(ORDERED).await.check("two", "hit");
}

#[tokio::test]
async fn what_is_known_to_have_changed_is_not_replaced_by_what_is_as_old() {
    let deployment = Deployment::new(ageing).await;
    let edge = ordering_edge(&deployment).await;
    deployment.queue.tell(changed(3)).await;
    // An api that is behind is served but not stored.
    deployment.api.now(|_| read_at(2, "a", "two"));
    edge.get(ORDERED).await.check("two", "fwd=stale; ttl=60; detail=changed");
    deployment.queue.tell(unchanged(2, "W/\"v1\"")).await;
    edge.get(ORDERED).await.check("two", "fwd=stale; ttl=60; detail=changed");
    deployment.api.now(|_| read_at(3, "a", "three"));
    edge.get(ORDERED).await.check("three", "fwd=stale; stored; ttl=60; detail=changed");
    edge.get(ORDERED).await.check("three", "hit");
}
