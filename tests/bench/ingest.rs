//! Rows in through the edge over TLS: validated, deduplicated, rolled up into two views, checked.

use std::time::Duration;

use anyhow::Context as _;
use e2e::Client;
use tokio::time::Instant;

use crate::processes::Servers;
use crate::stack::Stack;
use crate::table::{Goal, Table};
use crate::words::{Backends, Extent, Words};
use crate::writer::{self, Rows};

/// Rows of one sample of what a row costs.
const SAMPLE: u64 = 100_000;

/// Samples of which the middle one counts: a checkpoint or a neighbour may fall into any of them.
const SAMPLES: usize = 5;

/// Rows in one request.
const BATCH: u64 = 5_000;

/// Measures throughput at several sizes, and how the cost of a row grows with the tables.
pub(crate) async fn measure(words: &Words, table: &mut Table) -> anyhow::Result<()> {
    let stack = Stack::start(words).await?;
    demo(&stack, 100_000, Goal::None, table).await?;
    stack.stop().await?;

    let stack = Stack::start(words).await?;
    let (client, servers) = (stack.client()?, stack.servers()?);
    let small = cost(&client, &servers, "before").await?;
    let goal = match words.backends {
        Backends::Embedded => 80_000.0,
        Backends::Servers => 40_000.0,
    };
    demo(&stack, 1_000_000, Goal::AtLeast(goal), table).await?;
    let mut rows = 1_000_000;
    if words.extent == Extent::Long {
        demo(&stack, 5_000_000, Goal::None, table).await?;
        rows += 5_000_000;
    }
    let large = cost(&client, &servers, "after").await?;
    stack.stop().await?;

    let micros = |cost: Duration| cost.as_secs_f64() * 1e6 / SAMPLE as f64;
    let name = format!("cost of a row on small tables, middle of {SAMPLES}");
    table.figure(&name, Goal::None, micros(small), "µs of server CPU");
    let name = format!("cost of a row after {} M, middle of {SAMPLES}", rows / 1_000_000);
    table.figure(&name, Goal::None, micros(large), "µs of server CPU");
    let ratio = micros(large) / micros(small);
    table.figure("cost ratio, large to small", Goal::AtMost(1.8), ratio, "×");
    Ok(())
}

/// Runs the demo, whose rate is from the first request to the last applied row. The CPU time holds
/// the demo's checks too: every group of both views is listed before and after.
async fn demo(stack: &Stack, rows: u64, goal: Goal, table: &mut Table) -> anyhow::Result<()> {
    let servers = stack.servers()?;
    let before = servers.cpu().await?;
    let report = stack.demo(rows, rows).await?;
    let cpu = servers.cpu().await?.saturating_sub(before).as_secs_f64();
    let number = |name: &str| {
        let value = report.get(name).and_then(serde_json::Value::as_f64);
        value.with_context(|| format!("the demo reports no {name}"))
    };
    let size = format!("{:.1} M rows", rows as f64 / 1e6);
    table.figure(&format!("ingest, {size}"), goal, number("rows_per_s")?, "rows/s");
    let per_cpu = rows as f64 / cpu;
    table.figure(&format!("ingest, {size}"), Goal::None, per_cpu, "rows/server CPU second");
    let hits = number("hit_ratio")? * 100.0;
    table.figure(&format!("cache hits meanwhile, {size}"), Goal::None, hits, "%");
    Ok(())
}

/// Returns the servers' CPU time for the middle one of some samples, everything else at rest.
async fn cost(client: &Client, servers: &Servers, run: &str) -> anyhow::Result<Duration> {
    let mut costs = Vec::with_capacity(SAMPLES);
    for sample in 0..SAMPLES {
        settle(servers).await?;
        let before = servers.cpu().await?;
        // The same hours each time: groups are made the first time, and merged with later.
        let rows = Rows::new(&format!("{run}-{sample}"), 3);
        writer::send_all(client, rows, SAMPLE, BATCH).await?;
        settle(servers).await?;
        costs.push(servers.cpu().await?.saturating_sub(before));
    }
    costs.sort_unstable();
    Ok(costs[SAMPLES / 2])
}

/// Waits until the servers have nothing left to do, such as a checkpoint.
async fn settle(servers: &Servers) -> anyhow::Result<()> {
    const QUIET: Duration = Duration::from_millis(500);
    const LONGEST: Duration = Duration::from_secs(20);
    let started = Instant::now();
    let mut spent = servers.cpu().await?;
    while started.elapsed() < LONGEST {
        tokio::time::sleep(QUIET).await;
        let now = servers.cpu().await?;
        if now.saturating_sub(spent) <= QUIET / 20 {
            break;
        }
        spent = now;
    }
    Ok(())
}
