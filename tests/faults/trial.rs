//! A stack under load, and what became of the load.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use e2e::{Load, Mix, Servers, Stack, Tally};
use tokio::task::JoinHandle;

use crate::table::{Goal, Table};

/// Views of the demo's product.
const VIEWS: [&str; 2] = ["city_hour", "station_day"];

/// Jobs that must go through before anything is broken.
const WARM: u64 = 500;

/// Rows of one run of the demo, which checks every group of every view in the end.
const ROWS: u64 = 20_000;

/// Seed of the first run; each has rows of its own.
const FIRST_SEED: u64 = 100;

/// A stack with two workers, probes and rows.
pub(crate) struct Trial {
    pub(crate) servers: Servers,
    pub(crate) stack: Arc<Stack>,
    pub(crate) load: Load,
    rows: Rows,
}

/// Runs of the demo that follow each other.
struct Rows {
    stop: Arc<AtomicBool>,
    task: JoinHandle<Runs>,
}

/// How they ended.
#[derive(Clone, Copy, Debug, Default)]
struct Runs {
    exact: u64,
    wrong: u64,
}

// === impl Trial ===

impl Trial {
    /// Starts a stack, and the load; returns when both run.
    pub(crate) async fn start() -> Self {
        Self::start_on(Servers::new().await).await
    }

    /// The same, on servers that were chosen already.
    pub(crate) async fn start_on(servers: Servers) -> Self {
        let stack = Arc::new(Stack::start_on(&servers, &["--workers", "2"]).await);
        let load = Load::start(&stack, &servers, Mix::Flaky);
        let rows = Rows::start(Arc::clone(&stack));
        let trial = Self { servers, stack, load, rows };
        trial.load.flows(WARM).await;
        trial
    }

    /// Ends the load, waits until all of it is done, and counts.
    pub(crate) async fn end(self, table: &mut Table) {
        let Self { servers, stack, load, rows } = self;
        let runs = rows.end().await;
        let puts = load.stop().await;
        let tally = Tally::settled(&servers, &puts).await;
        table.figure("jobs accepted", Goal::AtLeast(WARM), tally.accepted);
        table.figure("jobs lost", Goal::Exactly(0), tally.lost);
        table.figure("effects done twice", Goal::Exactly(0), tally.duplicated);
        let rows = "runs of rows, each row applied once and every view exact";
        table.figure(rows, Goal::AtLeast(1), runs.exact);
        table.figure("runs of rows that were not", Goal::Exactly(0), runs.wrong);
        table.figure(
            "views that differ from their recomputation",
            Goal::Exactly(0),
            drifted(&stack).await,
        );
        let left = tally.batches + tally.failed + tally.outbox;
        table.figure("batches and messages left over", Goal::Exactly(0), left);
        table.figure("dead letters", Goal::Exactly(0), tally.dead);
    }
}

/// Returns how many views are not as their rows say.
async fn drifted(stack: &Stack) -> u64 {
    let mut drifted = 0;
    for view in VIEWS {
        let words = ["jobs", "reconcile", "air", view, "--report-only", "--wait"];
        let reconciled = stack.command(&words).await;
        if reconciled.code != 0 {
            crate::say(&format!("  {view}: {} {}", reconciled.stdout, reconciled.stderr));
            drifted += 1;
        }
    }
    drifted
}

// === impl Rows ===

impl Rows {
    fn start(stack: Arc<Stack>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let task = tokio::spawn(stream(stack, Arc::clone(&stop)));
        Self { stop, task }
    }

    /// Lets the run that is under way end, which tells whether all before it was right.
    async fn end(self) -> Runs {
        self.stop.store(true, Ordering::SeqCst);
        self.task.await.expect("the runs must not panic")
    }
}

async fn stream(stack: Arc<Stack>, stop: Arc<AtomicBool>) -> Runs {
    let mut runs = Runs::default();
    let rows = ROWS.to_string();
    for seed in FIRST_SEED.. {
        if stop.load(Ordering::SeqCst) {
            break;
        }
        let seed = seed.to_string();
        let words = ["demo", "air", "--rows", &rows, "--seed", &seed, "--json"];
        let ended = stack.command(&words).await;
        if ended.code == 0 && ended.json()["ok"] == true {
            runs.exact += 1;
        } else {
            crate::say(&format!("  rows, seed {seed}: {} {}", ended.stdout, ended.stderr));
            runs.wrong += 1;
        }
    }
    runs
}
