//! What workers tell each other.

use tidegate_core::job::{Arm, Lane};
use uuid::Uuid;

use super::support::{after, letter, probe};
use crate::conformance::{Engine, Fixture, NOW};
use crate::{LaneBeat, WorkerBeat};

fn beat(id: &str, busy: u32) -> WorkerBeat {
    WorkerBeat {
        id: id.to_owned(),
        arm: Arm::Canary,
        release: Some("r2".to_owned()),
        started_at: NOW,
        slots: 8,
        busy,
        lanes: vec![LaneBeat { lane: Lane::High, busy, p50_us: 1_500 }],
        draining: false,
    }
}

pub(crate) async fn a_worker_that_is_silent_is_taken_for_dead(engine: &dyn Engine) {
    let fixture = Fixture::new(engine).await;
    let (store, other) = (&fixture.store, fixture.other().await);
    assert!(store.workers(NOW).await.unwrap().is_empty());
    store.beat(&beat("b", 1), NOW).await.unwrap();
    other.beat(&beat("a", 0), after(5)).await.unwrap();
    store.beat(&beat("b", 3), after(2)).await.unwrap();
    assert_eq!(other.workers(after(6)).await.unwrap(), [beat("a", 0), beat("b", 3)]);
    assert_eq!(store.workers(after(12)).await.unwrap(), [beat("a", 0)]);
    assert!(store.workers(after(15)).await.unwrap().is_empty());
}

pub(crate) async fn a_suspect_is_counted_until_it_is_acquitted(engine: &dyn Engine) {
    let fixture = Fixture::new(engine).await;
    let job = fixture.put(probe(Uuid::now_v7(), 0)).await;
    let other = Uuid::now_v7();
    let suspect = async |job, generation| fixture.store.suspect(job, generation, NOW).await;
    assert_eq!((suspect(job.id, 0).await.unwrap(), suspect(job.id, 0).await.unwrap()), (1, 2));
    assert_eq!((suspect(job.id, 1).await.unwrap(), suspect(other, 0).await.unwrap()), (1, 1));
    fixture.store.acquit(&[(job.id, 0), (other, 0)]).await.unwrap();
    assert_eq!((suspect(job.id, 0).await.unwrap(), suspect(job.id, 1).await.unwrap()), (1, 2));
    // What is committed or filed has ended in order.
    fixture.complete(&job).await;
    assert_eq!(suspect(job.id, 0).await.unwrap(), 1);
    let dead = probe(Uuid::now_v7(), 1);
    suspect(dead.id, 0).await.unwrap();
    fixture.store.file(vec![letter(&dead, "crashed: x")], NOW).await.unwrap();
    assert_eq!(suspect(dead.id, 0).await.unwrap(), 1);
}
