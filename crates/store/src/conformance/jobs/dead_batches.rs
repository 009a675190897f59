//! Batches that kill their workers: rows that were accepted are set aside, never lost.

use std::time::Duration;

use tidegate_core::job::{Arm, INGEST, Job};
use tidegate_core::notice::Notice;

use super::support::letter;
use crate::conformance::{Engine, Fixture, NOW, row};
use crate::{Applied, Completed, DeadFilter, JobState};

const WEEK: Duration = Duration::from_secs(7 * 86_400);

pub(crate) async fn a_batch_that_kills_its_workers_is_taken_aside_and_can_come_back(
    engine: &dyn Engine,
) {
    let fixture = Fixture::new(engine).await;
    let batch = fixture.accept(&[row(1, "oslo", 1, 100)]).await;
    for unfinished in 1..=6 {
        assert_eq!(fixture.claim(batch).await.unfinished, unfinished);
    }
    let (overtaken, claim) = (fixture.claim(batch).await, fixture.claim(batch).await);
    let aside = async |claim| fixture.store.quarantine_batch(claim, "crashed: 8 times", NOW).await;
    assert!(!aside(&overtaken).await.unwrap());
    fixture.take_outbox().await;
    assert!(aside(&claim).await.unwrap());
    assert_eq!(fixture.take_notices().await, [Notice::JobsFinished { jobs: vec![batch] }]);
    assert!(!aside(&claim).await.unwrap());
    assert_eq!(fixture.state(batch).await, JobState::Dead);
    assert!(fixture.store.claim(&[batch], NOW).await.unwrap().is_empty());
    let late = fixture.store.apply(vec![claim], NOW).await.unwrap().applied;
    assert_eq!(late, [Applied::Overtaken(batch)]);
    let later = NOW.after(2 * WEEK);
    assert_eq!(fixture.store.sweep(later, later).await.unwrap().requeued, 0);

    let letters = fixture.letters(DeadFilter::default()).await;
    let [filed] = letters.as_slice() else { panic!("{letters:?}") };
    assert_eq!((filed.job, filed.kind.as_deref()), (Some(batch), Some(INGEST)));
    assert_eq!((filed.code.as_str(), filed.attempts), ("crashed", 8));

    assert_eq!(fixture.requeue().await, 1);
    let job = fixture.take_jobs().await.pop().unwrap();
    assert_eq!((job.id, job.generation, job.arm), (batch, 1, Arm::Stable));
    assert_eq!(fixture.state(batch).await, JobState::Accepted);
    // The old message, should it come now, says nothing against the batch.
    let old = Job { generation: 0, ..job };
    assert_eq!(fixture.store.file(vec![letter(&old, "crashed: x")], NOW).await.unwrap(), 0);
    let claim = fixture.claim(batch).await;
    assert_eq!(claim.unfinished, 1);
    let changes = fixture.store.apply(vec![claim], NOW).await.unwrap();
    assert!(matches!(changes.applied.as_slice(), [Applied::Done(..)]), "{changes:?}");
    let status = fixture.status(batch).await;
    assert_eq!((status.state, status.error), (JobState::Applied, None));
    assert_eq!((fixture.drift().await, fixture.seq().await), (0, 1));
}

pub(crate) async fn a_claim_that_is_given_back_in_order_counts_for_nothing(engine: &dyn Engine) {
    let fixture = Fixture::new(engine).await;
    let batch = fixture.accept(&[row(1, "oslo", 1, 100)]).await;
    let crashed = fixture.claim(batch).await;
    let drained = fixture.claim(batch).await;
    assert_eq!((crashed.unfinished, drained.unfinished), (1, 2));
    fixture.store.release(&[drained.hold()]).await.unwrap();
    assert_eq!(fixture.state(batch).await, JobState::Accepted);
    let late = fixture.store.apply(vec![drained], NOW).await.unwrap().applied;
    assert_eq!(late, [Applied::Overtaken(batch)]);
    // One that was overtaken ends in order too, and leaves the batch to its holder.
    let (overtaken, owner) = (fixture.claim(batch).await, fixture.claim(batch).await);
    assert_eq!((overtaken.unfinished, owner.unfinished), (2, 3));
    fixture.store.release(&[overtaken.hold()]).await.unwrap();
    assert_eq!(fixture.state(batch).await, JobState::Running);
    assert_eq!(fixture.claim(batch).await.unfinished, 3);
    let applied = fixture.store.apply(vec![owner], NOW).await.unwrap().applied;
    assert_eq!(applied, [Applied::Overtaken(batch)]);
    assert_eq!(fixture.claim(batch).await.unfinished, 3);
    assert_eq!(fixture.drift().await, 0);
}

pub(crate) async fn a_batch_that_is_given_up_keeps_its_rows_for_a_while(engine: &dyn Engine) {
    let fixture = Fixture::new(engine).await;
    let batch = fixture.accept(&[row(1, "oslo", 1, 100)]).await;
    let claim = fixture.claim(batch).await;
    fixture.store.quarantine_batch(&claim, "crashed: x", NOW).await.unwrap();
    let all = DeadFilter::default();
    assert_eq!(fixture.store.discard_dead(&all, "ada", NOW).await.unwrap(), 1);
    assert_eq!(fixture.state(batch).await, JobState::Failed);
    assert_eq!(fixture.requeue().await, 0);
    let payloads = async || fixture.number("select count(*) from dp_payload").await;
    fixture.store.sweep(NOW, NOW.after(WEEK / 2)).await.unwrap();
    assert_eq!(payloads().await, 1);
    fixture.store.sweep(NOW, NOW.after(WEEK)).await.unwrap();
    assert_eq!(payloads().await, 0);
}

pub(crate) async fn a_batch_without_its_payload_can_not_be_requeued(engine: &dyn Engine) {
    let fixture = Fixture::new(engine).await;
    let batch = fixture.accept(&[row(1, "oslo", 1, 100)]).await;
    let message = fixture.take_jobs().await.pop().unwrap();
    // The broker gave its message up.
    let file = fixture.store.file(vec![letter(&message, "delivery_limit: 10")], NOW).await;
    assert_eq!((file.unwrap(), fixture.state(batch).await), (1, JobState::Dead));
    fixture.write("delete from dp_payload").await;
    assert_eq!(fixture.requeue().await, 0);
    assert_eq!(fixture.state(batch).await, JobState::Dead);
    // An ingest job whose batch is not known is nothing at all.
    let stray = Job { id: uuid::Uuid::now_v7(), ..message };
    fixture.store.file(vec![letter(&stray, "delivery_limit: 10")], NOW).await.unwrap();
    assert_eq!(fixture.requeue().await, 0);
    assert_eq!(fixture.complete(&stray).await, Completed::Duplicate);
}
