//! Contracts: what may change while rows are stored.

use super::{Engine, Fixture, NOW, PRODUCT, compile, row};
use crate::StoreError;

async fn refused(fixture: &Fixture, source: &str) -> String {
    match fixture.store.apply_contract(&compile(source), NOW).await {
        Err(StoreError::Incompatible(reason)) => reason,
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn the_same_contract_again_changes_nothing(engine: &dyn Engine) {
    let fixture = Fixture::new(engine).await;
    let again = fixture.store.apply_contract(&compile(PRODUCT), NOW).await.unwrap();
    assert_eq!((fixture.contract.version, again.version), (1, 1));
    let other = fixture.other().await;
    assert_eq!(other.incarnation(), fixture.store.incarnation());
    assert_eq!(other.scope_secret(), fixture.store.scope_secret());
    let known = other.contracts().await.unwrap();
    assert_eq!(known.len(), 1);
    assert_eq!(known[0].contract.hash, fixture.contract.contract.hash);
}

pub(crate) async fn a_contract_that_another_process_applied_is_seen_at_once(engine: &dyn Engine) {
    let fixture = Fixture::new(engine).await;
    let other = fixture.other().await;
    other.contracts().await.unwrap();
    let changed = PRODUCT.replace("max_rows = 2208", "max_rows = 100");
    fixture.store.apply_contract(&compile(&changed), NOW).await.unwrap();
    assert_eq!(other.contracts().await.unwrap()[0].version, 2);
}

pub(crate) async fn a_new_nullable_column_keeps_rows_and_their_identity(engine: &dyn Engine) {
    let mut fixture = Fixture::new(engine).await;
    let rows = [row(1, "oslo", 1, 100)];
    fixture.ingest(&rows).await;
    let waiting = fixture.accept(&[row(2, "oslo", 1, 100)]).await;
    let wider = PRODUCT.replace(
        "  level =",
        "  note = { type = \"string\", max_len = 9, nullable = true }\n  level =",
    );
    fixture.contract = fixture.store.apply_contract(&compile(&wider), NOW).await.unwrap();
    assert_eq!(fixture.contract.version, 2);
    assert_eq!(fixture.ingest(&rows).await.duplicate, 1);
    // A batch is applied by the contract that checked it.
    let claim = fixture.claim(waiting).await;
    assert_eq!(claim.contract.version, 1);
    fixture.store.apply(vec![claim], NOW).await.unwrap();
    assert_eq!(fixture.drift().await, 0);
    assert_eq!(fixture.number("select count(*) from d_air_readings where note is null").await, 2);
}

pub(crate) async fn what_would_lose_the_meaning_of_stored_rows_is_refused(engine: &dyn Engine) {
    let fixture = Fixture::new(engine).await;
    fixture.ingest(&[row(1, "oslo", 1, 100)]).await;
    let change = |from: &str, to: &str| {
        assert!(PRODUCT.contains(from), "{from}");
        PRODUCT.replace(from, to)
    };
    let reason =
        refused(&fixture, &change("precision = 8, scale = 2", "precision = 8, scale = 3")).await;
    assert!(reason.contains("column 'value'") && reason.contains("3 digits"), "{reason}");
    let reason = refused(&fixture, &change("high = \"max(level)\"", "high = \"min(level)\"")).await;
    assert!(reason.contains("view 'city_hour'"), "{reason}");
    let required = change("  level =", "  more = { type = \"int\" }\n  level =");
    let reason = refused(&fixture, &required).await;
    assert!(reason.contains("column 'more'"), "{reason}");
    assert_eq!(fixture.store.contracts().await.unwrap()[0].version, 1);
    assert_eq!(fixture.drift().await, 0);
}

pub(crate) async fn before_the_first_row_anything_may_change(engine: &dyn Engine) {
    let mut fixture = Fixture::new(engine).await;
    let other = PRODUCT
        .replace("precision = 8, scale = 2", "precision = 8, scale = 3")
        .replace("key = [\"id\"]", "key = [\"id\", \"city\"]");
    let outdated = fixture.batch(&[row(1, "oslo", 1, 100)]);
    fixture.contract = fixture.store.apply_contract(&compile(&other), NOW).await.unwrap();
    // Checked by the contract before: the new views would miss it.
    let refused = fixture.store.accept(outdated, NOW).await;
    assert!(matches!(refused, Err(StoreError::Incompatible(_))), "{refused:?}");
    fixture.ingest(&[row(1, "oslo", 1, 100), row(1, "rome", 1, 100)]).await;
    assert_eq!(fixture.number("select count(*) from d_air_readings").await, 2);
    assert_eq!(fixture.drift().await, 0);
}

pub(crate) async fn a_batch_on_its_way_counts_as_rows(engine: &dyn Engine) {
    let fixture = Fixture::new(engine).await;
    fixture.accept(&[row(1, "oslo", 1, 100)]).await;
    let reason = refused(&fixture, &PRODUCT.replace("every = \"1h\"", "every = \"2h\"")).await;
    assert!(reason.contains("view 'city_hour'"), "{reason}");
}

pub(crate) async fn an_earlier_contract_may_come_back(engine: &dyn Engine) {
    let fixture = Fixture::new(engine).await;
    let changed = PRODUCT.replace("max_rows = 2208", "max_rows = 100");
    for (source, version) in [(changed.as_str(), 2), (PRODUCT, 3), (PRODUCT, 3)] {
        let stored = fixture.store.apply_contract(&compile(source), NOW).await.unwrap();
        assert_eq!(stored.version, version);
    }
}
