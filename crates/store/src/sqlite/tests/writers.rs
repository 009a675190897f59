//! Several processes write at once.

use std::sync::Arc;

use super::support::{Fixture, NOW, TENANT, batch, row};
use crate::{Applied, SqliteStore, Store as _, StoreError, StoredContract};

const BATCHES: i64 = 40;
const ROWS: i64 = 25;

/// Accepts and applies batches of rows that no other writer sends, one commit for each.
async fn write(store: SqliteStore, contract: Arc<StoredContract>, writer: i64) {
    for number in 0..BATCHES {
        let id = |row| format!("{writer}-{number}-{row}");
        let rows: Vec<_> = (0..ROWS).map(|n| row(id(n), "oslo", n % 5, n + 1)).collect();
        let batch = batch(&contract, &rows);
        let batch_id = batch.id;
        store.accept(batch, NOW).await.unwrap();
        let claims = store.claim(&[batch_id], NOW).await.unwrap();
        let applied = store.apply(claims, NOW).await.unwrap().applied;
        assert!(matches!(applied.as_slice(), [Applied::Done(..)]), "{applied:?}");
    }
}

/// Reads number and rows in one snapshot until all is written; every number has its rows.
fn watch(store: &SqliteStore) {
    let mut last = 0;
    while last < 2 * BATCHES {
        let (seq, rows): (i64, i64) = store
            .database
            .read(|sql| {
                let snapshot = "select coalesce((select seq from dp_seq), 0),
                                       (select count(*) from d_air_readings)";
                Ok::<_, StoreError>(
                    sql.query_row(snapshot, (), |row| Ok((row.get(0)?, row.get(1)?)))?,
                )
            })
            .unwrap();
        assert!(last <= seq, "{seq} was seen after {last}");
        assert_eq!(rows, seq * ROWS, "commit {seq} shows other rows than its own");
        last = seq;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_of_two_writers_have_no_gap_and_the_order_of_commits() {
    let fixture = Fixture::new().await;
    let writers: Vec<_> = (0..2)
        .map(|writer| tokio::spawn(write(fixture.other(), Arc::clone(&fixture.contract), writer)))
        .collect();
    let reader = fixture.other();
    tokio::task::spawn_blocking(move || watch(&reader)).await.unwrap();
    for writer in writers {
        writer.await.unwrap();
    }
    let numbers: Vec<u64> = fixture.take_purges().await.into_iter().map(|(seq, _)| seq).collect();
    assert_eq!(numbers, (1..=2 * BATCHES.unsigned_abs()).collect::<Vec<_>>());
    assert_eq!(fixture.drift(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_that_fight_for_the_same_batches_apply_each_once() {
    let fixture = Fixture::new().await;
    let mut ids = Vec::new();
    for number in 0..30 {
        let rows: Vec<_> = (0..10).map(|n| row(number * 7 + n, "oslo", n, 1)).collect();
        ids.push(fixture.accept(&rows).await);
    }
    let workers = (0..3).map(|_| {
        let (store, ids) = (fixture.other(), ids.clone());
        tokio::spawn(async move {
            let mut done = 0;
            for ids in ids.chunks(4) {
                let claims = store.claim(ids, NOW).await.unwrap();
                tokio::task::yield_now().await;
                let applied = store.apply(claims, NOW).await.unwrap().applied;
                done += applied.iter().filter(|it| matches!(it, Applied::Done(..))).count();
            }
            done
        })
    });
    let mut done = 0;
    for worker in workers.collect::<Vec<_>>() {
        done += worker.await.unwrap();
    }
    // What was overtaken at the very end is claimed once more.
    let claims = fixture.store.claim(&ids, NOW).await.unwrap();
    done += fixture.store.apply(claims, NOW).await.unwrap().applied.len();
    assert_eq!(done, ids.len());
    assert_eq!(fixture.number("select count(*) from dp_batch where state <> 'applied'"), 0);
    assert_eq!(fixture.number("select count(*) from d_air_readings"), 7 * 29 + 10);
    assert_eq!(fixture.drift(), 0);
}

#[tokio::test]
async fn tenants_share_nothing() {
    let fixture = Fixture::new().await;
    fixture.ingest(&[row(1, "oslo", 1, 100)]).await;
    let mut batch = fixture.batch(&[row(1, "oslo", 1, 300)]);
    let id = batch.id;
    batch.tenant = "zeta".to_owned();
    fixture.store.accept(batch, NOW).await.unwrap();
    let claim = fixture.claim(id).await;
    let applied = fixture.store.apply(vec![claim], NOW).await.unwrap().applied;
    assert!(matches!(applied.as_slice(), [Applied::Done(_, counts)] if counts.new == 1));
    let seq = async |tenant| fixture.store.versions(tenant, "air", &[]).await.unwrap().seq;
    assert_eq!((seq(TENANT).await.seq, seq("zeta").await.seq), (1, 1));
    assert_ne!(seq(TENANT).await.space, seq("zeta").await.space);
    assert_eq!(fixture.drift(), 0);
}
