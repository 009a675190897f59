//! The harness of the end-to-end tests: the real binary, real TLS, ports chosen by the kernel.
//!
//! A test starts a [`Stack`] or a single [`Process`], talks to it with a [`Client`], and waits for
//! conditions with [`eventually`]; nothing here sleeps for luck.

mod client;
mod fail_points;
mod load;
mod origin;
mod place;
mod process;
mod proxy;
mod random;
mod servers;
mod sockets;
mod stack;
mod tally;
mod victim;

use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;

pub use client::{Client, Reply};
pub use fail_points::FailPoint;
pub use load::{Load, Mix, Put};
pub use origin::{Origin, Scripted};
pub use process::{Finished, Process, children_of, run, signal, tidegate, tidegate_faults};
pub use proxy::Proxy;
pub use random::Random;
pub use servers::Servers;
pub use sockets::{connected_ports, listening_ports, port, unread_bytes};
pub use stack::{Stack, Tier};
pub use tally::Tally;
pub use victim::{Victim, unsettled};

/// Longest wait for a condition; far beyond what any of them takes.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Time between two looks at a condition.
const LOOK: Duration = Duration::from_millis(10);

/// Waits until `condition` returns a value, looking again every few milliseconds.
///
/// # Panics
/// It did not within [`PATIENCE`].
pub async fn eventually<T, F>(what: &str, mut condition: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let started = tokio::time::Instant::now();
    loop {
        if let Some(value) = condition().await {
            return value;
        }
        assert!(started.elapsed() < PATIENCE, "never came true: {what}");
        tokio::time::sleep(LOOK).await;
    }
}

/// Returns the root of the checkout.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .canonicalize()
        .expect("the checkout exists")
}
