//! What putting jobs and committing their effects cost, with every commit synced to disk.
//!
//! `cargo bench -p tidegate-store --bench jobs -- [JOBS]`: a cycle is one job put, its line marked
//! as sent, its effect, inbox mark and result committed. Grouped as a worker's prefetch window is,
//! one by one, and one by one from many tasks at once, which share commits.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench talks to the terminal and has nobody to report an error to"
)]

use std::sync::Arc;

use tidegate_core::clock::Timestamp;
use tidegate_core::job::{Job, Lane, PROBE};
use tidegate_core::outbox::OutboxSource as _;
use tidegate_store::{
    Completed, Completion, Effect, Jobs as _, NewJob, Probe, SqliteStore, Store as _,
};
use tokio::time::Instant;
use uuid::Uuid;

/// Jobs of one commit: a worker's prefetch window.
const GROUP: usize = 256;

/// Tasks that complete one job at a time.
const TASKS: usize = 64;

fn probe(run: Uuid, n: u32) -> Job {
    Job::new(
        PROBE,
        Lane::Default,
        ("default", "air"),
        serde_json::json!({ "run": run, "n": n }),
        Timestamp::now(),
    )
}

fn ran(job: Job) -> Completion {
    let probe: Probe = serde_json::from_value(job.body.clone()).unwrap();
    Completion {
        job,
        effect: Some(Effect::Probe(probe)),
        result: serde_json::Value::Null,
        notices: Vec::new(),
        follow_up: Vec::new(),
    }
}

fn print(what: &str, jobs: usize, started: Instant) {
    let each = started.elapsed().as_secs_f64() / jobs as f64;
    println!("{what:40} {:8.1} µs/job {:9.0} jobs/s", each * 1e6, 1.0 / each);
}

async fn put(store: &SqliteStore, jobs: &[Job]) {
    for group in jobs.chunks(GROUP) {
        let new = |job: &Job| NewJob { job: job.clone(), run_at: None, idempotency_key: None };
        store.enqueue(group.iter().map(new).collect(), Timestamp::now()).await.unwrap();
    }
}

async fn send(store: &SqliteStore) {
    loop {
        let lines = store.pending(256).await.unwrap();
        if lines.is_empty() {
            return;
        }
        let ids: Vec<i64> = lines.iter().map(|line| line.id).collect();
        store.mark_sent(&ids).await.unwrap();
    }
}

async fn complete(store: &SqliteStore, jobs: &[Job], group: usize) {
    for group in jobs.chunks(group) {
        let completions = group.iter().cloned().map(ran).collect();
        let completed = store.complete(completions, Timestamp::now()).await.unwrap();
        assert!(completed.iter().all(|it| *it == Completed::New));
    }
}

async fn complete_at_once(store: &Arc<SqliteStore>, jobs: &[Job]) {
    let share = jobs.len().div_ceil(TASKS);
    let tasks: Vec<_> = jobs
        .chunks(share)
        .map(|jobs| {
            let (store, jobs) = (Arc::clone(store), jobs.to_vec());
            tokio::spawn(async move { complete(&store, &jobs, 1).await })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

fn jobs(run: Uuid, count: usize) -> Vec<Job> {
    (0..u32::try_from(count).unwrap()).map(|n| probe(run, n)).collect()
}

#[tokio::main]
async fn main() {
    // `cargo bench` adds `--bench`.
    let words = std::env::args().skip(1);
    let count = words.filter_map(|word| word.parse().ok()).next().unwrap_or(50_000);
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(SqliteStore::open(&dir.path().join("store.db")).unwrap());
    println!("store {}", store.incarnation());

    let run = Uuid::now_v7();
    let grouped = jobs(run, count);
    let whole = Instant::now();
    put(&store, &grouped).await;
    print("put, 64 a commit", count, whole);
    let started = Instant::now();
    send(&store).await;
    print("read and mark lines, 256 a commit", count, started);
    let started = Instant::now();
    complete(&store, &grouped, GROUP).await;
    print("complete, 64 a commit", count, started);
    print("whole cycle, grouped", count, whole);
    let tally = store.probe_tally(run).await.unwrap();
    assert_eq!((tally.done, tally.duplicated), (count as u64, 0));

    let bare = jobs(Uuid::now_v7(), count);
    let started = Instant::now();
    complete(&store, &bare, GROUP).await;
    print("complete without a record, 64 a commit", count, started);

    let few = (count / 10).max(1);
    let single = jobs(Uuid::now_v7(), few);
    put(&store, &single).await;
    let started = Instant::now();
    complete(&store, &single, 1).await;
    print("complete, one a commit", few, started);

    let single = jobs(Uuid::now_v7(), count);
    put(&store, &single).await;
    let started = Instant::now();
    complete_at_once(&store, &single).await;
    print("complete, one by one from 64 tasks", count, started);
}
