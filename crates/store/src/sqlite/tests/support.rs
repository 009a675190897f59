//! A product, stores on temporary files, and the drift check.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tidegate_core::clock::Timestamp;
use tidegate_core::job::Arm;
use tidegate_core::notice::Notice;
use tidegate_core::outbox::{OutboxMessage, OutboxSource as _};
use tidegate_product::contract::{GroupPart, Stored, View};
use uuid::Uuid;

use crate::transform::names::{
    dataset_table, part_column, parts, quoted, stored_column, view_table,
};
use crate::{Accepted, Applied, Claim, Counts, NewBatch, SqliteStore, Store as _, StoredContract};

/// Sunday, 2026-11-22T12:00:00Z.
pub(super) const NOW: Timestamp = Timestamp(1_795_348_800_000_000);

pub(super) const TENANT: &str = "acme";

pub(super) const PRODUCT: &str = r#"
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

/// One file, with as many stores on it as a test opens.
pub(super) struct Fixture {
    dir: TempDir,
    pub(super) store: SqliteStore,
    pub(super) contract: Arc<StoredContract>,
}

/// A row as a test says it.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) id: String,
    pub(super) city: &'static str,
    pub(super) hours_ago: i64,
    /// Hundredths.
    pub(super) value: i64,
    pub(super) level: Option<i64>,
}

// === impl Fixture ===

impl Fixture {
    pub(super) async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&dir.path().join("store.db")).unwrap();
        let contract = store.apply_contract(&compile(PRODUCT), NOW).await.unwrap();
        Self { dir, store, contract }
    }

    pub(super) fn path(&self) -> PathBuf {
        self.dir.path().join("store.db")
    }

    /// Opens the file once more, as another process would.
    pub(super) fn other(&self) -> SqliteStore {
        SqliteStore::open(&self.path()).unwrap()
    }

    pub(super) fn batch(&self, rows: &[Row]) -> NewBatch {
        batch(&self.contract, rows)
    }

    pub(super) async fn accept(&self, rows: &[Row]) -> Uuid {
        let batch = self.batch(rows);
        let id = batch.id;
        assert_eq!(self.store.accept(batch, NOW).await.unwrap(), Accepted::New);
        id
    }

    pub(super) async fn claim(&self, batch: Uuid) -> Claim {
        self.store.claim(&[batch], NOW).await.unwrap().pop().unwrap()
    }

    /// Accepts and applies rows.
    pub(super) async fn ingest(&self, rows: &[Row]) -> Counts {
        let claim = self.accept(rows).await;
        let claim = self.claim(claim).await;
        match self.store.apply(vec![claim], NOW).await.unwrap().applied.as_slice() {
            [Applied::Done(_, counts)] => *counts,
            other => panic!("not applied: {other:?}"),
        }
    }

    pub(super) fn number(&self, statement: &str) -> i64 {
        let number = self.store.database.read(|sql| {
            Ok::<i64, crate::StoreError>(sql.query_row(statement, (), |row| row.get(0))?)
        });
        number.unwrap()
    }

    /// Runs statements behind the store's back.
    pub(super) async fn write(&self, statements: &'static str) {
        let written = self
            .store
            .database
            .write(move |sql| Ok::<_, crate::StoreError>(sql.execute_batch(statements)?));
        written.await.unwrap();
    }

    pub(super) async fn seq(&self) -> u64 {
        self.store.versions(TENANT, "air", &[]).await.unwrap().seq.seq
    }

    /// Takes all outbox lines.
    pub(super) async fn take_outbox(&self) -> Vec<OutboxMessage> {
        let entries = self.store.pending(10_000).await.unwrap();
        let ids: Vec<i64> = entries.iter().map(|entry| entry.id).collect();
        self.store.mark_sent(&ids).await.unwrap();
        entries.into_iter().map(|entry| entry.message).collect()
    }

    /// Takes all outbox lines and returns the purges among them.
    pub(super) async fn take_purges(&self) -> Vec<(u64, Vec<String>)> {
        let purge = |message| match message {
            OutboxMessage::Notice(Notice::Purge { seq, tags }) => Some((seq.seq, tags)),
            _ => None,
        };
        self.take_outbox().await.into_iter().filter_map(purge).collect()
    }

    /// Counts the groups of all views that differ from their recomputation by plain SQL.
    pub(super) fn drift(&self) -> i64 {
        let contract = &self.contract.contract;
        contract.views.iter().map(|view| self.number(&drift_text(&self.contract, view))).sum()
    }
}

#[track_caller]
pub(super) fn compile(source: &str) -> tidegate_product::contract::Contract {
    match tidegate_product::compile("air.toml", source) {
        Ok(contract) => contract,
        Err(problems) => panic!("{problems:?}"),
    }
}

pub(super) fn row(id: impl ToString, city: &'static str, hours_ago: i64, value: i64) -> Row {
    Row { id: id.to_string(), city, hours_ago, value, level: None }
}

pub(super) fn hours_before_now(hours: i64) -> Timestamp {
    NOW.before(Duration::from_secs(3_600 * u64::try_from(hours).unwrap()))
}

/// Makes a batch out of rows; those whose city is empty do not pass validation.
pub(super) fn batch(contract: &Arc<StoredContract>, rows: &[Row]) -> NewBatch {
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
    pub(super) fn level(self, level: i64) -> Self {
        Self { level: Some(level), ..self }
    }

    pub(super) fn at(&self) -> i64 {
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
        "select (select count(*) from (select * from ({recomputed}) except select * from ({kept})))
              + (select count(*) from (select * from ({kept}) except select * from ({recomputed})))"
    )
}
