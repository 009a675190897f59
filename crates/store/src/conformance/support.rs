//! A product, a place with a store or several, and the drift check.

use std::sync::Arc;
use std::time::Duration;

use tidegate_core::clock::Timestamp;
use tidegate_core::job::Arm;
use tidegate_core::notice::Notice;
use tidegate_core::outbox::OutboxMessage;
use tidegate_product::contract::{GroupPart, Stored, View};
use tidegate_product::fold::Value;
use uuid::Uuid;

use crate::conformance::{Engine, Place};
use crate::transform::names::{
    dataset_table, part_column, parts, quoted, stored_column, view_table,
};
use crate::{Accepted, Applied, Claim, Counts, NewBatch, SharedStore, StoredContract};

/// Sunday, 2026-11-22T12:00:00Z.
pub(crate) const NOW: Timestamp = Timestamp(1_795_348_800_000_000);

pub(crate) const TENANT: &str = "acme";

pub(crate) const PRODUCT: &str = r#"
[product]
name = "air"
version = "1.0.0"

[dataset.readings]
mode = "append"
key = ["id"]
time = "ts"
replay = "1h"
late_after = "48h"
on_error = "quarantine"
  [dataset.readings.columns]
  id = { type = "string", max_len = 40 }
  city = { type = "string", max_len = 32 }
  kind = { type = "enum", values = ["no2", "o3"] }
  ts = { type = "timestamp" }
  value = { type = "decimal", precision = 8, scale = 2 }
  level = { type = "int", nullable = true }

[view.city_hour]
from = "readings"
group_by = ["city", "kind"]
bucket = { column = "ts", every = "1h" }
measures = { n = "count()", avg = "avg(value)", low = "min(value)", high = "max(level)", levels = "sum(level)" }
tags = ["city"]

[view.kind_day]
from = "readings"
group_by = ["kind"]
bucket = { column = "ts", every = "1d" }
measures = { n = "count()", total = "sum(value)" }

[endpoint.series]
path = "/cities/{city}/series"
view = "city_hour"
params.city = { type = "string", required = true }
params.kind = { type = "enum", values = ["no2", "o3"], default = "no2" }
params.from = { type = "timestamp", default = "now-24h", align = "1h" }
params.to = { type = "timestamp", default = "now", align = "1h", max_span = "92d" }
select = ["bucket", "n", "avg"]
order = ["bucket"]
max_rows = 2208
cache = { ttl = "30s", swr = "5m", sie = "1h" }
"#;

/// One place, with as many stores on it as a test opens.
pub(crate) struct Fixture {
    pub(crate) place: Box<dyn Place>,
    pub(crate) store: SharedStore,
    pub(crate) contract: Arc<StoredContract>,
}

/// A row as a test says it.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) id: String,
    pub(crate) city: &'static str,
    pub(crate) hours_ago: i64,
    /// Hundredths.
    pub(crate) value: i64,
    pub(crate) level: Option<i64>,
}

// === impl Fixture ===

impl Fixture {
    pub(crate) async fn new(engine: &dyn Engine) -> Self {
        let place = engine.create().await;
        let store = place.open().await;
        let contract = store.apply_contract(&compile(PRODUCT), NOW).await.unwrap();
        Self { place, store, contract }
    }

    /// Opens the place once more, as another process would.
    pub(crate) async fn other(&self) -> SharedStore {
        self.place.open().await
    }

    pub(crate) fn batch(&self, rows: &[Row]) -> NewBatch {
        batch(&self.contract, rows)
    }

    pub(crate) async fn accept(&self, rows: &[Row]) -> Uuid {
        let batch = self.batch(rows);
        let id = batch.id;
        assert_eq!(self.store.accept(batch, NOW).await.unwrap(), Accepted::New);
        id
    }

    pub(crate) async fn claim(&self, batch: Uuid) -> Claim {
        self.store.claim(&[batch], NOW).await.unwrap().pop().unwrap()
    }

    /// Accepts and applies rows.
    pub(crate) async fn ingest(&self, rows: &[Row]) -> Counts {
        let claim = self.accept(rows).await;
        let claim = self.claim(claim).await;
        match self.store.apply(vec![claim], NOW).await.unwrap().applied.as_slice() {
            [Applied::Done(_, counts)] => *counts,
            other => panic!("not applied: {other:?}"),
        }
    }

    pub(crate) async fn number(&self, statement: &str) -> i64 {
        let found = self.place.rows(statement).await;
        let Value::Int(number) = found[0][0] else { panic!("{found:?}") };
        number
    }

    /// Runs statements behind the store's back.
    pub(crate) async fn write(&self, statements: &str) {
        self.place.run(statements).await;
    }

    pub(crate) async fn seq(&self) -> u64 {
        self.store.versions(TENANT, "air", &[]).await.unwrap().seq.seq
    }

    /// Takes all outbox lines.
    pub(crate) async fn take_outbox(&self) -> Vec<OutboxMessage> {
        let entries = self.store.pending(10_000).await.unwrap();
        let ids: Vec<i64> = entries.iter().map(|entry| entry.id).collect();
        self.store.mark_sent(&ids).await.unwrap();
        entries.into_iter().map(|entry| entry.message).collect()
    }

