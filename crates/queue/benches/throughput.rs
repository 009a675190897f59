//! How many jobs a second pass through each kind of queue, with every one of them on disk.
//!
//! `cargo bench -p tidegate-queue` measures the embedded queue, and RabbitMQ too where
//! `TIDEGATE_TEST_AMQP` names one: `bash tests/support/servers.sh run cargo bench -p tidegate-queue`.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tidegate_core::backend::QueueBackend;
use tidegate_core::clock::Timestamp;
use tidegate_core::job::{INGEST, Job, Lane};
use tidegate_queue::{Consumer, Queue, QueueError, Settlement, SharedQueue, Source, SqliteQueue};
use tokio::time::Instant;
use uuid::Uuid;

/// Jobs in each run.
const JOBS: usize = 40_000;

/// Bytes of a job's body: about 1 KiB as JSON.
const BODY: usize = 700;

/// Calls under way at a time, each with one job, as edges make them.
const CALLS: usize = 256;

/// Jobs paced to measure latency, and the pause between two.
const PACED: (usize, Duration) = (2_000, Duration::from_millis(2));

#[tokio::main]
async fn main() -> Result<(), QueueError> {
    report("embedded (SQLite, FULL sync)");
    for group in [1, 16, 64, 256] {
        let directory = tempfile::tempdir()?;
        let queue = SqliteQueue::open(&directory.path().join("queue.db"))?;
        let cycles = cycles(&queue, group, if group == 1 { JOBS / 20 } else { JOBS }).await?;
        report(&format!("  publish + claim + ack, groups of {group:>3}: {cycles:>8.0} cycles/s"));
    }
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("queue.db");
    let (here, there) = (SqliteQueue::open(&path)?, SqliteQueue::open(&path)?);
    report(&format!("  {}", latency(Arc::new(here), Arc::new(there)).await?));

    let Some(url) = broker() else {
        report("RabbitMQ: TIDEGATE_TEST_AMQP is not set, so nothing was measured");
        return Ok(());
    };
    report("RabbitMQ (quorum queues, confirmed, mandatory, acknowledged)");
    let connect = async || {
        let backend: QueueBackend = url.parse().map_err(QueueError::Url)?;
        tidegate_queue::open(&backend).await
    };
    let queue = connect().await?;
    for group in [1, 16, 256, 1_024] {
        let jobs = if group == 1 { JOBS / 20 } else { JOBS };
        let (published, consumed) = one_after_the_other(&queue, group, jobs).await?;
        report(&format!("  publish, groups of {group:>4}: {published:>8.0} jobs/s"));
        report(&format!("  consume, acks  of {group:>4}: {consumed:>8.0} jobs/s"));
    }
    let published = single_calls(&queue).await?;
    report(&format!(
        "  publish, {CALLS} calls at a time with one job each: {published:>8.0} jobs/s"
    ));
    let cycles = cycles(queue.as_ref(), 256, JOBS).await?;
    report(&format!("  publish + deliver + ack, groups of 256: {cycles:>8.0} cycles/s"));
    report(&format!("  {}", latency(queue, connect().await?).await?));
    Ok(())
}

/// Runs `jobs` through a queue in groups and returns how many a second passed.
async fn cycles(queue: &dyn Queue, group: usize, jobs: usize) -> Result<f64, QueueError> {
    let mut consumer = queue.consume(Source::stable(Lane::Default), group).await?;
    let batch = batch(group);
    let started = Instant::now();
    for _ in 0..jobs / group {
        queue.publish(&batch).await?;
        take(consumer.as_mut(), group, group).await?;
    }
    Ok(a_second(jobs / group * group, started))
}

