//! Hits at the edge over TLS, for the record: the edge's own targets come with its own benchmarks.

use std::time::Duration;

use anyhow::ensure;
use bytes::Bytes;
use e2e::Client;
use http::Method;
use tidegate_core::clock::Timestamp;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::closed_loop::{CONNECTIONS, MEASURED, Rate, WARM_UP};
use crate::stack::Stack;
use crate::table::{Goal, Table};
use crate::words::Words;
use crate::writer::{self, Rows};

/// Cities that are asked for.
const CITIES: u64 = 40;

/// Measures reads that the cache answers.
pub(crate) async fn measure(words: &Words, table: &mut Table) -> anyhow::Result<()> {
    let stack = Stack::start(words).await?;
    let servers = stack.servers()?;
    writer::send_all(&stack.client()?, Rows::new("edge", 3), 200_000, 5_000).await?;
    let started = Instant::now();
    let (begin, end) = (started + WARM_UP, started + WARM_UP + MEASURED);
    let mut clients = JoinSet::new();
    for client in 0..CONNECTIONS {
        // A client of its own is a connection of its own.
        let edge = stack.client()?;
        clients.spawn(async move { ask(&edge, client, begin, end).await });
    }
    tokio::time::sleep_until(begin).await;
    let before = servers.cpu().await?;
    tokio::time::sleep_until(end).await;
    let cpu = servers.cpu().await?.saturating_sub(before);
    let (mut reads, mut hits) = (0, 0);
    while let Some(client) = clients.join_next().await {
        let (asked, hit) = client??;
        reads += asked;
        hits += hit;
    }
    ensure!(reads > 0, "nothing was answered");
    let rate = Rate::new(reads, MEASURED, cpu);
    let name = format!("edge hit over TLS, {CONNECTIONS} connections");
    table.figure(&name, Goal::None, rate.per_cpu_second, "req/server CPU second");
    table.figure(&name, Goal::None, rate.per_second, "req/s");
    table.figure("share of hits", Goal::None, hits as f64 / reads as f64 * 100.0, "%");
    stack.stop().await
}

/// Reads until `end`; returns how many answers came after `begin`, and how many of them were hits.
async fn ask(
    edge: &Client,
    client: usize,
    begin: Instant,
    end: Instant,
) -> anyhow::Result<(u64, u64)> {
    let (from, to) = first_day();
    let (mut reads, mut hits) = (0, 0);
    for city in (0..CITIES).cycle().skip(client) {
        let path = format!("/v1/air/cities/city-{city:02}/series?from={from}&to={to}");
        let reply = edge.try_send(Method::GET, &path, &[], Bytes::new()).await?;
        ensure!(reply.status == 200, "{path} was answered {}", reply.status);
        let now = Instant::now();
        if now >= end {
            break;
        }
        if now >= begin {
            reads += 1;
            let status = reply.header("cache-status");
            hits += u64::from(status.split([',', ';']).any(|part| part.trim() == "hit"));
        }
    }
    Ok((reads, hits))
}

/// Returns the first day of the rows that were sent.
fn first_day() -> (String, String) {
    let day = Duration::from_secs(86_400);
    let today = Timestamp::now().align_down(day);
    (today.before(day * 3).to_rfc3339(), today.before(day * 2).to_rfc3339())
}
