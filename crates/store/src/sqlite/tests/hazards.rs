//! Each hazard of applying rows more than once, late, or in another order.

use std::sync::Arc;

use tidegate_core::clock::Timestamp;

use super::support::{Fixture, NOW, TENANT, row};
use crate::sqlite::{insert, merge};
use crate::transform::effects::{self, NewRows};
use crate::transform::prepare::prepare;
use crate::{Applied, Claim, Counts, JobState, Store as _, StoreError};

#[tokio::test]
async fn a_batch_that_is_delivered_again_is_none_to_claim() {
    let fixture = Fixture::new().await;
    let batch = fixture.accept(&[row(1, "oslo", 1, 100)]).await;
    let claim = fixture.claim(batch).await;
    fixture.store.apply(vec![claim], NOW).await.unwrap();
    assert!(fixture.store.claim(&[batch], NOW).await.unwrap().is_empty());
    assert_eq!(fixture.drift(), 0);
}

#[tokio::test]
async fn a_row_that_comes_again_counts_once() {
    let fixture = Fixture::new().await;
    let rows = [row(1, "oslo", 1, 100), row(2, "oslo", 1, 200), row(1, "oslo", 1, 100)];
    let counts = fixture.ingest(&rows).await;
    assert_eq!(counts, Counts { new: 2, duplicate: 1, ..Counts::default() });
    let counts = fixture.ingest(&rows).await;
    assert_eq!(counts, Counts { duplicate: 3, ..Counts::default() });
    assert_eq!(fixture.drift(), 0);
}

