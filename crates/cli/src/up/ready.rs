//! Waits until every tier says that it is ready.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;
use tidegate_core::config::EXIT_USAGE;
use tidegate_core::shutdown::Shutdown;
use tokio::time::{Instant, MissedTickBehavior};

use crate::up::ports::Ports;
use crate::up::supervise::{Ended, Supervisor};
use crate::up::tier::Tier;

/// Longest start.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Time between two looks.
const EVERY: Duration = Duration::from_millis(10);

/// A look that takes longer has failed.
const LOOK_TIMEOUT: Duration = Duration::from_secs(3);

/// Largest answer that is read.
const MAX_ANSWER: usize = 64 * 1024;

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

type Probe = Client<HttpConnector, Empty<Bytes>>;

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
    let probe = Client::builder(TokioExecutor::new()).build_http();
    let tiers = Tier::STOP_ORDER.map(|tier| (tier, ports.private(tier)));
    tokio::select! {
        reasons = all_ready(&probe, &tiers, deadline) => match reasons {
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
async fn all_ready(
    probe: &Probe,
    tiers: &[(Tier, SocketAddr)],
    deadline: Instant,
) -> Option<String> {
    // One after the other: a tier that is ready stays so, and the slowest one decides anyway.
    for (tier, address) in tiers {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            match look(probe, *address).await {
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
async fn look(probe: &Probe, address: SocketAddr) -> Result<(), String> {
    let uri = http::Uri::try_from(format!("http://{address}/readyz"))
        .map_err(|error| error.to_string())?;
    let answer = tokio::time::timeout(LOOK_TIMEOUT, async {
        let response = probe.get(uri).await.map_err(|_| "it does not answer".to_owned())?;
        let status = response.status();
        let body = read(response.into_body()).await?;
        Ok::<_, String>((status, body))
    });
    let (status, body) =
        answer.await.map_err(|_| "it does not answer in time".to_owned()).flatten()?;
    if status == http::StatusCode::OK { Ok(()) } else { Err(reasons(status, &body)) }
}

#[expect(clippy::disallowed_methods, reason = "limited")]
async fn read(body: hyper::body::Incoming) -> Result<Bytes, String> {
    match Limited::new(body, MAX_ANSWER).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) => Err(format!("its answer broke off: {error}")),
    }
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
