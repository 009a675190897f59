//! Waits until every tier says that it is ready.

use std::net::SocketAddr;
use std::time::Duration;

use serde::Deserialize;
use tidegate_core::config::EXIT_USAGE;
use tidegate_core::shutdown::Shutdown;
use tokio::time::{Instant, MissedTickBehavior};

use crate::up::fetch;
use crate::up::ports::Ports;
use crate::up::supervise::{Ended, Supervisor};
use crate::up::tier::Tier;

/// Longest start.
const TIMEOUT: Duration = Duration::from_secs(30);

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

/// A readiness answer with status 503.
#[derive(Deserialize)]
struct Answer {
    failed: Vec<FailedCheck>,
}

#[derive(Deserialize)]
struct FailedCheck {
    check: String,
    reason: String,
}

/// Waits until all tiers are ready.
pub(crate) async fn wait(
    ports: &Ports,
    supervisor: &mut Supervisor,
    stop: &Shutdown,
) -> Result<(), NotReady> {
    let deadline = Instant::now() + TIMEOUT;
    let tiers = Tier::STOP_ORDER.map(|tier| (tier, ports.private(tier)));
    tokio::select! {
        reasons = all_ready(&tiers, deadline) => match reasons {
            None => Ok(()),
            Some(reason) => Err(NotReady::Failed(anyhow::anyhow!(
                "not ready after {} s: {reason}; the lines above say more",
                TIMEOUT.as_secs()
            ))),
        },
        error = hopeless(supervisor) => Err(NotReady::Failed(error)),
        () = stop.cancelled() => Err(NotReady::Stopped),
    }
}

/// Returns `None` once all are ready, or what is missing at the deadline.
async fn all_ready(tiers: &[(Tier, SocketAddr)], deadline: Instant) -> Option<String> {
    // One after the other: a tier that is ready stays so, and the slowest one decides anyway.
    for (tier, address) in tiers {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            match look(*address).await {
                Ok(()) => break,
                Err(reason) if Instant::now() >= deadline => {
                    return Some(format!("{}: {reason}", tier.as_str()));
                }
                Err(_) => {}
            }
        }
    }
    None
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
async fn look(address: SocketAddr) -> Result<(), String> {
    let (status, body) = fetch::get(address, "/readyz").await?;
    if status == http::StatusCode::OK { Ok(()) } else { Err(reasons(status, &body)) }
}

/// Names the checks that failed.
fn reasons(status: http::StatusCode, body: &[u8]) -> String {
    let Ok(answer) = serde_json::from_slice::<Answer>(body) else {
        return format!("it answers with status {status}");
    };
    let failed = answer.failed.iter().map(|failed| format!("{}: {}", failed.check, failed.reason));
    failed.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_checks_are_named() {
        let unavailable = http::StatusCode::SERVICE_UNAVAILABLE;
        let body = br#"{"ready":false,"failed":[{"check":"routing","reason":"no document"}]}"#;
        assert_eq!(reasons(unavailable, body), "routing: no document");
        assert_eq!(
            reasons(unavailable, b"<html>"),
            "it answers with status 503 Service Unavailable"
        );
    }
}
