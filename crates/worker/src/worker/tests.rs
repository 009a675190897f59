//! Whole workers on a real store and a real queue.

mod arrows;
mod canaries;
mod probes;
mod reconcile;
mod servers;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tidegate_core::backend::StoreBackend;
use tidegate_core::clock::Timestamp;
use tidegate_core::job::{Arm, INGEST, Job, Lane, PROBE};
use tidegate_core::notice::Notice;
use tidegate_queue::{Heard, SharedQueue, Subscription};
use tidegate_store::{
    Accepted, Counts, DeadFilter, DeadLetter, Enqueued, JobState, NewBatch, NewJob, SharedStore,
    StoredContract,
};
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::*;

/// Longer than any step takes, a lease that has to run out included; reached only by what never happens.
const NEVER: Duration = Duration::from_secs(90);

/// Between two looks at a condition.
const LOOK: Duration = Duration::from_millis(5);

const TENANT: &str = "acme";

const PRODUCT: &str = r#"
[product]
name = "air"
version = "1.0.0"

[dataset.readings]
mode = "append"
key = ["id"]
time = "ts"
replay = "1h"
on_error = "quarantine"
  [dataset.readings.columns]
  id = { type = "string", max_len = 40 }
  city = { type = "string", max_len = 32 }
  ts = { type = "timestamp" }
  value = { type = "decimal", precision = 8, scale = 2 }

[view.city_hour]
from = "readings"
group_by = ["city"]
bucket = { column = "ts", every = "1h" }
measures = { n = "count()", total = "sum(value)" }
tags = ["city"]

[endpoint.series]
path = "/cities/{city}/series"
view = "city_hour"
params.city = { type = "string", required = true }
params.from = { type = "timestamp", default = "now-24h", align = "1h" }
params.to = { type = "timestamp", default = "now", align = "1h", max_span = "92d" }
select = ["bucket", "n", "total"]
order = ["bucket"]
max_rows = 2208
cache = { ttl = "30s", swr = "5m", sie = "1h" }
"#;

/// What an api would hold, and the workers beside it.
struct Stack {
    directory: TempDir,
    /// Where they are, as in a configuration.
    places: (String, String),
    store: SharedStore,
    queue: SharedQueue,
    contract: Arc<StoredContract>,
    shutdown: Shutdown,
}

// === impl Stack ===

impl Stack {
    /// On files of its own.
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let place = |file| format!("sqlite:{}", directory.path().join(file).display());
        let places = (place("store.db"), place("queue.db"));
        Self::at(directory, places).await
    }

    async fn at(directory: TempDir, places: (String, String)) -> Self {
        let store = tidegate_store::open(&places.0.parse().unwrap()).await.unwrap();
        let queue = tidegate_queue::open(&places.1.parse().unwrap()).await.unwrap();
        let contract = tidegate_product::compile("air.toml", PRODUCT).unwrap();
        let contract = store.apply_contract(&contract, Timestamp::now()).await.unwrap();
        Self { directory, places, store, queue, contract, shutdown: Shutdown::new() }
    }

    fn path(&self, file: &str) -> PathBuf {
        self.directory.path().join(file)
    }

    fn config(&self, more: &str) -> Config {
        let (store, queue) = &self.places;
        let text = format!(
            "store = \"{store}\"\nqueue = \"{queue}\"\n[listen]\nprivate = \"127.0.0.1:0\"\n{more}",
        );
        tidegate_core::config::parse("worker.toml", &text, []).unwrap()
    }

    fn start_worker(&self) -> JoinHandle<Result<(), Error>> {
        self.start_worker_with("")
    }

    fn start_worker_with(&self, more: &str) -> JoinHandle<Result<(), Error>> {
        tokio::spawn(run(self.config(more), self.shutdown.clone()))
    }

    /// Accepts one batch of `rows` rows, whose ids begin with `name`.
    async fn accept(&self, name: usize, rows: usize) -> Uuid {
        let at = Timestamp::now().to_rfc3339();
        let mut body = String::new();
        for row in 0..rows {
            let city = row % 3;
            let line =
                format!(r#"{{"id":"{name}-{row}","city":"c{city}","ts":"{at}","value":1.25}}"#);
            writeln!(body, "{line}").unwrap();
        }
        self.accept_rows(&body).await
    }

    async fn accept_rows(&self, body: &str) -> Uuid {
        let now = Timestamp::now();
        let (position, dataset) = self.contract.contract.dataset("readings").unwrap();
        let parsed = tidegate_product::validate::ndjson(dataset, body.as_bytes(), now).unwrap();
        assert_eq!(parsed.rejected, []);
        let id = Uuid::now_v7();
        let batch = NewBatch {
            id,
            tenant: TENANT.to_owned(),
            contract: Arc::clone(&self.contract),
            dataset: position,
            idempotency_key: None,
            fingerprint: [0; 32],
            rows: parsed.rows,
            lines: parsed.lines,
            rejected: parsed.rejected,
            traceparent: None,
            release: None,
            arm: Arm::Stable,
            cohort: None,
        };
        assert_eq!(self.store.accept(batch, now).await.unwrap(), Accepted::New);
        id
    }

    /// Puts probes of one run that end as these words say; returns the run and the jobs.
    async fn put_probes<'a>(
        &self,
        outcomes: impl IntoIterator<Item = &'a str>,
    ) -> (Uuid, Vec<Job>) {
        let run = Uuid::now_v7();
        let jobs = probes(run, outcomes);
        self.put(&jobs).await;
        (run, jobs)
    }

    async fn put(&self, jobs: &[Job]) {
        let new = |job: &Job| NewJob { job: job.clone(), run_at: None, idempotency_key: None };
        let put = self.store.enqueue(jobs.iter().map(new).collect(), Timestamp::now()).await;
        assert!(put.unwrap().iter().all(|put| *put == Enqueued::New));
    }

    /// Waits until `reached` says so.
    async fn until(&self, what: &str, mut reached: impl AsyncFnMut() -> bool) {
        let waiting = async {
            while !reached().await {
                tokio::time::sleep(LOOK).await;
            }
        };
        assert!(tokio::time::timeout(NEVER, waiting).await.is_ok(), "{what}");
    }

    /// Waits until so many jobs of a trial had their effect, each once.
    async fn tallied(&self, run: Uuid, done: u64) {
        self.until("probes are done", async || {
            let tally = self.store.probe_tally(run).await.unwrap();
            assert_eq!(tally.duplicated, 0);
            tally.done == done
        })
        .await;
    }

    /// Waits until so many letters are filed, and returns them.
    async fn letters(&self, count: usize) -> Vec<DeadLetter> {
        let filter = DeadFilter { limit: 100, ..DeadFilter::default() };
        self.until("letters are filed", async || {
            self.store.dead_letters(&filter).await.unwrap().len() == count
        })
        .await;
        self.store.dead_letters(&filter).await.unwrap()
    }

    async fn counts(&self, batch: Uuid) -> Counts {
        let job = self.store.job(TENANT, batch).await.unwrap().unwrap();
        assert_eq!((job.state, job.error), (JobState::Applied, None));
        assert!(job.seq.is_some());
        job.counts
    }

    async fn stop(&self, workers: impl IntoIterator<Item = JoinHandle<Result<(), Error>>>) {
        self.shutdown.cancel();
        for worker in workers {
            tokio::time::timeout(NEVER, worker).await.unwrap().unwrap().unwrap();
        }
    }
}

