//! Jobs, and requests that wait for them.

use std::sync::Arc;
use std::time::Duration;

use insta::assert_snapshot;
use serde_json::Value;
use tidegate_core::shutdown::Shutdown;
use tidegate_queue::{Queue, SqliteQueue};
use tokio::time::Instant;
use uuid::Uuid;

use super::fixture::{Fixture, row};
use crate::hear::hear;

/// Blanks what differs from run to run.
fn stable(mut document: Value) -> String {
    for member in ["job", "received_at", "finished_at", "seq"] {
        if document[member].is_string() {
            document[member] = Value::from("…");
        }
    }
    serde_json::to_string(&document).unwrap()
}

#[tokio::test]
async fn a_job_is_followed_from_acceptance_to_the_end() {
    let api = Fixture::new().await;
    let rows = row("a", "oslo", "7") + &row("b", "oslo", "2001");
    let reply = api.post("acme-writer", rows, &[]).await.expect(202);
    let path = reply.header("location").to_owned();
    let job: Uuid = reply.json()["job"].as_str().unwrap().parse().unwrap();

    let waiting = api.get("acme-writer", &path).await.expect(200);
    assert_eq!(waiting.header("retry-after"), "1");
    assert_snapshot!(stable(waiting.json()), @r#"{"attempts":0,"counts":{"duplicate":0,"late":0,"new":0,"rejected":1},"dataset":"readings","error":null,"errors":[{"code":"out_of_range","line":2,"message":"must be from 0.00 to 2000.00","pointer":"/value"}],"finished_at":null,"job":"…","kind":"ingest","lane":"default","product":"air","received_at":"…","rows":2,"seq":null,"state":"accepted"}"#);

    api.apply(job).await;
    let done = api.get("acme-writer", &path).await.expect(200);
    assert_eq!(done.header("retry-after"), "");
    assert_snapshot!(stable(done.json()), @r#"{"attempts":1,"counts":{"duplicate":0,"late":0,"new":1,"rejected":1},"dataset":"readings","error":null,"errors":[{"code":"out_of_range","line":2,"message":"must be from 0.00 to 2000.00","pointer":"/value"}],"finished_at":"…","job":"…","kind":"ingest","lane":"default","product":"air","received_at":"…","rows":2,"seq":"…","state":"applied"}"#);
}

#[tokio::test]
async fn jobs_are_hidden_from_other_tenants_and_products() {
    let api = Fixture::new().await;
    let job = api.ingest("acme-writer", &row("a", "oslo", "7")).await;
    let path = format!("/v1/jobs/{job}");
    api.get("acme-reader", &path).await.expect(200);
    let other = api.get("globex-admin", &path).await.expect(404);
    let unknown = api.get("globex-admin", "/v1/jobs/0197b1c4-0000-7000-8000-000000000000").await;
    let detail = |document: Value| document["detail"].clone();
    assert_eq!(detail(other.json()), detail(unknown.expect(404).json()));
    api.get("acme-shop", &path).await.expect(404);
    api.get("acme-admin", "/v1/jobs/none").await.expect(404);
    api.get("nonsense", &path).await.expect(401);
}

#[tokio::test]
async fn a_request_that_waits_is_answered_when_its_job_is_applied() {
    let api = Fixture::new().await;
    let started = Instant::now();
    let (reply, ()) = tokio::join!(
        api.post("acme-writer", row("a", "oslo", "7"), &[("prefer", "wait=30")]),
        async {
            let job = accepted(&api).await;
            api.apply(job).await;
            api.app.waiting.finish(&[job]);
        }
    );
    let reply = reply.expect(200);
    assert!(started.elapsed() < Duration::from_secs(15));
    assert_eq!(reply.header("preference-applied"), "wait=30");
    assert_eq!(reply.json()["state"], "applied");
    assert_eq!(reply.json()["counts"]["new"], 1);
}

#[tokio::test]
async fn a_wait_that_ends_too_early_is_answered_with_the_job_to_ask_for() {
    let api = Fixture::new().await;
    let fields = [("prefer", "wait=1")];
    let reply = api.post("acme-writer", row("a", "oslo", "7"), &fields).await.expect(202);
    assert_eq!(reply.header("preference-applied"), "");
    assert!(reply.header("location").starts_with("/v1/jobs/"));
}

#[tokio::test]
async fn a_finished_job_is_heard_of_through_the_queue() {
    let api = Fixture::new().await;
    let queue = SqliteQueue::open(&api.directory.path().join("queue.db")).unwrap();
    let shutdown = Shutdown::new();
    let (app, subscriber, stop) = (Arc::clone(&api.app), queue.clone(), shutdown.clone());
    let hearing = tokio::spawn(async move { hear(&app, &subscriber, &stop).await });
    let job = Uuid::now_v7();
    let ticket = api.app.waiting.join(job).unwrap();
    let notice = tidegate_core::notice::Notice::JobsFinished { jobs: vec![job] };
    let heard = async {
        // Told again until the subscription exists.
        loop {
            queue.broadcast(std::slice::from_ref(&notice)).await.unwrap();
            if tokio::time::timeout(Duration::from_millis(200), ticket.woken()).await.is_ok() {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), heard).await.unwrap();
    shutdown.cancel();
    hearing.await.unwrap();
}

/// Waits for a batch of this api to be on disk, and returns its job.
async fn accepted(api: &Fixture) -> Uuid {
    use tidegate_core::outbox::{OutboxMessage, OutboxSource};
    loop {
        let pending = api.store.pending(1).await.unwrap();
        if let Some(OutboxMessage::Job(job)) = pending.into_iter().next().map(|line| line.message) {
            return job.id;
        }
        api.store.wait_pending().await;
    }
}
