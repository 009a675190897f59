//! A closed loop: as many clients as connections, each with one request under way.

use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::connection::Connection;
use crate::processes::Servers;

/// Connections at once.
pub(crate) const CONNECTIONS: usize = 16;

/// Time before the measurement, for caches and branch predictors of all kinds.
pub(crate) const WARM_UP: Duration = Duration::from_secs(2);

/// Time of the measurement.
pub(crate) const MEASURED: Duration = Duration::from_secs(8);

/// How fast requests were answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    /// In a second of wall time.
    pub(crate) per_second: f64,
    /// In a second of the servers' CPU time.
    pub(crate) per_cpu_second: f64,
}

// === impl Rate ===

impl Rate {
    /// Makes a rate from what was counted.
    pub(crate) fn new(count: u64, wall: Duration, cpu: Duration) -> Self {
        let count = count as f64;
        Self { per_second: count / wall.as_secs_f64(), per_cpu_second: count / cpu.as_secs_f64() }
    }
}

/// Sends `requests` to `address` again and again; every answer must have `status`.
pub(crate) async fn run(
    address: &str,
    requests: Vec<Vec<u8>>,
    status: u16,
    servers: &Servers,
) -> anyhow::Result<Rate> {
    let requests = Arc::new(requests);
    let started = Instant::now();
    let (begin, end) = (started + WARM_UP, started + WARM_UP + MEASURED);
    let mut clients = JoinSet::new();
    for client in 0..CONNECTIONS {
        let mut connection = Connection::open(address).await?;
        let requests = Arc::clone(&requests);
        clients.spawn(async move {
            // Clients begin at different places, or they would ask for the same at once.
            let first = client * requests.len() / CONNECTIONS;
            let mut counted = 0u64;
            for request in requests.iter().cycle().skip(first) {
                let answer = connection.exchange(request).await?;
                ensure!(answer.status == status, "answered {}", answer.status);
                let now = Instant::now();
                counted += u64::from(now >= begin && now < end);
                if now >= end {
                    break;
                }
            }
            Ok(counted)
        });
    }
    tokio::time::sleep_until(begin).await;
    let before = servers.cpu().await?;
    tokio::time::sleep_until(end).await;
    let cpu = servers.cpu().await?.saturating_sub(before);
    let mut counted = 0;
    while let Some(client) = clients.join_next().await {
        counted += client??;
    }
    Ok(Rate::new(counted, MEASURED, cpu))
}
