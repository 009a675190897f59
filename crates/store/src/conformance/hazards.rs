//! Each hazard of applying rows more than once, late, or in another order.

use tidegate_core::clock::Timestamp;

use super::{Engine, Fixture, NOW, TENANT, row};
use crate::{Applied, Counts, JobState};

pub(crate) async fn a_batch_that_is_delivered_again_is_none_to_claim(engine: &dyn Engine) {
    let fixture = Fixture::new(engine).await;
    let batch = fixture.accept(&[row(1, "oslo", 1, 100)]).await;
    let claim = fixture.claim(batch).await;
    fixture.store.apply(vec![claim], NOW).await.unwrap();
    assert!(fixture.store.claim(&[batch], NOW).await.unwrap().is_empty());
    assert_eq!(fixture.drift().await, 0);
}

pub(crate) async fn a_row_that_comes_again_counts_once(engine: &dyn Engine) {
    let fixture = Fixture::new(engine).await;
    let rows = [row(1, "oslo", 1, 100), row(2, "oslo", 1, 200), row(1, "oslo", 1, 100)];
    let counts = fixture.ingest(&rows).await;
    assert_eq!(counts, Counts { new: 2, duplicate: 1, ..Counts::default() });
    let counts = fixture.ingest(&rows).await;
    assert_eq!(counts, Counts { duplicate: 3, ..Counts::default() });
    assert_eq!(fixture.drift().await, 0);
}

pub(crate) async fn a_commit_that_changes_nothing_takes_no_number_and_purges_nothing(
    engine: &dyn Engine,
) {
    let fixture = Fixture::new(engine).await;
    fixture.ingest(&[row(1, "oslo", 1, 100)]).await;
    assert_eq!(fixture.take_purges().await.len(), 1);
    let id = fixture.accept(&[row(1, "oslo", 1, 100)]).await;
    let claim = fixture.claim(id).await;
    fixture.store.apply(vec![claim], NOW).await.unwrap();
    assert_eq!(fixture.seq().await, 1);
    assert_eq!(fixture.take_purges().await, []);
    // What was sent is visible since the first commit.
    let job = fixture.store.job(TENANT, id).await.unwrap().unwrap();
    assert_eq!(job.seq.unwrap().seq, 1);
}

pub(crate) async fn rows_in_any_order_give_the_same_groups(engine: &dyn Engine) {
    let fixture = Fixture::new(engine).await;
    for hours_ago in [5, 1, 30, 2, 29, 0] {
        let rows = [row(hours_ago, "oslo", hours_ago, 7), row(100 + hours_ago, "rome", 3, 9)];
        fixture.ingest(&rows).await;
    }
    assert_eq!(fixture.drift().await, 0);
    assert_eq!(fixture.seq().await, 6);
}

pub(crate) async fn a_late_row_is_applied_and_counted_as_late(engine: &dyn Engine) {
    let fixture = Fixture::new(engine).await;
    fixture.ingest(&[row(1, "oslo", 1, 100)]).await;
    let counts = fixture.ingest(&[row(2, "oslo", 48, 1), row(3, "oslo", 50, 1)]).await;
    assert_eq!(counts, Counts { new: 1, late: 1, ..Counts::default() });
    // The watermark of the batch itself counts as well.
    let fresh = Fixture::new(engine).await;
    let counts = fresh.ingest(&[row(1, "oslo", 60, 1), row(2, "oslo", 0, 1)]).await;
    assert_eq!(counts, Counts { new: 1, late: 1, ..Counts::default() });
    assert_eq!((fixture.drift().await, fresh.drift().await), (0, 0));
}

pub(crate) async fn a_worker_that_was_overtaken_has_no_effect(engine: &dyn Engine) {
    let fixture = Fixture::new(engine).await;
    let batch = fixture.accept(&[row(1, "oslo", 1, 100)]).await;
    let (zombie, owner) = (fixture.claim(batch).await, fixture.claim(batch).await);
    assert_eq!((zombie.fence, owner.fence, owner.attempts), (1, 2, 2));
    let early = fixture.store.apply(vec![zombie], NOW).await.unwrap().applied;
    assert_eq!(early, [Applied::Overtaken(batch)]);
    assert_eq!(fixture.number("select count(*) from d_air_readings").await, 0);
    fixture.store.apply(vec![owner], NOW).await.unwrap();
    assert_eq!((fixture.drift().await, fixture.seq().await), (0, 1));
}

