//! `tidegate dlq`: dead letters, read from the store itself, so that it works while a tier is down.

use std::time::Duration;

use anyhow::{Context as _, anyhow};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;
use tidegate_core::clock::{Timestamp, parse_span};
use tidegate_store::{DeadFilter, DeadLetter, DeadState, MAX_LETTERS, SharedStore};

use crate::args::Target;
use crate::failure::Failure;
use crate::output::Output;
use crate::target::{Missing, Place};

/// Look at dead letters: jobs that need a person; put them back, or give them up.
#[derive(Debug, Subcommand)]
#[command(after_long_help = "Examples:\n  \
    tidegate dlq list\n  \
    tidegate dlq show 17\n  \
    tidegate dlq requeue 17 18\n  \
    tidegate dlq requeue --kind refresh --code exhausted --dry-run\n  \
    tidegate dlq discard --all --older-than 7d")]
pub enum Dlq {
    /// List them, oldest first.
    List {
        /// Which.
        #[command(flatten)]
        which: Which,
        /// Those that nobody has decided on, or those that somebody has.
        #[arg(long, default_value = "open")]
        state: State,
        /// Which store.
        #[command(flatten)]
        target: Target,
    },
    /// Show one: why, the chain of errors, headers, payload. Secrets in it are hidden.
    Show {
        /// Its number.
        number: i64,
        /// Which store.
        #[command(flatten)]
        target: Target,
    },
    /// Put jobs back on their queues, once the cause is mended.
    ///
    /// A job keeps its id and gets a new generation, so that its effect can happen although it was
    /// tried before.
    Requeue(Decide),
    /// Give jobs up. Their letters can be read for another 30 days.
    Discard(Decide),
}

/// Which letters.
#[derive(Clone, Debug, Default, Args)]
pub struct Which {
    /// Numbers, as `list` shows them.
    pub numbers: Vec<i64>,
    /// Only jobs of this kind.
    #[arg(long)]
    pub kind: Option<String>,
    /// Only those that died of this: malformed, `unknown_kind`, permanent, exhausted, crashed, …
    #[arg(long)]
    pub code: Option<String>,
    /// Only those of this product.
    #[arg(long)]
    pub product: Option<String>,
    /// Only those of this tenant.
    #[arg(long)]
    pub tenant: Option<String>,
    /// Only those that died longer ago than this, such as 30m or 7d.
    #[arg(long, value_name = "SPAN", value_parser = span)]
    pub older_than: Option<Duration>,
    /// Only those that died within this, such as 30m or 7d.
    #[arg(long, value_name = "SPAN", value_parser = span)]
    pub newer_than: Option<Duration>,
    /// At most so many.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub limit: u32,
}

/// Which letters to decide on.
#[derive(Clone, Debug, Args)]
pub struct Decide {
    /// Which.
    #[command(flatten)]
    pub which: Which,
    /// Without a number or filter: all that are open.
    #[arg(long)]
    pub all: bool,
    /// Only say what would be done.
    #[arg(long)]
    pub dry_run: bool,
    /// Which store.
    #[command(flatten)]
    pub target: Target,
}

/// What became of letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum State {
    /// Nobody has decided.
    Open,
    /// Put back.
    Requeued,
    /// Given up.
    Discarded,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Decision {
    Requeue,
    Discard,
}

/// Runs a command.
///
/// # Errors
/// The store can't be opened, or there is no such letter.
pub async fn run(command: Dlq, output: Output) -> Result<(), Failure> {
    match command {
        Dlq::List { which, state, target } => list(&which, state, &target, output).await,
        Dlq::Show { number, target } => show(number, &target, output).await,
        Dlq::Requeue(words) => decide(words, Decision::Requeue, output).await,
        Dlq::Discard(words) => decide(words, Decision::Discard, output).await,
    }
}

async fn list(which: &Which, state: State, target: &Target, output: Output) -> Result<(), Failure> {
    let store = open(target).await?;
    let filter = DeadFilter { state: state.into(), ..which.filter(Timestamp::now()) };
    let letters = store.dead_letters(&filter).await.context("dead letters can't be read")?;
    for letter in &letters {
        output.result(&line(letter), letter)?;
    }
    let all = store.count_dead(&filter).await.context("dead letters can't be counted")?;
    let shown = letters.len() as u64;
    if output == Output::Text {
        let summary = match (shown, all) {
            (_, 0) => "no dead letters".to_owned(),
            (shown, all) if shown < all => {
                format!("{shown} of {all}; --limit shows more, filters show others")
            }
            (_, all) => format!("{all} dead letters; `tidegate dlq show NUMBER` tells more"),
        };
        output.result(&summary, &())?;
    }
    Ok(())
}

async fn show(number: i64, target: &Target, output: Output) -> Result<(), Failure> {
    let store = open(target).await?;
    let letter = find(&store, number).await?.ok_or_else(|| {
        Failure::failed(anyhow!(
            "there is no dead letter {number}; `tidegate dlq list` shows those that are open"
        ))
    })?;
    output.result(&described(&letter), &letter)?;
    Ok(())
}

async fn find(store: &SharedStore, number: i64) -> Result<Option<DeadLetter>, Failure> {
    for state in [DeadState::Open, DeadState::Requeued, DeadState::Discarded] {
        let filter = DeadFilter { numbers: vec![number], state, limit: 1, ..DeadFilter::default() };
        let mut found = store.dead_letters(&filter).await.context("it can't be read")?;
        if let Some(letter) = found.pop() {
            return Ok(Some(letter));
        }
    }
    Ok(None)
}

