//! Crashes under load: whatever is killed, whenever, accepted rows are applied exactly once.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use e2e::{Stack, Tier, eventually, port, signal, unread_bytes};
use tokio::process::Command;

use crate::demo::demo;

/// Kills of each tier that must hit it with work in flight.
const KILLS: usize = 5;

/// Rows of each run that streams meanwhile.
const ROWS: u64 = 300_000;

/// Looks at a stopped process before it is let go again.
const LOOKS: usize = 20;

/// Kills a tier at a moment at which it holds work: it is stopped first, so that what it holds can
/// be looked at, and let go if it holds none.
async fn kill_at_work(stack: &Stack, tier: Tier) {
    let id = stack.process(tier).await;
    eventually("the tier has work in flight", || async {
        // Only control can't be asked once it is stopped: its waiters send nothing.
        let waited_for = tier == Tier::Control && has_waiters(stack).await;
        signal(id, "STOP").await;
        for _ in 0..LOOKS {
            if waited_for || holds_work(stack, tier).await {
                signal(id, "KILL").await;
                return Some(());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        signal(id, "CONT").await;
        None
    })
    .await;
    stack.recovered(tier, id).await;
}

/// Returns whether a stopped tier has a request unread or a batch claimed.
async fn holds_work(stack: &Stack, tier: Tier) -> bool {
    match tier {
        Tier::Edge => unread_bytes(port(stack.ready("https"))) > 0,
        Tier::Api => unread_bytes(port(&stack.address(tier, "public"))) > 0,
        Tier::Worker => claimed_batches(&stack.data().join("store.db")).await > 0,
        Tier::Control => false,
    }
}

async fn has_waiters(stack: &Stack) -> bool {
    let metrics = stack.listener(Tier::Control, "private").get("/metrics").await.text();
    let gauge =
        metrics.lines().find_map(|line| line.strip_prefix("tidegate_control_waiters_count "));
    gauge.and_then(|value| value.parse::<f64>().ok()).is_some_and(|waiters| waiters > 0.0)
}

async fn claimed_batches(store: &Path) -> u64 {
    let statement = "select count(*) from dp_batch where state = 'running'";
    let output = Command::new("sqlite3").arg("-readonly").arg(store).arg(statement).output().await;
    let output = output.expect("the Debian package sqlite3 must be installed");
    String::from_utf8_lossy(&output.stdout).trim().parse().unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_tier_may_be_killed_while_rows_stream() {
    let stack = Stack::start().await;
    let killed = AtomicBool::new(false);
    let kills = async {
        for _ in 0..KILLS {
            for tier in Tier::ALL {
                kill_at_work(&stack, tier).await;
            }
        }
        killed.store(true, Ordering::SeqCst);
    };
    // Runs follow each other until the last kill; each has rows of its own and checks every group.
    let runs = async {
        let mut seed = 100;
        while !killed.load(Ordering::SeqCst) {
            let (code, report, stderr) = demo(&stack, ROWS, seed).await;
            assert_eq!((code, report["ok"].as_bool()), (0, Some(true)), "{report}\n{stderr}");
            seed += 1;
        }
        seed - 100
    };
    let ((), runs) = tokio::join!(kills, runs);
    println!("{} kills over {runs} runs of {ROWS} rows", KILLS * Tier::ALL.len());
}