#[tokio::test]
async fn a_commit_that_changes_nothing_takes_no_number_and_purges_nothing() {
    let fixture = Fixture::new().await;
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

#[tokio::test]
async fn rows_in_any_order_give_the_same_groups() {
    let fixture = Fixture::new().await;
    for hours_ago in [5, 1, 30, 2, 29, 0] {
        let rows = [row(hours_ago, "oslo", hours_ago, 7), row(100 + hours_ago, "rome", 3, 9)];
        fixture.ingest(&rows).await;
    }
    assert_eq!(fixture.drift(), 0);
    assert_eq!(fixture.seq().await, 6);
}

#[tokio::test]
async fn a_late_row_is_applied_and_counted_as_late() {
    let fixture = Fixture::new().await;
    fixture.ingest(&[row(1, "oslo", 1, 100)]).await;
    let counts = fixture.ingest(&[row(2, "oslo", 48, 1), row(3, "oslo", 50, 1)]).await;
    assert_eq!(counts, Counts { new: 1, late: 1, ..Counts::default() });
    // The watermark of the batch itself counts as well.
    let fresh = Fixture::new().await;
    let counts = fresh.ingest(&[row(1, "oslo", 60, 1), row(2, "oslo", 0, 1)]).await;
    assert_eq!(counts, Counts { new: 1, late: 1, ..Counts::default() });
    assert_eq!((fixture.drift(), fresh.drift()), (0, 0));
}

#[tokio::test]
async fn a_worker_that_was_overtaken_has_no_effect() {
    let fixture = Fixture::new().await;
    let batch = fixture.accept(&[row(1, "oslo", 1, 100)]).await;
    let (zombie, owner) = (fixture.claim(batch).await, fixture.claim(batch).await);
    assert_eq!((zombie.fence, owner.fence, owner.attempts), (1, 2, 2));
    let early = fixture.store.apply(vec![zombie], NOW).await.unwrap().applied;
    assert_eq!(early, [Applied::Overtaken(batch)]);
    assert_eq!(fixture.number("select count(*) from d_air_readings"), 0);
    fixture.store.apply(vec![owner], NOW).await.unwrap();
    assert_eq!((fixture.drift(), fixture.seq().await), (0, 1));
}

#[tokio::test]
async fn a_worker_that_wakes_up_after_the_batch_was_applied_has_no_effect() {
    let fixture = Fixture::new().await;
    let batch = fixture.accept(&[row(1, "oslo", 1, 100)]).await;
    let (zombie, owner) = (fixture.claim(batch).await, fixture.claim(batch).await);
    fixture.store.apply(vec![owner], NOW).await.unwrap();
    fixture.store.fail(&zombie, "too slow", NOW).await.unwrap();
    let late = fixture.store.apply(vec![zombie], NOW).await.unwrap().applied;
    assert_eq!(late, [Applied::Overtaken(batch)]);
    let job = fixture.store.job(TENANT, batch).await.unwrap().unwrap();
    assert_eq!((job.state, job.counts.new, job.counts.duplicate), (JobState::Applied, 1, 0));
}

/// Applies a claim as a protocol would that trusts the delivery: it looks neither at the fence nor
/// at which rows are new.
async fn apply_naively(fixture: &Fixture, claim: Claim) {
    let written = fixture.store.database.write(move |sql| {
        let contract = Arc::clone(&claim.contract);
        let dataset = &contract.contract.datasets[0];
        let all: Vec<u32> = (0..u32::try_from(claim.rows.len()).unwrap()).collect();
        let work = crate::transform::work::Work { prepared: prepare(dataset, &claim.rows), claim };
        insert::insert_rows(sql, &work)?;
        for view in &contract.contract.views {
            let new = [NewRows { rows: &work.claim.rows, new: &all }];
            let deltas = effects::deltas(&contract.contract, view, &new).unwrap();
            merge::merge(sql, &contract.contract, view, TENANT, &deltas, 1).unwrap();
        }
        Ok::<_, StoreError>(())
    });
    written.await.unwrap();
}

#[tokio::test]
async fn without_the_fence_a_batch_that_two_workers_hold_counts_twice() {
    let fixture = Fixture::new().await;
    let batch = fixture.accept(&[row(1, "oslo", 1, 100), row(2, "rome", 1, 100)]).await;
    let (first, second) = (fixture.claim(batch).await, fixture.claim(batch).await);
    apply_naively(&fixture, first).await;
    assert_eq!(fixture.drift(), 0);
    apply_naively(&fixture, second).await;
    // Two groups of one view and one of the other, each stored and recomputed.
    assert_eq!(fixture.drift(), 6);
}

#[tokio::test]
async fn a_full_disk_leaves_everything_as_it_was() {
    let fixture = Fixture::new().await;
    let rows: Vec<_> = (0..2_000).map(|id| row(format!("{id:0>40}"), "oslo", 1, 1)).collect();
    let batch = fixture.accept(&rows).await;
    let claim = fixture.claim(batch).await;
    // No room for a further page.
    fixture.write("pragma max_page_count = 1").await;
    let full = fixture.store.apply(vec![claim], NOW).await;
    assert!(matches!(full, Err(StoreError::Full)), "{full:?}");
    assert_eq!(fixture.number("select count(*) from d_air_readings"), 0);
    fixture.write("pragma max_page_count = 1000000").await;
    let claim = fixture.claim(batch).await;
    let applied = fixture.store.apply(vec![claim], NOW).await.unwrap().applied;
    assert!(matches!(applied.as_slice(), [Applied::Done(_, counts)] if counts.new == 2_000));
    assert_eq!((fixture.drift(), fixture.seq().await), (0, 1));
}

#[tokio::test]
async fn a_batch_that_nobody_applied_is_brought_back_once() {
    let fixture = Fixture::new().await;
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

#[tokio::test]
async fn a_payload_is_kept_until_its_replay_time_ends() {
    let fixture = Fixture::new().await;
    fixture.ingest(&[row(1, "oslo", 1, 100)]).await;
    let payloads = || fixture.number("select count(*) from dp_payload");
    fixture.store.sweep(NOW, Timestamp(NOW.0 + 3_599_000_000)).await.unwrap();
    assert_eq!(payloads(), 1);
    fixture.store.sweep(NOW, Timestamp(NOW.0 + 3_600_000_000)).await.unwrap();
    assert_eq!(payloads(), 0);
}

#[tokio::test]
async fn a_sweep_says_when_payloads_may_be_left_to_drop() {
    let fixture = Fixture::new().await;
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
    assert_eq!(fixture.number("select count(*) from dp_payload"), 0);
}