/// Publishes `jobs` in groups, and consumes them afterwards; returns how many a second.
async fn one_after_the_other(
    queue: &SharedQueue,
    group: usize,
    jobs: usize,
) -> Result<(f64, f64), QueueError> {
    let batch = batch(group);
    let started = Instant::now();
    for _ in 0..jobs / group {
        queue.publish(&batch).await?;
    }
    let published = a_second(jobs / group * group, started);
    let prefetch = group.clamp(64, 512);
    let mut consumer = queue.consume(Source::stable(Lane::Default), prefetch).await?;
    let started = Instant::now();
    take(consumer.as_mut(), jobs / group * group, group.min(prefetch / 2)).await?;
    Ok((published, a_second(jobs / group * group, started)))
}

/// Publishes jobs one by one, many calls at a time.
async fn single_calls(queue: &SharedQueue) -> Result<f64, QueueError> {
    let started = Instant::now();
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..CALLS {
        let queue = Arc::clone(queue);
        calls.spawn(async move {
            for _ in 0..JOBS / CALLS {
                queue.publish(&batch(1)).await?;
            }
            Ok::<_, QueueError>(())
        });
    }
    for done in calls.join_all().await {
        done?;
    }
    let published = a_second(JOBS / CALLS * CALLS, started);
    let mut consumer = queue.consume(Source::stable(Lane::Default), 512).await?;
    take(consumer.as_mut(), JOBS / CALLS * CALLS, 256).await?;
    Ok(published)
}

/// Takes `count` jobs and acknowledges them in groups.
async fn take(consumer: &mut dyn Consumer, count: usize, group: usize) -> Result<(), QueueError> {
    let mut settlements = Vec::with_capacity(group);
    for n in 1..=count {
        settlements.push((consumer.next().await?.tag, Settlement::Ack));
        if settlements.len() == group || n == count {
            consumer.settle(std::mem::take(&mut settlements)).await?;
        }
    }
    Ok(())
}

/// Returns how long paced jobs take from the start of a publish to the delivery through another
/// handle.
async fn latency(publisher: SharedQueue, queue: SharedQueue) -> Result<String, QueueError> {
    let mut consumer = queue.consume(Source::stable(Lane::Default), 64).await?;
    let publishing = tokio::spawn(async move {
        let mut ticks = tokio::time::interval(PACED.1);
        let mut started = Vec::with_capacity(PACED.0);
        for _ in 0..PACED.0 {
            ticks.tick().await;
            started.push(Instant::now());
            publisher.publish(&batch(1)).await?;
        }
        Ok::<_, QueueError>(started)
    });
    let mut arrived = Vec::with_capacity(PACED.0);
    for _ in 0..PACED.0 {
        let delivery = consumer.next().await?;
        arrived.push(Instant::now());
        consumer.settle(vec![(delivery.tag, Settlement::Ack)]).await?;
    }
    let started = publishing.await.map_err(|error| QueueError::Url(error.to_string()))??;
    let mut times: Vec<_> = arrived.iter().zip(started).map(|(end, start)| *end - start).collect();
    times.sort_unstable();
    let quantile = |share: usize| times[times.len() * share / 1_000];
    Ok(format!(
        "publish to delivery in another handle, 500/s: p50 {:?}, p99 {:?}",
        quantile(500),
        quantile(990),
    ))
}

fn a_second(jobs: usize, started: Instant) -> f64 {
    jobs as f64 / started.elapsed().as_secs_f64()
}

#[expect(clippy::disallowed_methods, reason = "how the script that starts the servers names them")]
fn broker() -> Option<String> {
    let url = std::env::var("TIDEGATE_TEST_AMQP").ok()?;
    Some(format!("{url}?prefix=bench-{}", Uuid::now_v7().simple()))
}

fn batch(size: usize) -> Vec<Job> {
    std::iter::repeat_with(job).take(size).collect()
}

fn job() -> Job {
    Job::new(INGEST, Lane::Default, ("default", "air"), json!("x".repeat(BODY)), Timestamp::now())
}

#[expect(clippy::print_stdout, reason = "a benchmark's output")]
fn report(line: &str) {
    println!("{line}");
}
