//! No read of the demo product looks at more than it answers.

use std::sync::Arc;

use tidegate_core::param::bind;
use tidegate_product::fold::Value;
use tidegate_product::read::{self, ReadPlan};
use tokio::time::Instant;

use super::Database;
use crate::conformance::{NOW, TENANT, compile};
use crate::postgres::WRITE;
use crate::transform::plan::{self, Dialect, Query};
use crate::{GroupsPage, Store as _, StoredContract};

const AIR: &str = include_str!("../../../../../deploy/products/air.toml");

struct Air {
    database: Database,
    contract: Arc<StoredContract>,
}

// === impl Air ===

impl Air {
    async fn new() -> Self {
        let database = Database::new().await;
        let contract = database.store().await.apply_contract(&compile(AIR), NOW).await.unwrap();
        Self { database, contract }
    }

    /// Returns the plan that is made before the values are known, one step a line.
    async fn explain(&self, query: &Query) -> Vec<String> {
        let literal = |value: &Value| match value {
            Value::Null => "null".to_owned(),
            Value::Text(text) => format!("'{text}'"),
            Value::Int(number) => number.to_string(),
            Value::Float(number) => number.to_string(),
        };
        let values: Vec<String> = query.values.iter().map(literal).collect();
        let session = self.database.pool.session(Instant::now() + WRITE).await.unwrap();
        session.batch(&format!("prepare asked as {}", query.text)).await.unwrap();
        let explain = format!("explain (costs off) execute asked({})", values.join(", "));
        let steps = session.query(&explain, &[]).await.unwrap();
        session.batch("deallocate asked").await.unwrap();
        steps.iter().map(|step| step.get::<_, String>(0).trim().to_owned()).collect()
    }

    async fn explain_request(&self, name: &str, path: &[(&str, &str)], query: &str) -> Vec<String> {
        let contract = &self.contract.contract;
        let endpoint = contract.endpoint(name).unwrap();
        let captures: Vec<_> =
            path.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let values = bind(&endpoint.params, &captures, query, NOW).unwrap();
        let query = match read::plan(contract, endpoint, &values).unwrap() {
            ReadPlan::Groups(it) => plan::groups(Dialect::Postgres, contract, TENANT, &it),
            ReadPlan::Rows(it) => plan::rows(Dialect::Postgres, contract, TENANT, &it),
        };
        self.explain(&query).await
    }
}

/// Checks that rows come over an index alone, by these conditions, in the order wanted.
#[track_caller]
fn check(steps: &[String], conditions: &[&str]) {
    let text = steps.join("\n");
    assert!(text.contains("Index Scan") && !text.contains("Seq Scan"), "{text}");
    let condition = steps.iter().find(|step| step.starts_with("Index Cond:")).unwrap();
    assert!(conditions.iter().all(|part| condition.contains(part)), "{text}");
    assert!(!text.contains("Filter:"), "{text}");
}

#[tokio::test]
async fn a_series_is_one_range_of_an_index() {
    let air = Air::new().await;
    let series = air.explain_request("city_series", &[("city", "oslo")], "pollutant=no2").await;
    check(&series, &["_tenant =", "city =", "pollutant =", "_bucket >=", "_bucket <"]);
    assert!(!series.join(" ").contains("Sort"), "{series:#?}");
    let days = air.explain_request("station_days", &[("station", "s-1")], "").await;
    check(&days, &["_tenant =", "station =", "_bucket >=", "_bucket <"]);
}

#[tokio::test]
async fn the_worst_of_an_hour_are_chosen_among_the_groups_of_that_hour() {
    let air = Air::new().await;
    let worst = air.explain_request("worst", &[], "pollutant=no2").await;
    check(&worst, &["_tenant =", "pollutant ="]);
}

#[tokio::test]
async fn a_page_of_groups_begins_where_the_last_one_ended() {
    let air = Air::new().await;
    let page = GroupsPage {
        tenant: TENANT.to_owned(),
        contract: Arc::clone(&air.contract),
        view: 0,
        after: Some(vec![
            Value::Text("oslo".to_owned()),
            Value::Text("no2".to_owned()),
            Value::Int(0),
        ]),
        limit: 10,
    };
    let steps = air.explain(&plan::page(Dialect::Postgres, &page)).await;
    check(&steps, &["_tenant =", "ROW(_bucket"]);
    assert!(!steps.join(" ").contains("Sort"), "{steps:#?}");
}
