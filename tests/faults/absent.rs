//! RabbitMQ is not there when the tiers start.

use bytes::Bytes;
use e2e::{Tier, eventually, signal};
use http::Method;

use crate::broker::amiss;
use crate::table::{Goal, Table};
use crate::trial::Trial;

/// Jobs that must be accepted without a broker, and go through with one.
const JOBS: u64 = 500;

/// A group of a view: answered by the api from the store.
const READ: &str = "/v1/air/views/city_hour/groups?limit=1";

/// Stops the broker, kills api and workers, and sees what their successors can do.
pub(crate) async fn measure(table: &mut Table) {
    let trial = Trial::start().await;
    trial.servers.broker("stop").await;
    for tier in [Tier::Api, Tier::Worker] {
        let before = trial.stack.processes(tier).await;
        for id in &before {
            signal(*id, "KILL").await;
        }
        for id in &before {
            trial.stack.replaced(tier, before.len(), *id).await;
        }
    }
    for tier in [Tier::Api, Tier::Worker] {
        let reason = amiss(&trial, tier).await;
        crate::say(&format!("  {}: {reason}", tier.as_str()));
    }
    let client = trial.stack.client();
    eventually("reads are answered without a broker", || async {
        let reply = client.try_send(Method::GET, READ, &[], Bytes::new()).await.ok()?;
        (reply.status == 200).then_some(())
    })
    .await;
    // None of them can be done before the broker is back.
    trial.load.allow(2 * JOBS);
    trial.load.flows(JOBS).await;
    let waiting = trial.servers.count("select count(*) from dp_outbox").await.unwrap_or(0);
    table.figure("messages that wait for the broker", Goal::AtLeast(1), waiting);
    trial.servers.broker("start").await;
    for tier in [Tier::Api, Tier::Worker] {
        trial.stack.is_ready(tier).await;
    }
    trial.load.flows(JOBS).await;
    trial.end(table).await;
}
