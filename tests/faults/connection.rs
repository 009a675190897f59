//! Connections and channels that the broker closes.

use e2e::{Tier, eventually, signal, unsettled};

use crate::table::{Goal, Table};
use crate::trial::Trial;

/// Times that all connections are closed.
const CLOSES: usize = 5;

/// Jobs that must go through after each.
const AFTER: u64 = 300;

/// An operator closes all connections, again and again.
pub(crate) async fn closed(table: &mut Table) {
    let trial = Trial::start().await;
    for _ in 0..CLOSES {
        trial.servers.rabbitmqctl(&["close_all_connections", "fault suite"]).await;
        trial.load.flows(AFTER).await;
    }
    trial.end(table).await;
}

/// The broker's consumer timeout: a worker that hangs with jobs in its hands loses its channel.
pub(crate) async fn consumer_timeout(table: &mut Table) {
    let servers = e2e::Servers::new().await;
    // Channels take both values when they open.
    let set = |timeout, tick| {
        format!(
            "application:set_env(rabbit, consumer_timeout, {timeout}), \
             application:set_env(rabbit, channel_tick_interval, {tick})."
        )
    };
    servers.rabbitmqctl(&["eval", &set(2_000, 500)]).await;
    let trial = Trial::start_on(servers).await;
    let servers = &trial.servers;
    let worker = eventually("a worker holds jobs", || async {
        let id = trial.stack.process(Tier::Worker).await;
        signal(id, "STOP").await;
        if unsettled(servers, id).await > 0 {
            return Some(id);
        }
        signal(id, "CONT").await;
        None
    })
    .await;
    eventually("the broker has taken them away", || async {
        (unsettled(servers, worker).await == 0).then_some(())
    })
    .await;
    signal(worker, "CONT").await;
    trial.load.flows(AFTER).await;
    let same = trial.stack.processes(Tier::Worker).await.contains(&worker);
    table.figure("workers that outlived it", Goal::Exactly(1), u64::from(same));
    servers.rabbitmqctl(&["eval", &set(1_800_000, 60_000)]).await;
    trial.end(table).await;
}
