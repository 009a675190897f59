//! A sum that leaves the range of 64 bits fails the batch that brings it, and no other.

use super::{Engine, Fixture, NOW, TENANT, row};
use crate::{Applied, JobState};

const HUGE: i64 = i64::MAX - 10;

pub(crate) async fn a_sum_that_overflows_within_a_batch_fails_that_batch_only(engine: &dyn Engine) {
    let fixture = Fixture::new(engine).await;
    let batches = [
        fixture.accept(&[row(1, "oslo", 1, 1).level(1)]).await,
        fixture.accept(&[row(2, "oslo", 1, 1).level(HUGE), row(3, "oslo", 1, 1).level(HUGE)]).await,
        fixture.accept(&[row(4, "oslo", 1, 1).level(2)]).await,
    ];
    check_that_the_second_fails(&fixture, &batches).await;
}

pub(crate) async fn a_sum_that_overflows_in_the_stored_group_fails_that_batch_only(
    engine: &dyn Engine,
) {
    let fixture = Fixture::new(engine).await;
    fixture.ingest(&[row(0, "oslo", 1, 1).level(HUGE)]).await;
    fixture.take_outbox().await;
    let batches = [
        fixture.accept(&[row(1, "oslo", 1, 1).level(1)]).await,
        fixture.accept(&[row(2, "oslo", 1, 1).level(100)]).await,
        fixture.accept(&[row(3, "oslo", 1, 1).level(2)]).await,
    ];
    check_that_the_second_fails(&fixture, &batches).await;
}

pub(crate) async fn a_negative_sum_overflows_too(engine: &dyn Engine) {
    let fixture = Fixture::new(engine).await;
    fixture.ingest(&[row(0, "oslo", 1, 1).level(-HUGE)]).await;
    let batch = fixture.accept(&[row(1, "oslo", 1, 1).level(-13)]).await;
    let claim = fixture.claim(batch).await;
    let applied = fixture.store.apply(vec![claim], NOW).await.unwrap().applied;
    assert!(matches!(applied.as_slice(), [Applied::Failed(..)]), "{applied:?}");
    assert_eq!(fixture.drift().await, 0);
}

async fn check_that_the_second_fails(fixture: &Fixture, batches: &[uuid::Uuid; 3]) {
    let before = fixture.seq().await;
    let claims = fixture.store.claim(batches, NOW).await.unwrap();
    let mut applied = fixture.store.apply(claims, NOW).await.unwrap().applied;
    applied.sort_by_key(|applied| match applied {
        Applied::Done(id, _) | Applied::Failed(id, _) | Applied::Overtaken(id) => *id,
    });
    let [Applied::Done(..), Applied::Failed(failed, reason), Applied::Done(..)] =
        applied.as_slice()
    else {
        panic!("{applied:?}")
    };
    assert_eq!(*failed, batches[1]);
    assert!(reason.contains("city_hour") && reason.contains("64 bits"), "{reason}");
    let job = fixture.store.job(TENANT, *failed).await.unwrap().unwrap();
    assert_eq!((job.state, job.error.as_ref()), (JobState::Failed, Some(reason)));
    assert_eq!(fixture.drift().await, 0);
    // The batches that were applied share one number, and all three are told as finished.
    assert_eq!(fixture.seq().await, before + 1);
    let finished =
        fixture.take_outbox().await.into_iter().rev().find_map(|message| match message {
            tidegate_core::outbox::OutboxMessage::Notice(
                tidegate_core::notice::Notice::JobsFinished { jobs },
            ) => Some(jobs.len()),
            _ => None,
        });
    assert_eq!(finished, Some(3));
}