pub(crate) async fn a_worker_that_wakes_up_after_the_batch_was_applied_has_no_effect(
    engine: &dyn Engine,
) {
    let fixture = Fixture::new(engine).await;
    let batch = fixture.accept(&[row(1, "oslo", 1, 100)]).await;
    let (zombie, owner) = (fixture.claim(batch).await, fixture.claim(batch).await);
    fixture.store.apply(vec![owner], NOW).await.unwrap();
    fixture.store.fail(&zombie, "too slow", NOW).await.unwrap();
    let late = fixture.store.apply(vec![zombie], NOW).await.unwrap().applied;
    assert_eq!(late, [Applied::Overtaken(batch)]);
    let job = fixture.store.job(TENANT, batch).await.unwrap().unwrap();
    assert_eq!((job.state, job.counts.new, job.counts.duplicate), (JobState::Applied, 1, 0));
}

pub(crate) async fn without_the_fence_a_batch_that_two_workers_hold_counts_twice(
    engine: &dyn Engine,
) {
    let fixture = Fixture::new(engine).await;
    let batch = fixture.accept(&[row(1, "oslo", 1, 100), row(2, "rome", 1, 100)]).await;
    let (first, second) = (fixture.claim(batch).await, fixture.claim(batch).await);
    fixture.place.apply_naively(first).await;
    assert_eq!(fixture.drift().await, 0);
    fixture.place.apply_naively(second).await;
    // Two groups of one view and one of the other, each stored and recomputed.
    assert_eq!(fixture.drift().await, 6);
}

pub(crate) async fn a_batch_that_nobody_applied_is_brought_back_once(engine: &dyn Engine) {
    let fixture = Fixture::new(engine).await;
    let batch = fixture.accept(&[row(1, "oslo", 1, 100)]).await;
    let later = Timestamp(NOW.0 + 31_000_000);
    let sweep =
        async |untouched_since| fixture.store.sweep(untouched_since, later).await.unwrap().requeued;
    assert_eq!(sweep(later).await, 0, "its line is still pending");
    fixture.take_outbox().await;
    assert_eq!(sweep(NOW).await, 0, "it was touched just now");
    assert_eq!(sweep(later).await, 1);
    fixture.take_outbox().await;
    assert_eq!(sweep(later).await, 0, "it was brought back just now");
    // Held by a worker that died.
    fixture.claim(batch).await;
    assert_eq!(sweep(later).await, 1);
}

pub(crate) async fn a_payload_is_kept_until_its_replay_time_ends(engine: &dyn Engine) {
    let fixture = Fixture::new(engine).await;
    fixture.ingest(&[row(1, "oslo", 1, 100)]).await;
    let payloads = async || fixture.number("select count(*) from dp_payload").await;
    fixture.store.sweep(NOW, Timestamp(NOW.0 + 3_599_000_000)).await.unwrap();
    assert_eq!(payloads().await, 1);
    fixture.store.sweep(NOW, Timestamp(NOW.0 + 3_600_000_000)).await.unwrap();
    assert_eq!(payloads().await, 0);
}

pub(crate) async fn a_sweep_says_when_payloads_may_be_left_to_drop(engine: &dyn Engine) {
    let fixture = Fixture::new(engine).await;
    for id in 0..33 {
        fixture.ingest(&[row(id, "oslo", 1, 100)]).await;
    }
    let later = NOW.after(std::time::Duration::from_secs(3_600));
    let mut swept = Vec::new();
    while let found = fixture.store.sweep(NOW, later).await.unwrap()
        && !found.is_empty()
    {
        swept.push(found.dropped);
    }
    assert_eq!(swept, [32, 1]);
    assert_eq!(fixture.number("select count(*) from dp_payload").await, 0);
}
