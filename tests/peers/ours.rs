//! Our turn: confirmed publishing to a quorum queue, then two workers that run the jobs.

use std::process::Stdio;

use anyhow::{Context as _, bail};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::json;
use tidegate_core::clock::Timestamp;
use tidegate_core::job::{Job, Lane, PROBE};
use tidegate_queue::SharedQueue;
use tidegate_store::SharedStore;
use tokio::process::{Child, Command};
use tokio::time::{Duration, Instant, sleep, timeout};
use uuid::Uuid;

use crate::Speed;
use crate::words::Words;

/// Our name in the table.
pub(crate) const NAME: &str = "Tidegate, quorum";

/// As many as Celery has.
const WORKERS: usize = 2;

/// As many as the relay publishes at a time.
const BATCH: usize = 256;

/// Calls to the publisher at a time: an api and two workers, each with its relay.
const RELAYS: usize = 3;

/// Bytes that each job carries, as the peers' do.
const PAYLOAD: usize = 1024;

const PATIENCE: Duration = Duration::from_secs(120);

/// Between two looks whether something began.
const LOOK: Duration = Duration::from_millis(10);

/// Between two looks at the tally: each costs the database as much as a hundred jobs.
const TALLY: Duration = Duration::from_millis(100);

/// Publishes jobs, then lets workers run them.
pub(crate) async fn measure(words: &Words) -> anyhow::Result<Speed> {
    let (queue, store) = words.backends().map_err(anyhow::Error::msg)?;
    let queue = tidegate_queue::open(&queue).await.context("the queue")?;
    let store = tidegate_store::open(&store).await.context("the store")?;
    let run = Uuid::now_v7();
    connected(&queue).await?;
    let enqueue = timeout(PATIENCE, enqueue(&queue, run, words.jobs)).await??;
    let directory = tempfile::tempdir()?;
    let _workers = start_workers(words, directory.path())?;
    let process = timeout(PATIENCE, watch(&store, run, words.jobs)).await??;
    Ok(Speed { enqueue, process })
}

/// The first use of a queue connects and declares, which is not what is measured.
async fn connected(queue: &SharedQueue) -> anyhow::Result<()> {
    let end = Instant::now() + PATIENCE;
    while let Err(problem) = queue.state().check() {
        if end < Instant::now() {
            bail!("the queue can't be used: {problem}");
        }
        sleep(LOOK).await;
    }
    Ok(())
}

async fn enqueue(queue: &SharedQueue, run: Uuid, count: u32) -> anyhow::Result<f64> {
    let jobs: Vec<Job> = (0..count).map(|n| job(run, n, count)).collect();
    let started = Instant::now();
    let published = stream::iter(jobs.chunks(BATCH)).map(|batch| queue.publish(batch));
    published.buffer_unordered(RELAYS).try_collect::<()>().await?;
    Ok(f64::from(count) / started.elapsed().as_secs_f64())
}

fn job(run: Uuid, n: u32, of: u32) -> Job {
    Job::new(
        PROBE,
        Lane::Default,
        ("default", "air"),
        json!({ "run": run, "n": n, "of": of, "padding": "x".repeat(PAYLOAD) }),
        Timestamp::now(),
    )
}

/// Workers as they are deployed; killed when dropped.
fn start_workers(words: &Words, directory: &std::path::Path) -> anyhow::Result<Vec<Child>> {
    let config = directory.join("worker.toml");
    let text = toml::to_string(&json!({
        "store": words.store,
        "queue": words.amqp,
        "listen": { "private": "127.0.0.1:0" },
    }))?;
    std::fs::write(&config, text)?;
    (0..WORKERS)
        .map(|_| {
            let mut command = Command::new(&words.worker);
            command.arg("--config").arg(&config).stdin(Stdio::null()).kill_on_drop(true);
            command.stdout(Stdio::null()).stderr(Stdio::null());
            command.spawn().with_context(|| format!("{}", words.worker.display()))
        })
        .collect()
}

/// From the first job seen to the last, so that the start of the workers does not count.
async fn watch(store: &SharedStore, run: Uuid, count: u32) -> anyhow::Result<f64> {
    let mut began = None;
    loop {
        let tally = store.probe_tally(run).await?;
        let now = Instant::now();
        let (start, first) = match began {
            None if tally.done == 0 => {
                sleep(LOOK).await;
                continue;
            }
            None => *began.insert((now, tally.done)),
            Some(began) => began,
        };
        if tally.done >= u64::from(count) {
            if tally.duplicated > 0 {
                bail!("{} jobs had their effect twice", tally.duplicated);
            }
            return Ok((tally.done - first) as f64 / (now - start).as_secs_f64());
        }
        sleep(TALLY).await;
    }
}