async fn decide(words: Decide, decision: Decision, output: Output) -> Result<(), Failure> {
    let Decide { which, all, dry_run, target } = words;
    if !which.is_narrowed() && !all {
        return Err(Failure::usage(anyhow!(
            "say which: numbers, a filter such as --kind, or --all for every open letter"
        )));
    }
    let store = open(&target).await?;
    let now = Timestamp::now();
    // Numbers are an exact wish; so is --all.
    let limit = if all || !which.numbers.is_empty() { MAX_LETTERS } else { which.limit as usize };
    let filter = DeadFilter { limit, ..which.filter(now) };
    let matched = store.count_dead(&filter).await.context("dead letters can't be counted")?;
    let by = operator();
    let decided = match (dry_run, decision) {
        (true, _) => Ok(0),
        (false, Decision::Requeue) => store.requeue_dead(&filter, &by, now).await,
        (false, Decision::Discard) => store.discard_dead(&filter, &by, now).await,
    }
    .context("nothing was decided")?;
    let done = match decision {
        Decision::Requeue => "requeued",
        Decision::Discard => "discarded",
    };
    let text = match (dry_run, decided < matched) {
        (true, _) => format!("{matched} would be {done}"),
        (false, true) => format!(
            "{done}: {decided} of {matched}; run it again for the rest. Letters whose message can't \
             be read as a job can only be discarded"
        ),
        (false, false) => format!("{done}: {decided}"),
    };
    let value = json!({ "matched": matched, "decided": decided, "dry_run": dry_run });
    output.result(&text, &value)?;
    Ok(())
}

async fn open(target: &Target) -> Result<SharedStore, Failure> {
    Ok(Place::find(target)?.open(Missing::Refuse).await?)
}

/// Names the person for the record: the login name, if the system tells it.
fn operator() -> String {
    let name = ["SUDO_USER", "USER", "LOGNAME"].into_iter().find_map(std::env::var_os);
    let name = name.map(|name| name.to_string_lossy().into_owned()).filter(|name| !name.is_empty());
    name.unwrap_or_else(|| "cli".to_owned())
}

fn span(text: &str) -> Result<Duration, String> {
    parse_span(text).ok_or_else(|| "write a span such as 30m, 12h or 7d".to_owned())
}

/// Returns a letter as one line of a list.
fn line(letter: &DeadLetter) -> String {
    let kind = letter.kind.as_deref().unwrap_or("(unreadable)");
    let whose = match (&letter.tenant, &letter.product) {
        (Some(tenant), Some(product)) => format!("{tenant}/{product}"),
        _ => "-".to_owned(),
    };
    let reason: String = letter.reason.chars().take(100).collect();
    format!(
        "{:>6}  {}  {kind:10}  {whose:16}  {:>2} attempts  {reason}",
        letter.no,
        letter.died_at.to_rfc3339(),
        letter.attempts
    )
}

/// Returns all about a letter.
fn described(letter: &DeadLetter) -> String {
    let mut text = format!("{}\n", line(letter).trim_start());
    let mut add = |name: &str, value: String| {
        if !value.is_empty() {
            text.push_str(&format!("  {name:12} {value}\n"));
        }
    };
    add("job", letter.job.map(|job| job.to_string()).unwrap_or_default());
    add("generation", letter.generation.to_string());
    add("lane", letter.lane.map(|lane| lane.to_string()).unwrap_or_default());
    add("release", letter.release.clone().unwrap_or_default());
    add("reason", letter.reason.clone());
    for error in &letter.error_chain {
        add("caused by", error.clone());
    }
    add("headers", letter.headers.to_string());
    add("payload", letter.payload.to_string());
    let decision = match (letter.decided_at, &letter.decided_by) {
        (Some(at), Some(by)) => format!("{} by {by}, {}", word(letter.state), at.to_rfc3339()),
        _ => word(letter.state).to_owned(),
    };
    add("state", decision);
    text.truncate(text.trim_end().len());
    text
}

fn word(state: DeadState) -> &'static str {
    match state {
        DeadState::Open => "open",
        DeadState::Requeued => "requeued",
        DeadState::Discarded => "discarded",
    }
}

// === impl Which ===

impl Which {
    fn is_narrowed(&self) -> bool {
        !self.numbers.is_empty()
            || self.kind.is_some()
            || self.code.is_some()
            || self.product.is_some()
            || self.tenant.is_some()
            || self.older_than.is_some()
            || self.newer_than.is_some()
    }

    fn filter(&self, now: Timestamp) -> DeadFilter {
        DeadFilter {
            product: self.product.clone(),
            tenant: self.tenant.clone(),
            kind: self.kind.clone(),
            code: self.code.clone(),
            older_than: self.older_than.map(|span| now.before(span)),
            newer_than: self.newer_than.map(|span| now.before(span)),
            numbers: self.numbers.clone(),
            limit: self.limit as usize,
            ..DeadFilter::default()
        }
    }
}

// === impl State ===

impl From<State> for DeadState {
    fn from(state: State) -> Self {
        match state {
            State::Open => Self::Open,
            State::Requeued => Self::Requeued,
            State::Discarded => Self::Discarded,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_decided_by_accident() {
        assert!(!Which::default().is_narrowed());
        assert!(Which { numbers: vec![1], ..Which::default() }.is_narrowed());
        assert!(Which { code: Some("exhausted".to_owned()), ..Which::default() }.is_narrowed());
    }

    #[test]
    fn spans_become_times_before_now() {
        let which = Which { older_than: Some(Duration::from_secs(60)), ..Which::default() };
        let filter = which.filter(Timestamp(100_000_000));
        assert_eq!((filter.older_than, filter.newer_than), (Some(Timestamp(40_000_000)), None));
        assert!(span("7d").is_ok() && span("soon").is_err());
    }
}
