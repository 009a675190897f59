//! `tidegate probe`: jobs that count themselves, from the api through the queue to the store.

use anyhow::anyhow;
use bytes::Bytes;
use clap::ValueEnum;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, StatusCode};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use tokio::time::{Duration, Instant, sleep};

use crate::client::{Client, ClientError, Remedy};
use crate::failure::Failure;
use crate::jobs::refused;
use crate::output::{self, Output};
use crate::reach::Reach;

/// Time between two looks at the tally.
const LOOK: Duration = Duration::from_millis(200);

/// Jobs in one request.
const CHUNK: u32 = 10_000;

/// The words of `tidegate probe`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:\n  \
    tidegate probe --jobs 20000              all must count once\n  \
    tidegate probe --jobs 1 --outcome poison must end as a dead letter: see `tidegate dlq list`")]
pub struct Args {
    /// Jobs to put.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub jobs: u32,
    /// The product in whose name they run.
    #[arg(long, default_value = "air")]
    pub product: String,
    /// The lane they wait in: high, default or low.
    #[arg(long, default_value = "default")]
    pub lane: String,
    /// What becomes of them.
    #[arg(long, default_value = "ok")]
    pub outcome: Outcome,
    /// Longest wait for all of them, in seconds.
    #[arg(long, default_value_t = 60)]
    pub timeout: u64,
    /// Which edge.
    #[command(flatten)]
    pub reach: Reach,
}

/// What becomes of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Outcome {
    /// It counts itself.
    Ok,
    /// It fails for good: a dead letter.
    Fail,
    /// It fails once, then counts itself.
    Flaky,
    /// It fails until its retries are used up: a dead letter.
    Poison,
    /// It panics, until its retries are used up: a dead letter.
    Panic,
}

/// What came of a trial.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tally {
    done: u64,
    duplicated: u64,
}

/// Puts the jobs, waits, and tells what came of them.
///
/// # Errors
/// Jobs were lost or counted twice (status 1), or the edge can't be reached (status 2).
pub async fn run(args: Args, output: Output) -> Result<(), Failure> {
    let client = args.reach.client()?;
    let started = Instant::now();
    let runs = put(&args, &client).await?;
    let put_in = started.elapsed();
    if !counts(args.outcome) {
        let text = format!(
            "{} jobs put; they count nothing: `tidegate dlq list` shows what becomes of them",
            args.jobs
        );
        output.result(&text, &json!({ "runs": runs, "jobs": args.jobs }))?;
        return Ok(());
    }
    let tally = wait(&args, &client, &runs, started).await?;
    let took = started.elapsed().as_secs_f64();
    let lost = u64::from(args.jobs).saturating_sub(tally.done);
    let text = format!(
        "{} jobs: {} done, {lost} lost, {} counted twice; {:.0} jobs/s (put in {:.1} s, done in \
         {took:.1} s)",
        args.jobs,
        tally.done,
        tally.duplicated,
        f64::from(args.jobs) / took,
        put_in.as_secs_f64()
    );
    let value = json!({
        "runs": runs, "jobs": args.jobs, "done": tally.done, "lost": lost,
        "duplicated": tally.duplicated, "seconds": took,
    });
    output.result(&text, &value)?;
    if lost == 0 && tally.duplicated == 0 {
        return Ok(());
    }
    Err(Failure::failed(anyhow!(
        "{lost} jobs were not done within {} s, {} were counted twice; `tidegate dlq list` and \
         /readyz of the worker tell more",
        args.timeout,
        tally.duplicated
    )))
}

fn counts(outcome: Outcome) -> bool {
    match outcome {
        Outcome::Ok | Outcome::Flaky => true,
        Outcome::Fail | Outcome::Poison | Outcome::Panic => false,
    }
}

/// Puts the jobs in several trials, as one request is bounded.
async fn put(args: &Args, client: &Client) -> Result<Vec<String>, Failure> {
    let path = format!("/v1/{}/probes", args.product);
    let outcome = args.outcome.to_possible_value().map(|value| value.get_name().to_owned());
    let mut runs = Vec::new();
    let mut left = args.jobs;
    while left > 0 {
        let jobs = left.min(CHUNK);
        let body = json!({ "jobs": jobs, "lane": args.lane, "outcome": outcome }).to_string();
        let json = (CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let reply = client
            .send(Method::POST, &path, &[json], Bytes::from(body))
            .await
            .map_err(ClientError::into_failure)?;
        if reply.status != StatusCode::ACCEPTED {
            return Err(refused(&reply));
        }
        let receipt: Value = serde_json::from_slice(&reply.body)?;
        runs.push(receipt["run"].as_str().unwrap_or_default().to_owned());
        left -= jobs;
    }
    Ok(runs)
}

/// Looks at the tallies until all jobs are done or the time is over.
async fn wait(
    args: &Args,
    client: &Client,
    runs: &[String],
    started: Instant,
) -> Result<Tally, Failure> {
    let bar = ProgressBar::new(u64::from(args.jobs));
    if !output::stderr_is_terminal() {
        bar.set_draw_target(indicatif::ProgressDrawTarget::hidden());
    }
    bar.set_style(
        ProgressStyle::with_template("{bar:30} {pos}/{len} jobs, {per_sec}, {eta} left")
            .unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    let deadline = started + Duration::from_secs(args.timeout);
    loop {
        let tally = tally(args, client, runs).await?;
        bar.set_position(tally.done);
        if tally.done >= u64::from(args.jobs) || Instant::now() >= deadline {
            bar.finish_and_clear();
            return Ok(tally);
        }
        sleep(LOOK).await;
    }
}

async fn tally(args: &Args, client: &Client, runs: &[String]) -> Result<Tally, Failure> {
    let mut sum = Tally::default();
    for run in runs {
        let reply = match client.get(&format!("/v1/{}/probes/{run}", args.product)).await {
            Ok(reply) => reply,
            // A tier that restarts meanwhile is no reason to give up.
            Err(error) if error.remedy() == Remedy::Retry => continue,
            Err(error) => return Err(error.into_failure()),
        };
        if reply.status.is_server_error() {
            continue;
        }
        if reply.status != StatusCode::OK {
            return Err(refused(&reply));
        }
        let tally: Value = serde_json::from_slice(&reply.body)?;
        sum.done += tally["done"].as_u64().unwrap_or(0);
        sum.duplicated += tally["duplicated"].as_u64().unwrap_or(0);
    }
    Ok(sum)
}
