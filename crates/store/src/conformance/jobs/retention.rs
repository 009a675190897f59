//! Records are kept as long as somebody may need them, and no longer.

use std::time::Duration;

use tidegate_core::clock::Timestamp;
use uuid::Uuid;

use super::support::{letter, probe, reconcile};
use crate::conformance::{Engine, Fixture, NOW, row};
use crate::{Cancel, DeadFilter, WorkerBeat};

fn days(count: u64) -> Timestamp {
    NOW.after(Duration::from_secs(count * 86_400))
}

async fn sweep_all(fixture: &Fixture, now: Timestamp) {
    while !fixture.store.sweep(NOW, now).await.unwrap().is_empty() {
        fixture.take_outbox().await;
    }
}

pub(crate) async fn records_are_kept_until_their_time_ends(engine: &dyn Engine) {
    let fixture = Fixture::new(engine).await;
    let job = fixture.put(probe(Uuid::now_v7(), 0)).await;
    fixture.complete(&job).await;
    let cancelled = fixture.put(reconcile()).await;
    assert_eq!(fixture.store.cancel("acme", cancelled.id, NOW).await.unwrap(), Cancel::Done);
    fixture.store.suspect(Uuid::now_v7(), 0, NOW).await.unwrap();
    let beat = r#"{"id":"a","arm":"stable","started_at":0,"slots":1,"busy":0,"lanes":[],"draining":false}"#;
    let beat: WorkerBeat = serde_json::from_str(beat).unwrap();
    fixture.store.beat(&beat, NOW).await.unwrap();
    // One letter is decided about, the other, of a job with a record, is not.
    fixture.store.file(vec![letter(&probe(Uuid::now_v7(), 1), "permanent: x")], NOW).await.unwrap();
    fixture.store.discard_dead(&DeadFilter::default(), "ada", NOW).await.unwrap();
    let dead = fixture.put(reconcile()).await;
    fixture.store.file(vec![letter(&dead, "permanent: x")], NOW).await.unwrap();

    let counts = async || {
        let mut counts = Vec::new();
        for table in ["dp_job", "dp_inbox", "dp_suspect", "dp_worker", "dp_probe", "dp_dead"] {
            counts.push(fixture.number(&format!("select count(*) from {table}")).await);
        }
        counts
    };
    assert_eq!(counts().await, [3, 2, 1, 1, 1, 2]);
    sweep_all(&fixture, NOW).await;
    assert_eq!(counts().await, [3, 2, 1, 1, 1, 2]);
    sweep_all(&fixture, days(6)).await;
    assert_eq!(counts().await, [3, 2, 1, 0, 1, 2]);
    sweep_all(&fixture, days(8)).await;
    assert_eq!(counts().await, [1, 2, 1, 0, 0, 2]);
    sweep_all(&fixture, days(15)).await;
    assert_eq!(counts().await, [1, 0, 0, 0, 0, 2]);
    sweep_all(&fixture, days(31)).await;
    assert_eq!(counts().await, [1, 0, 0, 0, 0, 1], "what is open is kept");
}

pub(crate) async fn rows_that_did_not_pass_outlive_their_batch_s_peers(engine: &dyn Engine) {
    let fixture = Fixture::new(engine).await;
    fixture.ingest(&[row(1, "oslo", 1, 100)]).await;
    fixture.ingest(&[row(2, "oslo", 1, 100), row(0, "", 0, 0)]).await;
    let waiting = fixture.accept(&[row(3, "oslo", 1, 100), row(0, "", 0, 0)]).await;
    let counts = async || {
        let batches = fixture.number("select count(*) from dp_batch").await;
        (batches, fixture.number("select count(*) from dp_quarantine").await)
    };
    assert_eq!(counts().await, (3, 2));
    sweep_all(&fixture, days(6)).await;
    assert_eq!(counts().await, (3, 2));
    sweep_all(&fixture, days(8)).await;
    assert_eq!(counts().await, (2, 2));
    sweep_all(&fixture, days(31)).await;
    assert_eq!(counts().await, (1, 1));
    // What waits is kept for as long as it takes, and the rows of the others are where they were.
    let claim = fixture.claim(waiting).await;
    fixture.store.apply(vec![claim], NOW).await.unwrap();
    assert_eq!(fixture.drift().await, 0);
}
