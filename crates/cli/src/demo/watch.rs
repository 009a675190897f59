//! A light reader that asks for a few series all the time, as a dashboard does.

use std::convert::Infallible;
use std::time::Duration;

use http::StatusCode;
use tokio::time::MissedTickBehavior;

use super::air::plan::{DAY_HOURS, Hour, Plan};
use super::board::{Board, Hit};
use crate::client::Client;

/// Cities that the reader shows.
const CITIES: [&str; 4] = ["oslo", "paris", "rome", "vienna"];

/// Time between two reads: two hundred in a second at most.
const EVERY: Duration = Duration::from_millis(5);

/// Reads until it is dropped.
pub(crate) async fn read(client: &Client, plan: &Plan, board: &Board) -> Infallible {
    let end = Hour(plan.start.0 + DAY_HOURS);
    let (from, to) = (plan.start.to_rfc3339(), end.to_rfc3339());
    let paths = CITIES.map(|city| format!("/v1/air/cities/{city}/series?from={from}&to={to}"));
    let mut turns = tokio::time::interval(EVERY);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for path in paths.iter().cycle() {
        turns.tick().await;
        // A read that fails is the servers' business here, not ours: the checks come later.
        if let Ok(reply) = client.get(path).await
            && reply.status == StatusCode::OK
        {
            board.read(Hit::of(reply.header("cache-status")));
        }
    }
    unreachable!("a cycle of paths never ends")
}
