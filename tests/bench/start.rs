//! `tidegate up`: how long until it is ready, and what its children hold when idle.

use std::time::Duration;

use crate::stack::Stack;
use crate::table::{Goal, Table};
use crate::words::Words;

/// Starts, each in a new directory: keys, certificates and databases are made anew.
const STARTS: usize = 5;

/// Time in which nothing is asked before memory is read.
const IDLE: Duration = Duration::from_secs(5);

/// Measures both.
pub(crate) async fn measure(words: &Words, table: &mut Table) -> anyhow::Result<()> {
    let mut longest = Duration::ZERO;
    for _ in 1..STARTS {
        let stack = Stack::start(words).await?;
        longest = longest.max(stack.ready_after);
        stack.stop().await?;
    }
    let stack = Stack::start(words).await?;
    longest = longest.max(stack.ready_after);
    let name = format!("up → ready, longest of {STARTS}");
    table.figure(&name, Goal::AtMost(2_000.0), longest.as_secs_f64() * 1e3, "ms");

    tokio::time::sleep(IDLE).await;
    let memory = stack.servers()?.memory().await?;
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    table.figure("children idle, resident", Goal::AtMost(150.0), megabytes(memory.resident), "MB");
    let proportional = megabytes(memory.proportional);
    table.figure("children idle, shared pages once", Goal::None, proportional, "MB");
    stack.stop().await
}
