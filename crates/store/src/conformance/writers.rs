//! Several processes write at once.

use std::sync::Arc;

use tidegate_product::fold::Value;

use super::{Engine, Fixture, NOW, Place, TENANT, batch, row};
use crate::{Applied, SharedStore, StoredContract};

const BATCHES: i64 = 40;
const ROWS: i64 = 25;

/// Accepts and applies batches of rows that no other writer sends, one commit for each.
async fn write(store: SharedStore, contract: Arc<StoredContract>, writer: i64) {
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
async fn watch(place: &dyn Place) {
    let mut last = 0;
    while last < 2 * BATCHES {
        let snapshot = "select coalesce((select seq from dp_seq), 0),
                               (select count(*) from d_air_readings)";
        let found = place.rows(snapshot).await;
        let [Value::Int(seq), Value::Int(rows)] = found[0][..] else { panic!("{found:?}") };
        assert!(last <= seq, "{seq} was seen after {last}");
        assert_eq!(rows, seq * ROWS, "commit {seq} shows other rows than its own");
        last = seq;
    }
}

pub(crate) async fn numbers_of_two_writers_have_no_gap_and_the_order_of_commits(
    engine: &dyn Engine,
) {
    let fixture = Fixture::new(engine).await;
    let mut writers = Vec::new();
    for writer in 0..2 {
        let (store, contract) = (fixture.other().await, Arc::clone(&fixture.contract));
        writers.push(tokio::spawn(write(store, contract, writer)));
    }
    watch(&*fixture.place).await;
    for writer in writers {
        writer.await.unwrap();
    }
    let numbers: Vec<u64> = fixture.take_purges().await.into_iter().map(|(seq, _)| seq).collect();
    assert_eq!(numbers, (1..=2 * BATCHES.unsigned_abs()).collect::<Vec<_>>());
    assert_eq!(fixture.drift().await, 0);
}

pub(crate) async fn workers_that_fight_for_the_same_batches_apply_each_once(engine: &dyn Engine) {
    let fixture = Fixture::new(engine).await;
    let mut ids = Vec::new();
    for number in 0..30 {
        let rows: Vec<_> = (0..10).map(|n| row(number * 7 + n, "oslo", n, 1)).collect();
        ids.push(fixture.accept(&rows).await);
    }
    let mut workers = Vec::new();
    for _ in 0..3 {
        let (store, ids) = (fixture.other().await, ids.clone());
        workers.push(tokio::spawn(async move {
            let mut done = 0;
            for ids in ids.chunks(4) {
                let claims = store.claim(ids, NOW).await.unwrap();
                tokio::task::yield_now().await;
                let applied = store.apply(claims, NOW).await.unwrap().applied;
                done += applied.iter().filter(|it| matches!(it, Applied::Done(..))).count();
            }
            done
        }));
    }
    let mut done = 0;
    for worker in workers {
        done += worker.await.unwrap();
    }
    // What was overtaken at the very end is claimed once more.
    let claims = fixture.store.claim(&ids, NOW).await.unwrap();
    done += fixture.store.apply(claims, NOW).await.unwrap().applied.len();
    assert_eq!(done, ids.len());
    assert_eq!(fixture.number("select count(*) from dp_batch where state <> 'applied'").await, 0);
    assert_eq!(fixture.number("select count(*) from d_air_readings").await, 7 * 29 + 10);
    assert_eq!(fixture.drift().await, 0);
}

pub(crate) async fn tenants_share_nothing(engine: &dyn Engine) {
    let fixture = Fixture::new(engine).await;
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
    assert_eq!(fixture.drift().await, 0);
}

pub(crate) async fn writers_of_the_same_groups_and_rows_lose_and_double_nothing(
    engine: &dyn Engine,
) {
    write_the_same(&Fixture::new(engine).await).await;
}

/// Four writers, each on a store of its own.
pub(crate) async fn write_the_same(fixture: &Fixture) {
    let mut writers = Vec::new();
    for writer in 0..4_i64 {
        let (store, contract) = (fixture.other().await, Arc::clone(&fixture.contract));
        writers.push(tokio::spawn(async move {
            for number in 0..15 {
                // Every row comes from two writers, in opposite orders; all are of few groups.
                let row = |n: i64| {
                    let id = (writer / 2 * 1_000 + number * 60 + n) % 1_500;
                    row(id, if id % 3 == 0 { "bonn" } else { "oslo" }, id % 4, id)
                };
                let mut rows: Vec<_> = (0..60).map(row).collect();
                if writer % 2 == 1 {
                    rows.reverse();
                }
                let (one, two) = rows.split_at(30);
                let batches = [batch(&contract, one), batch(&contract, two)];
                let ids = [batches[0].id, batches[1].id];
                for batch in batches {
                    store.accept(batch, NOW).await.unwrap();
                }
                let claims = store.claim(&ids, NOW).await.unwrap();
                let applied = store.apply(claims, NOW).await.unwrap().applied;
                assert!(applied.iter().all(|it| matches!(it, Applied::Done(..))), "{applied:?}");
            }
        }));
    }
    for writer in writers {
        writer.await.unwrap();
    }
    assert_eq!(fixture.drift().await, 0);
    assert_eq!(fixture.number("select count(*) from d_air_readings").await, 1_400);
}
