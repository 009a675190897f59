//! From `202` to visible: how long after a batch was accepted a reader sees it through the edge.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use e2e::Client;
use http::Method;
use tidegate_core::clock::Timestamp;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

use crate::stack::Stack;
use crate::table::{Goal, Table};
use crate::words::{Backends, Words};
use crate::writer::{self, Rows};

/// Rows in a request of the load.
const BATCH: u64 = 500;

/// Requests of the load: ten thousand rows a second for twenty seconds.
const BATCHES: u32 = 400;

/// Time between two of them.
const BATCH_EVERY: Duration = Duration::from_millis(50);

/// Probes, each for a city of its own.
const PROBES: u32 = 200;

/// Time between two of them.
const PROBE_EVERY: Duration = Duration::from_millis(100);

/// Time between two looks of a probe.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// A row that is not seen by then is lost.
const LOST: Duration = Duration::from_secs(30);

/// Measures the delay under a paced load.
pub(crate) async fn measure(words: &Words, table: &mut Table) -> anyhow::Result<()> {
    let stack = Stack::start(words).await?;
    let client = stack.client()?;
    let ((), mut delays) = tokio::try_join!(load(&client), probe(&client))?;
    stack.stop().await?;
    delays.sort_unstable();
    let quantile = |share: f64| -> anyhow::Result<f64> {
        let at = (delays.len() as f64 * share).ceil() as usize;
        let delay = delays.get(at.saturating_sub(1)).context("there are probes")?;
        Ok(delay.as_secs_f64() * 1e3)
    };
    let name = "accepted → visible at 10 k rows/s";
    table.figure(&format!("{name}, p50"), Goal::None, quantile(0.5)?, "ms");
    let goal = match words.backends {
        Backends::Embedded => Goal::AtMost(250.0),
        Backends::Servers => Goal::None,
    };
    table.figure(&format!("{name}, p99"), goal, quantile(0.99)?, "ms");
    table.figure(&format!("{name}, worst"), Goal::None, quantile(1.0)?, "ms");
    Ok(())
}

async fn load(client: &Client) -> anyhow::Result<()> {
    let mut rows = Rows::new("load", 3);
    let mut turns = tokio::time::interval(BATCH_EVERY);
    // A turn that was missed is made up for: the load is a rate, not a pause.
    turns.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let started = Instant::now();
    let mut under_way = JoinSet::new();
    for _ in 0..BATCHES {
        turns.tick().await;
        let (client, body) = (client.clone(), rows.batch(BATCH));
        under_way.spawn(async move { writer::send(&client, body).await });
    }
    while let Some(job) = under_way.join_next().await {
        job??;
    }
    let behind = started.elapsed().saturating_sub(BATCH_EVERY * BATCHES);
    ensure!(behind < Duration::from_secs(2), "the load could not be kept up: {behind:?} behind");
    Ok(())
}

async fn probe(client: &Client) -> anyhow::Result<Vec<Duration>> {
    let mut turns = tokio::time::interval(PROBE_EVERY);
    let mut under_way = JoinSet::new();
    for number in 0..PROBES {
        turns.tick().await;
        let client = client.clone();
        under_way.spawn(async move { delay_of(&client, number).await });
    }
    let mut delays = Vec::new();
    while let Some(delay) = under_way.join_next().await {
        delays.push(delay??);
    }
    Ok(delays)
}

/// Puts a city's empty answer into the cache, sends the city's first row, and looks until the
/// answer shows it.
async fn delay_of(client: &Client, number: u32) -> anyhow::Result<Duration> {
    let path = format!("/v1/air/cities/probe-{number}/series?pollutant=no2");
    ensure!(count(client, &path).await? == 0, "the city must be new");
    let ts = Timestamp::now().before(Duration::from_secs(2 * 3600)).to_rfc3339();
    let row = format!(
        r#"{{"reading_id":"probe-{number}","station":"probe","city":"probe-{number}","pollutant":"no2","ts":"{ts}","value":1.5}}"#
    );
    writer::send(client, row.into()).await?;
    let accepted = Instant::now();
    let mut looks = tokio::time::interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while count(client, &path).await? == 0 {
        ensure!(accepted.elapsed() < LOST, "row {number} was accepted and is not seen");
        looks.tick().await;
    }
    Ok(accepted.elapsed())
}

/// Returns how many rows an answer counts.
async fn count(client: &Client, path: &str) -> anyhow::Result<u64> {
    let reply = client.try_send(Method::GET, path, &[], Bytes::new()).await?;
    ensure!(reply.status == 200, "{path} was answered {}: {}", reply.status, reply.text());
    let answer: serde_json::Value = serde_json::from_slice(&reply.body)?;
    let buckets = answer.get("data").and_then(|data| data.as_array()).context("no data")?;
    Ok(buckets.iter().filter_map(|bucket| bucket.get("n")?.as_u64()).sum())
}
