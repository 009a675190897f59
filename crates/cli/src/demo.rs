//! The demo: generated rows through the edge, then every view checked against their own totals.
//!
//! Nothing here knows the product's rules: what must come out is computed from what was generated.
//! Modules stand in the order in which a run meets them.

mod random;

mod air;

mod board;
mod patience;

mod feed;
mod ingest;
mod progress;
mod settle;
mod watch;

mod decimal;
mod endpoint;
mod groups;
mod quiet;
mod verify;

mod report;

use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use clap::ValueEnum;
use tidegate_core::clock::Timestamp;
use tokio::time::Instant;

use crate::client::Client;
use crate::failure::Failure;
use crate::output::Output;
use crate::reach::Reach;

use air::plan::Plan;
use air::totals::Totals;
use board::Board;
use groups::View;
use ingest::Sender;
use patience::Patience;
use quiet::Before;
use report::{Report, Speed};
use settle::Counts;
use verify::{Baseline, Check, Expected, History};

/// The words of `tidegate demo`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which demo product.
    pub product: Product,
    /// Rows to send, bad ones and repetitions included.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub rows: u64,
    /// Seed: the same seed and start give the same rows.
    #[arg(long, default_value_t = 7)]
    pub seed: u64,
    /// Which edge.
    #[command(flatten)]
    pub reach: Reach,
    /// Rows in one request.
    #[arg(long, value_name = "ROWS", default_value_t = 5_000,
          value_parser = clap::value_parser!(u32).range(1..=50_000))]
    pub batch: u32,
    /// Requests under way at once.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub concurrency: u16,
    /// First hour of the readings, RFC 3339. Default: so that the last one lies in the day before
    /// yesterday.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub start: Option<Timestamp>,
}

/// A demo product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Product {
    /// Air quality: hourly readings of forty cities.
    Air,
}

/// What streaming gave.
struct Streamed {
    totals: Totals,
    counts: Counts,
    board: Arc<Board>,
    seconds: f64,
}

fn parse_time(text: &str) -> Result<Timestamp, String> {
    Timestamp::parse_rfc3339(text).ok_or_else(|| "write a time such as 2026-11-01T00:00:00Z".into())
}

/// Runs the demo.
///
/// # Errors
/// A total differs, or the edge can't be reached or does not serve the product.
pub async fn run(args: Args, output: Output) -> Result<(), Failure> {
    let plan =
        Plan::new(args.seed, args.rows, args.start, Timestamp::now()).map_err(Failure::usage)?;
    let client = args.reach.client()?;
    // Asked with little patience, so that a wrong URL, token or product is told at once.
    groups::sequence(&client, &Patience::for_first_request()).await?;

    let patience = Arc::new(Patience::new());
    let before = quiet::before(&client, &patience).await?;
    let streamed = stream(&args, &plan, &client, &patience).await?;
    let report = check(&plan, &client, &patience, streamed, before).await?;
    output.result(&report.text(), &report)?;
    report.outcome()
}

/// Sends all rows and waits until each of their jobs has ended.
async fn stream(
    args: &Args,
    plan: &Plan,
    client: &Client,
    patience: &Arc<Patience>,
) -> Result<Streamed, Failure> {
    let board = Arc::new(Board::new(plan.rows));
    let (jobs, accepted) = settle::channel();
    let mut feed = feed::start(*plan, args.batch);
    let started = Instant::now();
    let sender = Sender {
        client: client.clone(),
        patience: Arc::clone(patience),
        board: Arc::clone(&board),
        jobs,
    };
    let settling =
        settle::settle_all(client.clone(), accepted, Arc::clone(patience), Arc::clone(&board));
    let work = async {
        let sending = sender.send_all(&mut feed, usize::from(args.concurrency));
        tokio::try_join!(sending, settling)
    };
    let ((), counts) = tokio::select! {
        done = work => done?,
        never = progress::show(&board) => match never {},
        never = watch::read(client, plan, &board) => match never {},
    };
    let seconds = started.elapsed().as_secs_f64();
    let totals = feed.totals().await?;
    Ok(Streamed { totals, counts, board, seconds })
}

/// Compares every group of every view, and one endpoint's answer, with the generator's totals.
async fn check(
    plan: &Plan,
    client: &Client,
    patience: &Patience,
    streamed: Streamed,
    before: Before,
) -> Result<Report, Failure> {
    let history = verify::history(&streamed.totals.sent(), &streamed.counts);
    if history == History::Mixed && !before.views.iter().all(Baseline::is_empty) {
        return Err(Failure::unverified(anyhow!(
            "the counts ({}) show that some rows of this run were there before and some were not: \
             an earlier run of this seed was interrupted or shorter, so what the views held before \
             can't be told from this run; use another --seed",
            streamed.counts
        )));
    }
    // A batch of duplicates takes no sequence: what moved it was not this run.
    if history == History::Replayed && groups::sequence(client, patience).await? != before.sequence
    {
        return Err(Failure::unverified(anyhow!(
            "rows that were sent before, or by others, were applied during this run, so what the \
             views held before can't be told; run it again"
        )));
    }
    let mut checks = Vec::new();
    let mut series = None;
    for baseline in before.views {
        let expected = Expected::new(baseline, &streamed.totals, history);
        if expected.view() == View::CityHour {
            series = Some(endpoint::Series::choose(plan, &expected));
        }
        let mut check = Check::new(expected);
        groups::list(client, check.view(), patience, |key, listed| check.compare(&key, &listed))
            .await?;
        checks.push(check.finish());
    }
    let series = series.context("the view city_hour must be checked")?;
    let endpoint = series.check(client, patience).await?;
    let Streamed { totals, counts, board, seconds } = streamed;
    Ok(Report {
        speed: Speed {
            rows: plan.rows,
            seconds,
            hit_ratio: board.hit_ratio(),
            reads: board.reads(),
            retries: patience.retries(),
        },
        sent: totals.sent(),
        counts,
        history,
        checks,
        endpoint,
    })
}
