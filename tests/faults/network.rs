//! A network between the tiers and the broker that cuts and stalls.

use std::time::Duration;

use e2e::{Proxy, Servers, Tier};

use crate::broker::amiss;
use crate::table::{Goal, Table};
use crate::trial::Trial;

/// Times that everything on its way is cut.
const CUTS: u64 = 10;

/// Jobs that must go through after each.
const AFTER: u64 = 200;

/// More than two heartbeats of ten seconds.
const STALL: Duration = Duration::from_secs(25);

/// Cuts, then stalls.
pub(crate) async fn measure(table: &mut Table) {
    let direct = Servers::new().await;
    let proxy = Proxy::start(direct.broker_address()).await;
    let trial = Trial::start_on(direct.through(proxy.address)).await;
    for _ in 0..CUTS {
        proxy.cut();
        amiss(&trial, Tier::Api).await;
        proxy.resume();
        trial.stack.is_ready(Tier::Api).await;
        trial.load.flows(AFTER).await;
    }
    table.figure("times everything on its way was cut", Goal::AtLeast(CUTS), CUTS);
    proxy.stall();
    tokio::time::sleep(STALL).await;
    proxy.resume();
    for tier in [Tier::Api, Tier::Worker] {
        trial.stack.is_ready(tier).await;
    }
    trial.load.flows(AFTER).await;
    trial.end(table).await;
}
