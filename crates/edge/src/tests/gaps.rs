//! Without its queue an edge serves, says so, and believes nothing from before once it is back.

use tidegate_core::scope;
use tidegate_queue::QueueState;

use super::client::{request, send};
use super::governed::{Deployment, read_at};
use super::harness::eventually;

const PATH: &str = "/v1/air/public";

#[tokio::test]
async fn an_edge_that_starts_without_its_queue_serves_and_says_so() {
    let deployment = Deployment::new(|_| read_at(1, "a", "one")).await;
    deployment.queue.set_down(true);
    let edge = deployment.starting_edge().await;
    eventually(async || edge.get(PATH).await.status == 200).await;
    edge.get(PATH).await.check("one", "hit");
    let readiness = async || send(edge.private, request("GET", "/readyz", &[])).await;
    let says_why = async || {
        let text = String::from_utf8(readiness().await.body.to_vec()).unwrap();
        text.contains("not subscribed yet: ") && text.contains(": down")
    };
    eventually(says_why).await;
    assert_eq!(readiness().await.status, 200);
    deployment.queue.set_down(false);
    edge.ready().await;
    edge.get(PATH).await.check("one", "fwd=stale; stored; ttl=60; detail=purged");
    edge.get(PATH).await.check("one", "hit");
}

#[tokio::test]
async fn while_revocations_can_not_be_heard_credentials_are_looked_up_again_and_again() {
    let deployment = Deployment::new(|_| read_at(1, "a", "one")).await;
    deployment.queue.set_down(true);
    let edge = deployment.starting_edge().await;
    let fields = [("authorization", "Bearer red1")];
    let read = async || edge.send("GET", "/v1/air/scoped", &fields).await;
    eventually(async || read().await.status == 200).await;
    let first = deployment.api.count(scope::PATH);
    eventually(async || {
        assert_eq!(read().await.status, 200);
        deployment.api.count(scope::PATH) > first
    })
    .await;
}

#[tokio::test]
async fn a_broker_that_is_away_keeps_no_edge_from_starting() {
    let deployment = Deployment::new(|_| read_at(1, "a", "one")).await;
    // Bound and closed again: nobody listens there.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("amqp://guest:guest@{}/none", listener.local_addr().unwrap());
    drop(listener);
    let queue = tidegate_queue::open(&url.parse().unwrap()).await.unwrap();
    assert_ne!(queue.state(), QueueState::Connected);
    let edge = deployment.starting_edge_on(queue, "edge_to_worker").await;
    eventually(async || edge.get(PATH).await.status == 200).await;
    edge.get(PATH).await.check("one", "hit");
    let readiness = send(edge.private, request("GET", "/readyz", &[])).await;
    assert_eq!(readiness.status, 200);
    assert!(String::from_utf8(readiness.body.to_vec()).unwrap().contains("degraded"));
    edge.shutdown.cancel();
    edge.ended().await.unwrap();
}
