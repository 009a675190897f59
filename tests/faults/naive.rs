//! A consumer that does it wrong: the counting must show it, or it would show nothing.
//!
//! It runs as a process of its own, so that it can be killed. Each job adds one to its line; there
//! is no mark that it happened before.

use std::process::{ExitCode, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use tidegate_core::backend::QueueBackend;
use tidegate_core::job::{Job, Lane};
use tidegate_queue::{Consumer, Delivery, Settlement, Source};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{ChildStdin, ChildStdout, Command};

use crate::say;

/// Jobs that are taken, done and acknowledged together.
const WINDOW: usize = 32;

/// How long the second and later jobs of a window are waited for.
const MORE: Duration = Duration::from_millis(50);

/// What it says when it holds jobs, and when it holds none.
pub(crate) const BEGUN: &str = "begun";
pub(crate) const ENDED: &str = "ended";

/// When it acknowledges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Before the work: what it holds when it dies is lost.
    AckThenWork,
    /// After the work, without an inbox: what it has done when it dies is done again.
    WorkThenAck,
}

/// What it needs to know.
pub(crate) struct Naive {
    pub(crate) order: Order,
    pub(crate) store: String,
    pub(crate) queue: String,
}

/// The database's own shell: one statement a line.
struct Shell {
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

// === impl Order ===

impl Order {
    /// Returns its word on the command line.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::AckThenWork => "ack-then-work",
            Self::WorkThenAck => "work-then-ack",
        }
    }

    /// Reads its word.
    pub(crate) fn parse(word: &str) -> Result<Self, String> {
        let found = [Self::AckThenWork, Self::WorkThenAck].into_iter().find(|o| o.word() == word);
        found.ok_or_else(|| format!("'{word}' is no order"))
    }
}

/// Consumes until it is killed.
pub(crate) async fn run(naive: Naive) -> ExitCode {
    match consume(naive).await {
        Ok(never) => match never {},
        Err(error) => {
            say(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

async fn consume(naive: Naive) -> anyhow::Result<std::convert::Infallible> {
    let backend: QueueBackend = naive.queue.parse().map_err(anyhow::Error::msg)?;
    let queue = tidegate_queue::open(&backend).await?;
    let mut shell = Shell::start(&naive.store)?;
    // The connection is made in the background.
    let mut consumer = loop {
        match queue.consume(Source::stable(Lane::Default), WINDOW).await {
            Ok(consumer) => break consumer,
            Err(_) => tokio::time::sleep(MORE).await,
        }
    };
    loop {
        let window = window(consumer.as_mut()).await?;
        say(BEGUN);
        let settled = window.iter().map(|delivery| (delivery.tag, Settlement::Ack)).collect();
        match naive.order {
            Order::AckThenWork => {
                consumer.settle(settled).await?;
                shell.count(&window).await?;
            }
            Order::WorkThenAck => {
                shell.count(&window).await?;
                consumer.settle(settled).await?;
            }
        }
        say(ENDED);
    }
}

async fn window(consumer: &mut dyn Consumer) -> anyhow::Result<Vec<Delivery>> {
    let mut window = vec![consumer.next().await?];
    while window.len() < WINDOW {
        match tokio::time::timeout(MORE, consumer.next()).await {
            Ok(delivery) => window.push(delivery?),
            Err(_) => break,
        }
    }
    Ok(window)
}

// === impl Shell ===

impl Shell {
    fn start(url: &str) -> anyhow::Result<Self> {
        let mut child = Command::new("psql")
            .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", url])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let input = child.stdin.take().context("standard input is piped")?;
        let output = child.stdout.take().context("standard output is piped")?;
        Ok(Self { input, output: BufReader::new(output).lines() })
    }

    /// Counts each job, in a transaction of its own.
    async fn count(&mut self, deliveries: &[Delivery]) -> anyhow::Result<()> {
        for Delivery { job: Job { body, .. }, .. } in deliveries {
            let run = body["run"].as_str().context("a probe names its trial")?;
            let n = body["n"].as_u64().context("a probe has a number")?;
            let statement = format!(
                "update dp_probe set times = times + 1 where run = '{run}' and n = {n} returning n;\n"
            );
            self.input.write_all(statement.as_bytes()).await?;
            self.output.next_line().await?.context("the shell has ended")?;
        }
        Ok(())
    }
}