    /// Takes all outbox lines and returns the purges among them.
    pub(crate) async fn take_purges(&self) -> Vec<(u64, Vec<String>)> {
        let purge = |message| match message {
            OutboxMessage::Notice(Notice::Purge { seq, tags }) => Some((seq.seq, tags)),
            _ => None,
        };
        self.take_outbox().await.into_iter().filter_map(purge).collect()
    }

    /// Counts the groups of all views that differ from their recomputation by plain SQL.
    pub(crate) async fn drift(&self) -> i64 {
        let mut drift = 0;
        for view in &self.contract.contract.views {
            drift += self.number(&drift_text(&self.contract, view)).await;
        }
        drift
    }
}

#[track_caller]
pub(crate) fn compile(source: &str) -> tidegate_product::contract::Contract {
    match tidegate_product::compile("air.toml", source) {
        Ok(contract) => contract,
        Err(problems) => panic!("{problems:?}"),
    }
}

pub(crate) fn row(id: impl ToString, city: &'static str, hours_ago: i64, value: i64) -> Row {
    Row { id: id.to_string(), city, hours_ago, value, level: None }
}

pub(crate) fn hours_before_now(hours: i64) -> Timestamp {
    NOW.before(Duration::from_secs(3_600 * u64::try_from(hours).unwrap()))
}

/// Makes a batch out of rows; those whose city is empty do not pass validation.
pub(crate) fn batch(contract: &Arc<StoredContract>, rows: &[Row]) -> NewBatch {
    let lines: Vec<String> = rows.iter().map(Row::to_json).collect();
    let dataset = &contract.contract.datasets[0];
    let parsed =
        tidegate_product::validate::ndjson(dataset, lines.join("\n").as_bytes(), NOW).unwrap();
    NewBatch {
        id: Uuid::now_v7(),
        tenant: TENANT.to_owned(),
        contract: Arc::clone(contract),
        dataset: 0,
        idempotency_key: None,
        fingerprint: [0; 32],
        rows: parsed.rows,
        lines: parsed.lines,
        rejected: parsed.rejected,
        traceparent: None,
        release: None,
        arm: Arm::Stable,
        cohort: None,
    }
}

// === impl Row ===

impl Row {
    pub(crate) fn level(self, level: i64) -> Self {
        Self { level: Some(level), ..self }
    }

    pub(crate) fn at(&self) -> i64 {
        hours_before_now(self.hours_ago).0
    }

    fn to_json(&self) -> String {
        if self.city.is_empty() {
            return "{}".to_owned();
        }
        let value = format!("{}.{:02}", self.value / 100, self.value % 100);
        let level = self.level.map_or("null".to_owned(), |level| level.to_string());
        let (id, city, at) = (&self.id, self.city, Timestamp(self.at()).to_rfc3339());
        format!(
            r#"{{"id":"{id}","city":"{city}","kind":"no2","ts":"{at}","value":{value},"level":{level}}}"#
        )
    }
}

/// Returns the statement that counts groups which are stored and recomputed differently.
fn drift_text(contract: &StoredContract, view: &View) -> String {
    let contract = &contract.contract;
    let dataset = contract.dataset_of(view);
    let quoted_column = |column: usize| quoted(&dataset.columns[column].name);
    let group: Vec<String> = parts(view)
        .into_iter()
        .map(|part| match (part, view.bucket) {
            (GroupPart::Bucket, Some(bucket)) => {
                let (at, every) = (quoted_column(bucket.column), bucket.every_us);
                format!("{at} - (({at} % {every}) + {every}) % {every}")
            }
            _ => part_column(contract, view, part),
        })
        .collect();
    let computed = view.stored.iter().map(|stored| {
        let column = quoted_column(stored.column());
        match stored {
            Stored::Count(_) => format!("count({column})"),
            Stored::Sum(_) => format!("coalesce(sum({column}), 0)"),
            Stored::Min(_) => format!("min({column})"),
            Stored::Max(_) => format!("max({column})"),
        }
    });
    let computed: Vec<String> = std::iter::once("count(*)".to_owned()).chain(computed).collect();
    let stored = view.stored.iter().map(|stored| stored_column(contract, view, *stored));
    let stored: Vec<String> = std::iter::once("_rows".to_owned()).chain(stored).collect();
    let columns: Vec<String> =
        parts(view).into_iter().map(|part| part_column(contract, view, part)).collect();
    let recomputed = format!(
        "select _tenant, {group}, {} from {} group by _tenant, {group}",
        computed.join(", "),
        quoted(&dataset_table(&contract.name, dataset)),
        group = group.join(", "),
    );
    let kept = format!(
        "select _tenant, {}, {} from {}",
        columns.join(", "),
        stored.join(", "),
        quoted(&view_table(&contract.name, view))
    );
    format!(
        "with recomputed as ({recomputed}), kept as ({kept})
         select (select count(*) from (select * from recomputed except select * from kept) as a)
              + (select count(*) from (select * from kept except select * from recomputed) as b)"
    )
}
