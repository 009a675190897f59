//! From a stale hit to the refreshed response: edge, queue, worker, api, broadcast, edge. In the
//! project whose edges hand work to workers.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use e2e::Client;
use http::Method;
use tidegate_core::clock::Timestamp;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, sleep_until};

use crate::stack::Stack;
use crate::table::{Goal, Table};
use crate::words::Words;
use crate::writer::{self, Rows};

/// Orders a second.
const PER_SECOND: u32 = 500;

/// Time between two groups of reads.
const TURN: Duration = Duration::from_millis(10);

/// Longest that a response stays fresh, and a little more.
const STALE_AFTER: Duration = Duration::from_millis(30_500);

/// Reads at once while the cache is filled.
const READERS: usize = 16;

/// Longest wait for the last answers.
const LAST: Duration = Duration::from_secs(5);

/// The edge's histogram.
const HISTOGRAM: &str = "tidegate_edge_refresh_seconds";

/// Measures the delay at a steady rate of orders.
pub(crate) async fn measure(words: &Words, table: &mut Table) -> anyhow::Result<()> {
    let stack = Stack::start_with(words, &["--project", "4pnihc40q-yj"]).await?;
    let client = stack.client()?;
    writer::send_all(&client, Rows::new("refresh", 3), 200_000, 5_000).await?;
    let paths = paths();
    fill(&client, &paths).await?;
    sleep_until(Instant::now() + STALE_AFTER).await;

    let metrics = Client::new(&format!("http://{}", stack.listener("edge", "private")?), None);
    let before = Observed::read(&metrics).await?;
    let behind = read_all(&client, &paths).await?;
    ensure!(behind < Duration::from_secs(1), "the reads could not be kept up: {behind:?} behind");
    let goal = before.count + paths.len() as u64;
    let end = Instant::now() + LAST;
    let mut after = Observed::read(&metrics).await?;
    while after.count < goal && Instant::now() < end {
        sleep_until(Instant::now() + TURN).await;
        after = Observed::read(&metrics).await?;
    }
    stack.stop().await?;

    let seen = after.since(&before);
    let name = format!("stale hit → refreshed at {PER_SECOND}/s");
    let share = seen.count as f64 / paths.len() as f64 * 100.0;
    table.figure(&format!("{name}, share by workers"), Goal::None, share, "%");
    table.figure(&format!("{name}, p50"), Goal::AtMost(25.0), seen.quantile(0.5)? * 1e3, "ms");
    table.figure(&format!("{name}, p99"), Goal::AtMost(500.0), seen.quantile(0.99)? * 1e3, "ms");
    Ok(())
}

/// Returns one path for each city, pollutant and two ranges of hours: each is a response of its own.
fn paths() -> Vec<String> {
    let day = Duration::from_secs(86_400);
    let start = Timestamp::now().align_down(day).before(day * 3);
    let hour = |hour: u32| start.after(Duration::from_secs(3_600) * hour).to_rfc3339();
    let mut paths = Vec::new();
    for from in 0..24 {
        for to in [30, 36] {
            for city in 0..40 {
                for pollutant in ["pm25", "pm10", "no2", "o3"] {
                    paths.push(format!(
                        "/v1/air/cities/city-{city:02}/series?pollutant={pollutant}&from={}&to={}",
                        hour(from),
                        hour(to),
                    ));
                }
            }
        }
    }
    paths
}

/// Has the edge store every response.
async fn fill(client: &Client, paths: &[String]) -> anyhow::Result<()> {
    let mut readers = JoinSet::new();
    for chunk in paths.chunks(paths.len().div_ceil(READERS)) {
        let (client, chunk) = (client.clone(), chunk.to_vec());
        readers.spawn(async move {
            for path in chunk {
                read(&client, &path).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(reader) = readers.join_next().await {
        reader??;
    }
    Ok(())
}

/// Reads every response once, at the rate; returns how far it fell behind.
async fn read_all(client: &Client, paths: &[String]) -> anyhow::Result<Duration> {
    let group = (PER_SECOND as f64 * TURN.as_secs_f64()) as usize;
    let mut turns = tokio::time::interval(TURN);
    turns.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let started = Instant::now();
    let mut under_way = JoinSet::new();
    for chunk in paths.chunks(group) {
        turns.tick().await;
        for path in chunk {
            let (client, path) = (client.clone(), path.clone());
            under_way.spawn(async move { read(&client, &path).await });
        }
        while let Some(done) = under_way.try_join_next() {
            done??;
        }
    }
    while let Some(done) = under_way.join_next().await {
        done??;
    }
    let planned = Duration::from_secs_f64(paths.len() as f64 / f64::from(PER_SECOND));
    Ok(started.elapsed().saturating_sub(planned))
}

async fn read(client: &Client, path: &str) -> anyhow::Result<()> {
    let reply = client.try_send(Method::GET, path, &[], Bytes::new()).await?;
    ensure!(reply.status == 200, "{path} was answered {}: {}", reply.status, reply.text());
    Ok(())
}

/// A histogram as it stands: upper bounds in seconds and how many were at most so.
#[derive(Debug, Default)]
struct Observed {
    buckets: Vec<(f64, u64)>,
    count: u64,
}

// === impl Observed ===

impl Observed {
    async fn read(metrics: &Client) -> anyhow::Result<Self> {
        let reply = metrics.try_send(Method::GET, "/metrics", &[], Bytes::new()).await?;
        let mut observed = Self::default();
        for line in reply.text().lines().filter_map(|line| line.strip_prefix(HISTOGRAM)) {
            let value = line.rsplit(' ').next().context("a sample has a value")?;
            if line.starts_with("_count") {
                observed.count = value.parse()?;
            } else if let Some(bound) = line.split("le=\"").nth(1)
                && let Some((bound, _)) = bound.split_once('"')
            {
                observed.buckets.push((bound.parse()?, value.parse()?));
            }
        }
        Ok(observed)
    }

    fn since(&self, before: &Self) -> Self {
        let earlier = |bound: f64| {
            let found = before.buckets.iter().find(|(other, _)| *other == bound);
            found.map_or(0, |(_, count)| *count)
        };
        let buckets =
            self.buckets.iter().map(|(bound, count)| (*bound, count - earlier(*bound))).collect();
        Self { buckets, count: self.count - before.count }
    }

    /// Returns a quantile in seconds, evenly spread within its bucket, as Prometheus does.
    fn quantile(&self, share: f64) -> anyhow::Result<f64> {
        let rank = self.count as f64 * share;
        let (mut lower, mut below) = (0.0, 0);
        for (bound, count) in &self.buckets {
            if *count as f64 >= rank && *count > below {
                let within = (rank - below as f64) / (count - below) as f64;
                return Ok(lower + (bound - lower) * within);
            }
            (lower, below) = (*bound, *count);
        }
        anyhow::bail!("nothing was refreshed")
    }
}
