//! PostgreSQL is away for half a minute while rows and jobs come in.

use std::time::Duration;

use e2e::Tier;

use crate::table::{Goal, Table};
use crate::trial::Trial;

/// How long it is away.
const AWAY: Duration = Duration::from_secs(30);

/// Jobs that must go through afterwards.
const AFTER: u64 = 300;

/// Kills the server, and starts it again.
pub(crate) async fn measure(table: &mut Table) {
    let trial = Trial::start().await;
    let waits = trial.load.asked_to_wait();
    let refused = trial.load.refused();
    trial.servers.postgres("kill").await;
    tokio::time::sleep(AWAY).await;
    let waits = trial.load.asked_to_wait() - waits;
    // One may have been under way when the server died, and one may be now.
    let others = (trial.load.refused() - refused).saturating_sub(waits);
    trial.servers.postgres("start").await;
    table.figure("requests refused with 503 and Retry-After", Goal::AtLeast(1), waits);
    table.figure("requests refused in another way", Goal::AtMost(2), others);
    for tier in [Tier::Api, Tier::Worker] {
        trial.stack.is_ready(tier).await;
    }
    trial.load.flows(AFTER).await;
    trial.end(table).await;
}
