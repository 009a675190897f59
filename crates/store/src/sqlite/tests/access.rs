//! No read of the demo product looks at more than it answers.

use std::sync::Arc;

use tidegate_core::param::bind;
use tidegate_product::read::{self, ReadPlan};

use crate::conformance::{NOW, TENANT, compile};
use crate::transform::plan::{self, Dialect, Query};
use crate::{GroupsPage, SqliteStore, Store as _, StoreError, StoredContract};

const AIR: &str = include_str!("../../../../../deploy/products/air.toml");

async fn air() -> (tempfile::TempDir, SqliteStore, Arc<StoredContract>) {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&dir.path().join("store.db")).unwrap();
    let contract = store.apply_contract(&compile(AIR), NOW).await.unwrap();
    (dir, store, contract)
}

/// Returns SQLite's plan, one step a line, the build's name left out.
fn explain(store: &SqliteStore, query: &Query) -> Vec<String> {
    let steps = store.database.read(|sql| {
        let mut explain = sql.prepare(&format!("explain query plan {}", query.text))?;
        let steps = explain.query_map(
            rusqlite::params_from_iter(query.values.iter().map(crate::sqlite::bind::ValueParam)),
            |row| row.get::<_, String>(3),
        )?;
        Ok::<_, StoreError>(steps.collect::<Result<Vec<_>, _>>()?)
    });
    steps.unwrap()
}

/// Returns how an endpoint's request is read.
async fn explain_request(endpoint: &str, path: &[(&str, &str)], query: &str) -> Vec<String> {
    let (_dir, store, contract) = air().await;
    let contract = &contract.contract;
    let endpoint = contract.endpoint(endpoint).unwrap();
    let captures: Vec<_> =
        path.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let values = bind(&endpoint.params, &captures, query, NOW).unwrap();
    let query = match read::plan(contract, endpoint, &values).unwrap() {
        ReadPlan::Groups(groups) => plan::groups(Dialect::Sqlite, contract, TENANT, &groups),
        ReadPlan::Rows(rows) => plan::rows(Dialect::Sqlite, contract, TENANT, &rows),
    };
    explain(&store, &query)
}

#[track_caller]
fn check(steps: &[String], expected: &[&str]) {
    let fits = steps.len() == expected.len()
        && steps.iter().zip(expected).all(|(step, expected)| {
            expected.split('…').all(|part| step.contains(part)) && !step.contains("SCAN")
        });
    assert!(fits, "{steps:#?}");
}

#[tokio::test]
async fn a_series_is_one_range_of_an_index() {
    let steps = explain_request("city_series", &[("city", "oslo")], "pollutant=no2").await;
    check(
        &steps,
        &["SEARCH … USING INDEX … (_tenant=? AND …=? AND …=? AND _bucket>? AND _bucket<?)"],
    );
}

#[tokio::test]
async fn the_days_of_a_station_are_one_range_of_an_index() {
    let steps = explain_request("station_days", &[("station", "s-1")], "").await;
    check(
        &steps,
        &["SEARCH … USING INDEX … (_tenant=? AND …=? AND …=? AND _bucket>? AND _bucket<?)"],
    );
}

#[tokio::test]
async fn the_worst_of_an_hour_are_chosen_among_the_groups_of_that_hour() {
    let steps = explain_request("worst", &[], "pollutant=no2").await;
    check(&steps, &["SEARCH … (_tenant=? AND …=? AND …=?)", "USE TEMP B-TREE FOR ORDER BY"]);
}

#[tokio::test]
async fn rows_are_one_range_of_the_index_by_time() {
    for query in ["", "city=oslo&from=now-1h", "station=s-1&from=now-2h&to=now-1h"] {
        let steps = explain_request("raw", &[], query).await;
        check(&steps, &["SEARCH … INDEX d_air_readings_by_time (_tenant=?…)"]);
    }
}

#[tokio::test]
async fn a_page_of_groups_begins_where_the_last_one_ended() {
    let (_dir, store, contract) = air().await;
    for (view, after) in [(0, 3), (1, 3)] {
        let page = GroupsPage {
            tenant: TENANT.to_owned(),
            contract: Arc::clone(&contract),
            view,
            after: Some(vec![tidegate_product::fold::Value::Int(0); after]),
            limit: 10,
        };
        check(
            &explain(&store, &plan::page(Dialect::Sqlite, &page)),
            &["SEARCH … USING PRIMARY KEY (_tenant=? AND (…)>(?,?,?))"],
        );
    }
}
