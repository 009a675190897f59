//! What only a file does.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::File;
use crate::conformance::{Fixture, NOW, PRODUCT, compile, row};
use crate::sqlite::outbox::{self, Strays};
use crate::{Applied, SqliteStore, Store as _, StoreError};

/// Returns a store together with what is done behind its back, through its own connections.
async fn opened() -> (Arc<SqliteStore>, Fixture) {
    let file = File::new();
    let store = Arc::clone(&file.store);
    let contract = store.apply_contract(&compile(PRODUCT), NOW).await.unwrap();
    (Arc::clone(&store), Fixture { place: Box::new(file), store, contract })
}

#[tokio::test]
async fn a_full_disk_leaves_everything_as_it_was() {
    let (_, fixture) = opened().await;
    let rows: Vec<_> = (0..2_000).map(|id| row(format!("{id:0>40}"), "oslo", 1, 1)).collect();
    let batch = fixture.accept(&rows).await;
    let claim = fixture.claim(batch).await;
    // No room for a further page.
    fixture.write("pragma max_page_count = 1").await;
    let full = fixture.store.apply(vec![claim], NOW).await;
    assert!(matches!(full, Err(StoreError::Full)), "{full:?}");
    assert_eq!(fixture.number("select count(*) from d_air_readings").await, 0);
    fixture.write("pragma max_page_count = 1000000").await;
    let claim = fixture.claim(batch).await;
    let applied = fixture.store.apply(vec![claim], NOW).await.unwrap().applied;
    assert!(matches!(applied.as_slice(), [Applied::Done(_, counts)] if counts.new == 2_000));
    assert_eq!((fixture.drift().await, fixture.seq().await), (0, 1));
}

#[tokio::test]
async fn a_line_of_another_process_is_left_to_its_relay_for_a_while() {
    let (store, fixture) = opened().await;
    let (database, started) = (&store.database, Instant::now());
    let strays = database.read(|sql| Strays::new(sql, started)).unwrap();
    fixture.accept(&[row(1, "oslo", 1, 1)]).await;
    // No process has the number 0.
    fixture.write("update dp_outbox set origin = 0").await;
    let pending = |seconds: u64| {
        let now = started + Duration::from_secs(seconds);
        database.read(|sql| outbox::pending(sql, &strays, 10, now)).unwrap().len()
    };
    assert_eq!(pending(0), 0);
    assert_eq!(pending(1), 0, "seen for the first time");
    fixture.accept(&[row(2, "oslo", 1, 1)]).await;
    assert_eq!(pending(1), 1, "its own");
    assert_eq!(pending(2), 2, "nobody took it");
    // A process that starts waits for nobody: the one before it may have been killed.
    assert_eq!(fixture.other().await.pending(10).await.unwrap().len(), 2);
}
