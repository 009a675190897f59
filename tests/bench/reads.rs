//! Reads at the api, without the edge: uncached answers, and 304.

use std::time::Duration;

use anyhow::Context as _;
use tidegate_core::clock::Timestamp;

use crate::closed_loop::{self, CONNECTIONS, Rate};
use crate::connection::{Connection, get};
use crate::stack::Stack;
use crate::table::{Goal, Table};
use crate::words::{Backends, Words};
use crate::writer::{self, Rows};

/// Rows behind the answers: ten days of hourly readings.
const ROWS: u64 = 1_000_000;

/// Measures both, over the same requests.
pub(crate) async fn measure(words: &Words, table: &mut Table) -> anyhow::Result<()> {
    let stack = Stack::start(words).await?;
    writer::send_all(&stack.client()?, Rows::new("reads", 12), ROWS, 5_000).await?;
    stack.settle_tables().await;
    let (address, token, servers) = (stack.api()?, stack.token()?, stack.servers()?);
    let paths = paths();
    let plain: Vec<Vec<u8>> = paths.iter().map(|path| get(path, token, None)).collect();

    let mut conditional = Vec::with_capacity(plain.len());
    let mut connection = Connection::open(&address).await?;
    for (path, request) in paths.iter().zip(&plain) {
        let answer = connection.exchange(request).await?;
        let etag = answer.etag.with_context(|| format!("{path} has no ETag: {}", answer.status))?;
        conditional.push(get(path, token, Some(&etag)));
    }

    let rate = closed_loop::run(&address, plain, 200, &servers).await?;
    let (uncached, unchanged) = match words.backends {
        Backends::Embedded => (Goal::AtLeast(10_000.0), Goal::AtLeast(30_000.0)),
        Backends::Servers => (Goal::AtLeast(5_000.0), Goal::None),
    };
    show(table, "uncached read of 24 groups", uncached, rate);
    let rate = closed_loop::run(&address, conditional, 304, &servers).await?;
    show(table, "304", unchanged, rate);
    stack.stop().await
}

fn show(table: &mut Table, name: &str, goal: Goal, rate: Rate) {
    let name = format!("{name}, {CONNECTIONS} connections");
    table.figure(&name, goal, rate.per_cpu_second, "req/server CPU second");
    table.figure(&name, Goal::None, rate.per_second, "req/s");
}

/// Returns one path for each city, pollutant and day.
fn paths() -> Vec<String> {
    let day = Duration::from_secs(86_400);
    let today = Timestamp::now().align_down(day);
    let mut paths = Vec::new();
    for back in 3..12 {
        let (from, to) = (today.before(day * back), today.before(day * (back - 1)));
        for city in 0..40 {
            for pollutant in ["pm25", "pm10", "no2", "o3"] {
                paths.push(format!(
                    "/v1/air/cities/city-{city:02}/series?pollutant={pollutant}&from={}&to={}",
                    from.to_rfc3339(),
                    to.to_rfc3339()
                ));
            }
        }
    }
    paths
}
