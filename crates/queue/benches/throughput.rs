//! Cycles a second of grouped publish, claim and acknowledge, with every commit on disk.
//!
//! `cargo bench -p tidegate-queue`

use std::time::Duration;

use serde_json::json;
use tidegate_core::clock::Timestamp;
use tidegate_core::job::{Arm, INGEST, Job, Lane};
use tidegate_queue::{Queue, QueueError, Settlement, Source, SqliteQueue};
use tokio::time::Instant;
use uuid::Uuid;

/// Jobs in each run.
const JOBS: usize = 40_000;

/// Bytes of a job's body.
const BODY: usize = 512;

#[tokio::main]
async fn main() -> Result<(), QueueError> {
    for group in [1, 16, 64, 256] {
        let jobs = if group == 1 { JOBS / 20 } else { JOBS };
        let cycles = cycles(group, jobs).await?;
        report(&format!("publish + claim + ack, groups of {group:>3}: {cycles:>8.0} cycles/s"));
    }
    let latency = latency().await?;
    report(&format!("publish to delivery in another handle, median: {latency:?}"));
    Ok(())
}

/// Runs `jobs` through a new queue in groups and returns how many a second passed.
async fn cycles(group: usize, jobs: usize) -> Result<f64, QueueError> {
    let directory = tempfile::tempdir()?;
    let queue = SqliteQueue::open(&directory.path().join("queue.db"))?;
    let mut consumer = queue.consume(Source::stable(Lane::Default), group).await?;
    let batch: Vec<_> = (0..group).map(|_| job()).collect();
    let started = Instant::now();
    for _ in 0..jobs / group {
        queue.publish(&batch).await?;
        let mut settlements = Vec::with_capacity(group);
        for _ in 0..group {
            settlements.push((consumer.next().await?.tag, Settlement::Ack));
        }
        consumer.settle(settlements).await?;
    }
    Ok((jobs / group * group) as f64 / started.elapsed().as_secs_f64())
}

/// Returns the median time from the start of a publish to the delivery through another handle.
async fn latency() -> Result<Duration, QueueError> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("queue.db");
    let (publisher, queue) = (SqliteQueue::open(&path)?, SqliteQueue::open(&path)?);
    let mut consumer = queue.consume(Source::stable(Lane::Default), 1).await?;
    let mut times = Vec::new();
    for _ in 0..500 {
        let started = Instant::now();
        let batch = [job()];
        let (delivery, published) = tokio::join!(consumer.next(), publisher.publish(&batch));
        published?;
        times.push(started.elapsed());
        consumer.settle(vec![(delivery?.tag, Settlement::Ack)]).await?;
    }
    times.sort_unstable();
    Ok(times[times.len() / 2])
}

fn job() -> Job {
    Job {
        id: Uuid::now_v7(),
        kind: INGEST.to_owned(),
        schema: 1,
        lane: Lane::Default,
        attempt: 0,
        generation: 0,
        tenant: "default".to_owned(),
        product: "air".to_owned(),
        release: None,
        arm: Arm::Stable,
        cohort: None,
        traceparent: None,
        enqueued_at: Timestamp::now(),
        deadline: None,
        body: json!("x".repeat(BODY)),
    }
}

#[expect(clippy::print_stdout, reason = "a benchmark's output")]
fn report(line: &str) {
    println!("{line}");
}
