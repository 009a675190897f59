//! Views compared with their rows by long jobs.

use tidegate_core::job::{EVERY_TENANT, RECONCILE};
use tidegate_store::{Cancel, JobStatus};

use super::*;

/// A worker that rests so long after each step that a walk takes a while.
const SLOW: &str = "[reconcile]\nshare_percent = 1\n";

fn reconcile(tenant: &str) -> Job {
    Job {
        lane: Lane::Long,
        tenant: tenant.to_owned(),
        body: serde_json::json!({ "view": "city_hour" }),
        ..crate::fixture::job(RECONCILE)
    }
}

impl Stack {
    /// Applies one row for each of so many hours.
    async fn apply_hours(&self, hours: usize) {
        let mut subscription = self.queue.subscribe().await.unwrap();
        let now = Timestamp::now();
        let row = |hour: usize| {
            let at = now.before(Duration::from_secs(3_600) * u32::try_from(hour).unwrap());
            format!(r#"{{"id":"{hour}","city":"c","ts":"{}","value":1}}"#, at.to_rfc3339())
        };
        let rows: Vec<String> = (0..hours).map(row).collect();
        let batch = self.accept_rows(&rows.join("\n")).await;
        let stop = Shutdown::new();
        let worker = tokio::spawn(run(self.config(""), stop.clone()));
        finished(&mut *subscription, [batch]).await;
        stop.cancel();
        worker.await.unwrap().unwrap();
    }

    /// Makes one group differ from its rows.
    async fn falsify(&self) {
        let database = tidegate_sqlite::Database::open(&self.path("store.db"), 1).unwrap();
        let falsified = database.write(|sql| {
            let table: String = sql.query_row(
                "select name from sqlite_master where type = 'table' and name like 'v\\_air\\_%' escape '\\'",
                (),
                |row| row.get(0),
            )?;
            let changed = sql.execute(
                &format!("update \"{table}\" set _rows = _rows + 7
                          where _bucket = (select max(_bucket) from \"{table}\")"),
                (),
            )?;
            Ok::<_, tidegate_sqlite::Error>(changed)
        });
        assert_eq!(falsified.await.unwrap(), 1);
    }

    /// Waits until the job is in a state, and returns it.
    async fn reached(&self, job: &Job, state: JobState) -> JobStatus {
        self.until("the job gets there", async || {
            self.store.job(&job.tenant, job.id).await.unwrap().unwrap().state == state
        })
        .await;
        self.store.job(&job.tenant, job.id).await.unwrap().unwrap()
    }

    /// Waits until a job is on its way.
    async fn on_its_way(&self, job: &Job) {
        self.until("the job is on its way", async || {
            let job = self.store.job(&job.tenant, job.id).await.unwrap().unwrap();
            job.state == JobState::Running
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_that_differs_from_its_rows_is_found_and_put_right() {
    let stack = Stack::new().await;
    stack.apply_hours(5).await;
    stack.falsify().await;
    let worker = stack.start_worker_with("[reconcile]\nshare_percent = 100\n");
    for (tenant, drifted) in [(EVERY_TENANT, 1), (TENANT, 0), ("other", 0)] {
        let job = reconcile(tenant);
        stack.put(std::slice::from_ref(&job)).await;
        let done = stack.reached(&job, JobState::Applied).await;
        let result = done.result.unwrap();
        let groups = if tenant == "other" { 0 } else { 5 };
        assert_eq!((&result["groups"], &result["drifted"]), (&groups.into(), &drifted.into()));
        assert_eq!(result["repaired"], result["drifted"]);
    }
    stack.stop([worker]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_walk_goes_on_where_a_worker_that_was_stopped_left_it() {
    let stack = Stack::new().await;
    stack.apply_hours(60).await;
    let job = reconcile(TENANT);
    stack.put(std::slice::from_ref(&job)).await;
    let stop = Shutdown::new();
    let first = tokio::spawn(run(stack.config(SLOW), stop.clone()));
    stack.on_its_way(&job).await;
    stop.cancel();
    first.await.unwrap().unwrap();
    let left = stack.store.job(TENANT, job.id).await.unwrap().unwrap();
    assert_eq!((left.state, left.finished_at), (JobState::Accepted, None));

    let second = stack.start_worker();
    let done = stack.reached(&job, JobState::Applied).await;
    // Each group was looked at by one of them.
    assert_eq!(done.result.unwrap()["groups"], 60);
    stack.stop([second]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_walk_that_nobody_wants_any_more_ends() {
    let stack = Stack::new().await;
    stack.apply_hours(60).await;
    let job = reconcile(TENANT);
    stack.put(std::slice::from_ref(&job)).await;
    let worker = stack.start_worker_with(SLOW);
    stack.on_its_way(&job).await;
    let cancelled = stack.store.cancel(TENANT, job.id, Timestamp::now()).await.unwrap();
    assert_eq!(cancelled, Cancel::Requested);
    stack.reached(&job, JobState::Cancelled).await;
    stack.stop([worker]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_view_that_is_not_there_makes_a_dead_letter() {
    let stack = Stack::new().await;
    let body = serde_json::json!({ "view": "dance" });
    let job = Job { body, ..reconcile(TENANT) };
    stack.put(std::slice::from_ref(&job)).await;
    let worker = stack.start_worker();
    let letters = stack.letters(1).await;
    assert_eq!(letters[0].reason, "permanent: there is no view 'dance'");
    stack.reached(&job, JobState::Dead).await;
    stack.stop([worker]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_view_is_compared_regularly() {
    let stack = Stack::new().await;
    let worker = stack.start_worker_with("[reconcile]\nevery = \"1h\"\n");
    let filter = tidegate_store::JobFilter {
        tenant: EVERY_TENANT.to_owned(),
        product: "air".to_owned(),
        state: Some(JobState::Accepted),
        kind: Some(RECONCILE.to_owned()),
        before: None,
        limit: 10,
    };
    stack
        .until("a job waits for its time", async || {
            !stack.store.list_jobs(&filter).await.unwrap().is_empty()
        })
        .await;
    let jobs = stack.store.list_jobs(&filter).await.unwrap();
    assert_eq!(jobs.len(), 1);
    assert!(jobs[0].run_at.unwrap() > Timestamp::now());
    stack.stop([worker]).await;
}
