//! After a purge was heard, nothing older is served or stored.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tidegate_queue::Heard;
use tokio::sync::Semaphore;

use super::client::{request, send};
use super::governed::{Deployment, at, read_at};
use super::harness::eventually;
use super::origin::{Asked, Reply};

const PATH: &str = "/v1/air/public";

/// An api that confirms what the client has of the present version.
fn version(asked: &Asked, seq: u64) -> Reply {
    let reply = read_at(seq, "a b", &format!("v{seq}"));
    if asked.header("if-none-match") == format!("W/\"v{seq}\"") {
        return Reply::new(304, &[("x-data-seq", &at(seq).to_string())], "");
    }
    reply
}

#[tokio::test]
async fn a_purged_response_is_validated_before_it_is_reused() {
    let seq = Arc::new(AtomicU64::new(1));
    let present = Arc::clone(&seq);
    let deployment =
        Deployment::new(move |asked| version(asked, present.load(Ordering::Acquire))).await;
    let edge = deployment.edge().await;
    edge.get(PATH).await.check("v1", "fwd=uri-miss; stored");
    deployment.queue.purge(&at(2), &["other"]).await;
    edge.get(PATH).await.check("v1", "hit");
    seq.store(3, Ordering::Release);
    deployment.queue.purge(&at(3), &["b"]).await;
    let reader = edge.get(PATH).await;
    reader.check("v3", "fwd=stale; stored; ttl=60; detail=purged");
    edge.get(PATH).await.check("v3", "hit");
}

#[tokio::test]
async fn a_purge_that_overtakes_a_fetch_keeps_its_response_out() {
    let gate = Arc::new(Semaphore::new(0));
    let held = Arc::clone(&gate);
    let deployment = Deployment::new(move |asked| version(asked, 1).behind(&held)).await;
    let edge = deployment.edge().await;
    let reader = tokio::spawn(send(edge.http, request("GET", PATH, &[])));
    deployment.api.wait_for(PATH, 1).await;
    // The response was read at 1 and is on its way while the commit at 2 is heard of.
    deployment.queue.purge(&at(2), &["a"]).await;
    deployment.api.now(|asked| version(asked, 2));
    gate.add_permits(1);
    // Whoever waited gets what was read after the commit.
    reader.await.unwrap().check("v2", "fwd=uri-miss; stored");
    edge.get(PATH).await.check("v2", "hit");
    assert_eq!(deployment.api.count(PATH), 2);
}

#[tokio::test]
async fn an_api_that_stays_behind_is_served_but_not_stored() {
    let deployment = Deployment::new(|asked| version(asked, 1)).await;
    let edge = deployment.edge().await;
    deployment.queue.purge(&at(2), &["a"]).await;
    for asked in [3, 6] {
        edge.get(PATH).await.check("v1", "fwd=uri-miss; detail=outdated");
        assert_eq!(deployment.api.count(PATH), asked);
    }
}

#[tokio::test]
async fn a_304_read_before_the_purge_does_not_freshen() {
    let deployment = Deployment::new(|asked| version(asked, 1)).await;
    let edge = deployment.edge().await;
    edge.get(PATH).await.check("v1", "fwd=uri-miss; stored");
    deployment.queue.purge(&at(2), &["a"]).await;
    for _ in 0..2 {
        edge.get(PATH).await.check("v1", "fwd=stale; detail=outdated");
    }
}

#[tokio::test]
async fn a_purged_response_still_stands_in_for_an_error() {
    let deployment = Deployment::new(|asked| version(asked, 1)).await;
    let edge = deployment.edge().await;
    edge.get(PATH).await.check("v1", "fwd=uri-miss; stored");
    deployment.queue.purge(&at(2), &["a"]).await;
    deployment.api.now(|_| Reply::new(503, &[], ""));
    edge.get(PATH).await.check("v1", "fwd=stale; fwd-status=503");
}

#[tokio::test]
async fn after_missed_notices_everything_is_validated() {
    let deployment = Deployment::new(|asked| version(asked, 1)).await;
    let edge = deployment.edge().await;
    edge.get(PATH).await.check("v1", "fwd=uri-miss; stored");
    deployment.queue.say(Heard::Missed).await;
    edge.get(PATH).await.check("v1", "fwd=stale; fwd-status=304; stored");
    edge.get(PATH).await.check("v1", "hit");
}

#[tokio::test]
async fn a_hole_in_the_sequence_invalidates_the_product() {
    let deployment = Deployment::new(|asked| version(asked, 9)).await;
    let edge = deployment.edge().await;
    edge.get(PATH).await.check("v9", "fwd=uri-miss; stored");
    deployment.queue.purge(&at(10), &["other"]).await;
    edge.get(PATH).await.check("v9", "hit");
    deployment.queue.purge(&at(12), &["other"]).await;
    // The notice at 11 never comes.
    eventually(async || edge.get(PATH).await.cache_status().starts_with("fwd=stale")).await;
}

#[tokio::test]
async fn an_edge_that_was_cut_off_validates_everything_once_it_is_back() {
    let deployment = Deployment::new(|asked| version(asked, 1)).await;
    let edge = deployment.edge().await;
    edge.get(PATH).await.check("v1", "fwd=uri-miss; stored");
    deployment.queue.set_down(true);
    edge.get(PATH).await.check("v1", "hit");
    deployment.queue.set_down(false);
    eventually(async || edge.get(PATH).await.cache_status().starts_with("fwd=stale")).await;
}
