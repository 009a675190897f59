//! A job that ends its process, again and again: whole worker processes, because a crash can't be had
//! for less.
#![cfg(test)]

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::json;
use tidegate_core::clock::Timestamp;
use tidegate_core::job::{Job, Lane, PROBE};
use tidegate_store::{DeadFilter, DeadLetter, NewJob, SharedStore};
use tokio::process::{Child, Command};
use uuid::Uuid;

/// Longer than any step takes; reached only by what never happens.
const NEVER: Duration = Duration::from_secs(120);

/// Between two looks at a condition.
const LOOK: Duration = Duration::from_millis(20);

/// Probes beside the one that crashes.
const OTHERS: usize = 200;

fn probe(run: Uuid, n: usize, outcome: &str) -> Job {
    Job::new(
        PROBE,
        Lane::Default,
        ("default", "air"),
        json!({ "run": run, "n": n, "outcome": outcome }),
        Timestamp::now(),
    )
}

fn worker(config: &Path) -> Child {
    Command::new(env!("CARGO_BIN_EXE_tidegate-worker"))
        .arg("--config")
        .arg(config)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

async fn letters(store: &SharedStore) -> Vec<DeadLetter> {
    let filter = DeadFilter { limit: 10, ..DeadFilter::default() };
    store.dead_letters(&filter).await.unwrap()
}

/// Runs a worker, and another whenever it has crashed, until all jobs have ended; returns how often
/// one crashed.
async fn supervise(config: &Path, store: &SharedStore, run: Uuid) -> u32 {
    let (mut running, mut crashes) = (worker(config), 0);
    let mut done = 0;
    while done < OTHERS as u64 || letters(store).await.is_empty() {
        if running.try_wait().unwrap().is_some() {
            crashes += 1;
            running = worker(config);
        }
        tokio::time::sleep(LOOK).await;
        let tally = store.probe_tally(run).await.unwrap();
        assert_eq!(tally.duplicated, 0);
        done = tally.done;
    }
    crashes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_ends_its_workers_is_kept_aside_and_takes_no_other_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let place = |file: &str| format!("sqlite:{}", directory.path().join(file).display());
    let store = tidegate_store::open(&place("store.db").parse().unwrap()).await.unwrap();
    let text = format!(
        "store = \"{}\"\nqueue = \"{}\"\n[listen]\nprivate = \"127.0.0.1:0\"\n\
         [probe]\nallow_crash = true\n",
        place("store.db"),
        place("queue.db"),
    );
    let config = directory.path().join("worker.toml");
    std::fs::write(&config, text).unwrap();

    let run = Uuid::now_v7();
    let mut jobs: Vec<Job> = (0..OTHERS).map(|n| probe(run, n, "ok")).collect();
    let crash = probe(run, OTHERS, "crash");
    jobs.insert(OTHERS / 2, crash.clone());
    let new = |job: Job| NewJob { job, run_at: None, idempotency_key: None };
    store.enqueue(jobs.into_iter().map(new).collect(), Timestamp::now()).await.unwrap();

    let crashes = tokio::time::timeout(NEVER, supervise(&config, &store, run)).await.unwrap();
    let letters = letters(&store).await;
    assert_eq!((letters.len(), letters[0].job), (1, Some(crash.id)));
    assert!(letters[0].reason.starts_with("crashed: "), "{}", letters[0].reason);
    // Once among others, then three times under suspicion, the last two of them alone.
    assert_eq!(crashes, 4);
}
