//! A broker that lacks memory, loses its queues, or hangs.

use std::time::Duration;

use bytes::Bytes;
use e2e::{Tier, eventually};
use http::Method;

use crate::table::{Goal, Table};
use crate::trial::Trial;

/// Jobs that must go through after each fault.
const AFTER: u64 = 300;

/// More than two heartbeats of ten seconds: both sides take the other for dead.
const HANG: Duration = Duration::from_secs(25);

/// Lanes that the load uses.
const LANES: [&str; 3] = ["high", "default", "low"];

/// The memory alarm: publishers are blocked, acknowledgements too.
pub(crate) async fn alarm(table: &mut Table) {
    let trial = Trial::start().await;
    let limit = "set_vm_memory_high_watermark";
    trial.servers.rabbitmqctl(&[limit, "0.00001"]).await;
    let reason = amiss(&trial, Tier::Api).await;
    crate::say(&format!("  api: {reason}"));
    // What the store accepts waits in the outbox.
    trial.load.flows(AFTER).await;
    let waiting = eventually("messages wait in the outbox", || async {
        trial.servers.count("select count(*) from dp_outbox").await.filter(|waiting| *waiting > 0)
    })
    .await;
    table.figure("messages that wait for the alarm to end", Goal::AtLeast(1), waiting);
    trial.servers.rabbitmqctl(&[limit, "absolute", "1GB"]).await;
    for tier in [Tier::Api, Tier::Worker] {
        trial.stack.is_ready(tier).await;
    }
    trial.load.flows(AFTER).await;
    trial.end(table).await;
}

/// Waits until a tier says what it can't do without its queue, and returns what it says.
pub(crate) async fn amiss(trial: &Trial, tier: Tier) -> String {
    let private = trial.stack.listener(tier, "private");
    eventually("the tier says that its queue is away", || async {
        let reply = private.try_send(Method::GET, "/readyz", &[], Bytes::new()).await.ok()?;
        let text = reply.text();
        text.contains("queue").then_some(text)
    })
    .await
}

/// Queues that are deleted under their consumers: what was in them is gone from the broker.
pub(crate) async fn queues_deleted(table: &mut Table) {
    let trial = Trial::start().await;
    let servers = &trial.servers;
    for lane in LANES {
        let queue = format!("{}.q.{lane}.v1", servers.prefix);
        servers.rabbitmqctl(&["delete_queue", &queue]).await;
        eventually("the queue is declared again", || async {
            let listed = servers.rabbitmqctl(&["list_queues", "-q", "name"]).await;
            listed.lines().any(|line| line.trim() == queue).then_some(())
        })
        .await;
    }
    trial.load.flows(AFTER).await;
    // Batches are missed after half a minute, other jobs after ten: those are made that old.
    let age = "with old as (update dp_job set touched_at = touched_at - 601000000
                where state = 'accepted' and run_at is null returning 1) select count(*) from old";
    let aged = servers.count(age).await.unwrap_or(0);
    table.figure("jobs made as old as forgotten ones", Goal::None, aged);
    trial.end(table).await;
}

/// A broker that hangs for longer than two heartbeats.
pub(crate) async fn paused(table: &mut Table) {
    let trial = Trial::start().await;
    trial.servers.broker("pause").await;
    tokio::time::sleep(HANG).await;
    trial.servers.broker("resume").await;
    for tier in [Tier::Api, Tier::Worker] {
        trial.stack.is_ready(tier).await;
    }
    trial.load.flows(AFTER).await;
    trial.end(table).await;
}