/// Listens until all `jobs` are finished; returns the tags that were purged on the way.
async fn finished(
    subscription: &mut dyn Subscription,
    jobs: impl IntoIterator<Item = Uuid>,
) -> BTreeSet<String> {
    let (mut waiting, mut purged) = (jobs.into_iter().collect::<BTreeSet<_>>(), BTreeSet::new());
    while !waiting.is_empty() {
        let heard = tokio::time::timeout(NEVER, subscription.next()).await.unwrap().unwrap();
        let Heard::Notices(notices) = heard else { panic!("missed notices") };
        for notice in notices {
            match notice {
                Notice::Purge { tags, .. } => purged.extend(tags),
                Notice::JobsFinished { jobs } => jobs.iter().for_each(|job| {
                    waiting.remove(job);
                }),
                _ => {}
            }
        }
    }
    purged
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accepted_rows_are_applied_and_readers_are_told() {
    let stack = Stack::new().await;
    let mut subscription = stack.queue.subscribe().await.unwrap();
    let before = stack.accept(0, 30).await;
    let worker = stack.start_worker();
    let during = stack.accept(1, 60).await;
    let purged = finished(&mut *subscription, [before, during]).await;
    assert!(!purged.is_empty());
    assert_eq!(stack.counts(before).await, Counts { new: 30, ..Counts::default() });
    assert_eq!(stack.counts(during).await, Counts { new: 60, ..Counts::default() });
    stack.stop([worker]).await;
    assert_eq!(stack.store.backlog().await.unwrap().outbox, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_that_get_every_job_several_times_apply_each_batch_once() {
    let stack = Stack::new().await;
    let mut subscription = stack.queue.subscribe().await.unwrap();
    let workers = [stack.start_worker(), stack.start_worker()];
    let mut batches = Vec::new();
    for name in 0..40 {
        let batch = stack.accept(name, 25).await;
        // Besides the one that the outbox holds.
        stack.queue.publish(&[job(batch), job(batch)]).await.unwrap();
        batches.push(batch);
    }
    finished(&mut *subscription, batches.iter().copied()).await;
    for batch in batches {
        assert_eq!(stack.counts(batch).await, Counts { new: 25, ..Counts::default() });
    }
    stack.stop(workers).await;
}

#[tokio::test]
async fn a_store_that_can_not_be_opened_is_an_error_at_the_start() {
    let stack = Stack::new().await;
    std::fs::write(stack.path("broken.db"), "not a database, but longer than its header is")
        .unwrap();
    let broken = StoreBackend::Sqlite(stack.path("broken.db"));
    let config = Config { store: broken, ..stack.config("") };
    assert!(matches!(run(config, Shutdown::new()).await, Err(Error::Store(_))));
}

/// Makes probes of one run that end as these words say.
fn probes<'a>(run: Uuid, outcomes: impl IntoIterator<Item = &'a str>) -> Vec<Job> {
    let probe = |(n, outcome): (usize, &str)| Job {
        tenant: TENANT.to_owned(),
        body: serde_json::json!({ "run": run, "n": n, "outcome": outcome }),
        ..crate::fixture::job(PROBE)
    };
    outcomes.into_iter().enumerate().map(probe).collect()
}

fn job(batch: Uuid) -> Job {
    Job {
        id: batch,
        tenant: TENANT.to_owned(),
        body: serde_json::json!({ "batch": batch }),
        ..crate::fixture::job(INGEST)
    }
}
