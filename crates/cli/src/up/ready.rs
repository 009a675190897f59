//! Waits until every tier says that it is ready.

use std::net::SocketAddr;
use std::time::Duration;

use serde::Deserialize;
use tidegate_core::config::EXIT_USAGE;
use tidegate_core::shutdown::Shutdown;
use tokio::time::{Instant, MissedTickBehavior};

use crate::output;
use crate::up::fetch;
use crate::up::ports::Ports;
use crate::up::supervise::{Ended, Supervisor};
use crate::up::tier::Tier;

/// Longest start.
const TIMEOUT: Duration = Duration::from_secs(30);

/// How long the tiers may be without their queue before the stack is shown all the same: they go
/// on by themselves once it answers.
const QUEUE_PATIENCE: Duration = Duration::from_secs(5);

/// Checks that fail with the queue.
const OF_THE_QUEUE: [&str; 3] = ["queue", "notices", "consumers"];

/// Time between two looks.
const EVERY: Duration = Duration::from_millis(10);

/// A tier that ends this often during the start will not get better.
const MAX_ENDS: usize = 3;

/// Why the stack is not ready.
#[derive(Debug)]
pub(crate) enum NotReady {
    /// It was asked to stop before.
    Stopped,
    /// It can't become ready.
    Failed(anyhow::Error),
}

/// What a tier says of itself.
#[derive(Debug, PartialEq, Eq)]
enum Look {
    Ready,
    /// It lacks its queue, and nothing else.
    WithoutQueue(String),
    Unready(String),
}

/// A readiness answer.
#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    failed: Vec<FailedCheck>,
    #[serde(default)]
    degraded: Vec<FailedCheck>,
}

#[derive(Deserialize)]
struct FailedCheck {
    check: String,
    reason: String,
}

/// Waits until all tiers are ready; tells which of them go on without their queue.
pub(crate) async fn wait(
    ports: &Ports,
    supervisor: &mut Supervisor,
    stop: &Shutdown,
) -> Result<(), NotReady> {
    let tiers = Tier::STOP_ORDER.map(|tier| (tier, ports.private(tier)));
    tokio::select! {
        looked = all_ready(&tiers) => match looked {
            Ok(lacking) => {
                tell(&lacking);
                Ok(())
            }
            Err(reason) => Err(NotReady::Failed(anyhow::anyhow!(
                "not ready after {} s: {reason}; the lines above say more",
                TIMEOUT.as_secs()
            ))),
        },
        error = hopeless(supervisor) => Err(NotReady::Failed(error)),
        () = stop.cancelled() => Err(NotReady::Stopped),
    }
}

/// Tells a person which tiers go on without their queue.
fn tell(lacking: &[String]) {
    for lack in lacking {
        output::note(&format!("{lack}; it goes on by itself once the queue answers"));
    }
}

/// Returns once all are ready or lack but their queue, or what is missing at the deadline.
async fn all_ready(tiers: &[(Tier, SocketAddr)]) -> Result<Vec<String>, String> {
    let begun = Instant::now();
    let mut lacking = Vec::new();
    // One after the other: a tier that is ready stays so, and the slowest one decides anyway.
    for (tier, address) in tiers {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            match look(*address).await {
                Look::Ready => break,
                Look::WithoutQueue(reason) if begun.elapsed() >= QUEUE_PATIENCE => {
                    lacking.push(format!("{}: {reason}", tier.as_str()));
                    break;
                }
                Look::Unready(reason) if begun.elapsed() >= TIMEOUT => {
                    return Err(format!("{}: {reason}", tier.as_str()));
                }
                Look::WithoutQueue(_) | Look::Unready(_) => {}
            }
        }
    }
    Ok(lacking)
}

/// Returns once a tier can't start at all.
async fn hopeless(supervisor: &mut Supervisor) -> anyhow::Error {
    let mut ends: Vec<Ended> = Vec::new();
    loop {
        let ended = supervisor.ended().await;
        ends.push(ended);
        let tier = ended.tier.as_str();
        if ended.code == Some(i32::from(EXIT_USAGE)) {
            return anyhow::anyhow!("{tier} refused its configuration; the lines above say why");
        }
        if ends.iter().filter(|other| other.tier == ended.tier).count() >= MAX_ENDS {
            return anyhow::anyhow!("{tier} ends again and again; the lines above say why");
        }
    }
}

/// Asks a tier once.
async fn look(address: SocketAddr) -> Look {
    match fetch::get(address, "/readyz").await {
        Ok((status, body)) => read(status, &body),
        Err(error) => Look::Unready(error),
    }
}

/// Tells what an answer says, with the checks that failed.
fn read(status: http::StatusCode, body: &[u8]) -> Look {
    let Ok(answer) = serde_json::from_slice::<Answer>(body) else {
        return Look::Unready(format!("it answers with status {status}"));
    };
    let amiss: Vec<_> = answer.failed.iter().chain(&answer.degraded).collect();
    let reasons: Vec<_> =
        amiss.iter().map(|failed| format!("{}: {}", failed.check, failed.reason)).collect();
    if amiss.is_empty() && status == http::StatusCode::OK {
        return Look::Ready;
    }
    if !amiss.is_empty() && amiss.iter().all(|failed| OF_THE_QUEUE.contains(&&*failed.check)) {
        return Look::WithoutQueue(reasons.join(", "));
    }
    Look::Unready(reasons.join(", "))
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    #[test]
    fn a_tier_that_answers_well_is_ready() {
        assert_eq!(read(StatusCode::OK, br#"{"ready":true}"#), Look::Ready);
    }

    #[test]
    fn failed_checks_are_named() {
        let unavailable = StatusCode::SERVICE_UNAVAILABLE;
        let body = br#"{"ready":false,"failed":[{"check":"routing","reason":"no document"}]}"#;
        assert_eq!(read(unavailable, body), Look::Unready("routing: no document".to_owned()));
        let garbage = "it answers with status 503 Service Unavailable".to_owned();
        assert_eq!(read(unavailable, b"<html>"), Look::Unready(garbage));
    }

    #[test]
    fn a_tier_that_lacks_but_its_queue_is_told_from_others() {
        let degraded = br#"{"ready":true,"degraded":[{"check":"queue","reason":"away"}]}"#;
        assert_eq!(read(StatusCode::OK, degraded), Look::WithoutQueue("queue: away".to_owned()));
        let both = br#"{"ready":false,"failed":[{"check":"store","reason":"locked"}],
                        "degraded":[{"check":"queue","reason":"away"}]}"#;
        let reasons = "store: locked, queue: away".to_owned();
        assert_eq!(read(StatusCode::SERVICE_UNAVAILABLE, both), Look::Unready(reasons));
    }
}
